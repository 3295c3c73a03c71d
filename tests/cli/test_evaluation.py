import csv
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from mmn_edge.cli import cli
from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import (
    BundleError,
    CheckpointError,
    DataError,
    LayoutError,
    MissingDependencyError,
    UsageError,
)
from mmn_edge.model import labels

NAMES = labels.get("synthetic").classes


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])


def report_of(*arguments: object) -> dict[str, Any]:
    result = evaluate(*arguments, "--json")
    assert result.exit_code == 0, result.exception or result.output
    values: dict[str, Any] = json.loads(result.stdout)
    return values


def save(path: Path, entries: list[dict[str, Any]], **more: Any) -> Path:
    path.write_bytes(pickle.dumps({"annotations": entries, **more}))
    return path


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    return clips.dataset(26, seed=3)


@pytest.fixture(scope="module")
def data(entries: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of each class, split in two."""
    names = [entry["frame_dir"] for entry in entries]
    path = tmp_path_factory.mktemp("data") / "set.pkl"
    return save(path, entries, class_names=list(NAMES), split={"val": names[:20], "test": names[20:]})


@pytest.fixture(scope="module")
def bone_checkpoint(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights, said to be of the bone stream."""
    content = torch.load(small_checkpoint, weights_only=True)
    content["description"]["stream"] = "bone"
    path = tmp_path_factory.mktemp("bone") / "bone.pt"
    torch.save(content, path)
    return path


def test_a_checkpoint_and_its_bundle_agree(small_checkpoint: Path, small_bundle: Path, data: Path) -> None:
    values = report_of(small_checkpoint, f"{small_bundle}:fp32", "--data", data)
    one, two = values["models"]
    assert values["data"]["split"] == "val"
    assert one["scores"]["clips"] == 20
    assert two["compared_with_first"]["top1_agreement"] == 1
    assert two["compared_with_first"]["max_logit_difference"] < 1e-4
    assert two["scores"]["top1"] == one["scores"]["top1"]
    assert (one["backend"].split()[0], two["backend"].split()[0]) == ("torch", "onnxruntime")


def test_the_table(small_checkpoint: Path, bone_checkpoint: Path, data: Path) -> None:
    result = evaluate(small_checkpoint, bone_checkpoint, "--data", data, "--split", "test", "--fuse", "mean")
    assert result.exit_code == 0, result.output
    assert "set.pkl:test: 6 clips" in result.stdout
    assert "protocol: deployed" in result.stdout
    assert "top-1 [95 %]" in result.stdout
    assert "joint + bone" in result.stdout
    assert "mean of logits mistakes most often" in result.stdout


def test_streams_are_the_checkpoints_own(small_checkpoint: Path, bone_checkpoint: Path, data: Path) -> None:
    values = report_of(small_checkpoint, bone_checkpoint, "--data", data)
    assert [model["stream"] for model in values["models"]] == ["joint", "bone"]
    assert values["models"][1]["compared_with_first"]["max_logit_difference"] > 1e-3


def test_every_precision_of_a_bundle(small_bundle: Path, data: Path) -> None:
    values = report_of(small_bundle, "--precision", "all", "--data", data, "--split", "test")
    known = json.loads((small_bundle / "manifest.json").read_text())["models"]
    assert [model["precision"] for model in values["models"]] == list(known)


def test_classes_are_matched_by_name(
    small_checkpoint: Path, entries: list[dict[str, Any]], tmp_path: Path, data: Path
) -> None:
    """A recorder's file with some of the classes, differently numbered and written, gives the same numbers."""
    own = ["Touching-Nose", "shrugging", "WAVING"]
    chosen = [entry for entry in entries if NAMES[entry["label"]] in ("touching nose", "shrugging", "waving")]
    number = {"touching nose": 0, "shrugging": 1, "waving": 2}
    renumbered = [{**entry, "label": number[NAMES[entry["label"]]]} for entry in chosen]
    found = report_of(small_checkpoint, "--data", save(tmp_path / "a.pkl", renumbered, class_names=own))
    expected = report_of(small_checkpoint, "--data", save(tmp_path / "b.pkl", chosen, class_names=list(NAMES)))
    assert found["models"][0]["scores"] == expected["models"][0]["scores"]
    assert found["data"]["classes_with_clips"] == ["shrugging", "waving", "touching nose"]
    assert any("matched by name" in note for note in found["notes"])
    assert any("10 of the model's 13 classes have no clips" in note for note in found["notes"])

    restricted = report_of(small_checkpoint, "--data", tmp_path / "a.pkl", "--restrict")
    confusion = np.array(restricted["models"][0]["confusion"])
    allowed = [NAMES.index(name) for name in ("shrugging", "waving", "touching nose")]
    assert confusion.sum() == confusion[:, allowed].sum() == len(chosen)
    assert any("restricted to the 3 classes" in note for note in restricted["notes"])

    unknown = save(tmp_path / "c.pkl", renumbered, class_names=["flying", "shrugging", "waving"])
    result = evaluate(small_checkpoint, "--data", unknown)
    assert type(result.exception) is DataError
    assert "1 classes that the model does not know: flying" in str(result.exception)


def test_names_with_brackets_are_printed_as_they_are(
    small_checkpoint: Path, entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    names = [f"{name} [/up]" for name in NAMES]
    content["description"]["labels"] = labels.Labels(tuple(names)).to_dict()
    torch.save(content, tmp_path / "named.pt")
    chosen = save(tmp_path / "[bold].pkl", entries, class_names=names)
    result = evaluate(tmp_path / "named.pt", "--data", chosen)
    assert result.exit_code == 0, result.exception
    assert "[bold].pkl: 26 clips" in result.stdout
    assert " [/up] as " in result.stdout


def test_weights_are_never_fitted_silently(small_checkpoint: Path, bone_checkpoint: Path, data: Path) -> None:
    both = (small_checkpoint, bone_checkpoint, "--data", data, "--fuse", "weights")
    assert "--fit-split" in str(evaluate(*both).exception)
    honest = report_of(*both, "--split", "test", "--fit-split", "val")
    assert any("fitted on set.pkl:val" in note for note in honest["notes"])
    assert not any("CAUTION" in note for note in honest["notes"])
    same = report_of(*both, "--split", "val", "--fit-split", "val")
    assert any("CAUTION: 20 of the clips" in note for note in same["notes"])
    losses = [model["scores"]["cross_entropy"] for model in same["models"]]
    assert losses[2] <= min(losses[:2]) + 1e-9


def test_a_temperature_is_fitted_written_and_applied(small_checkpoint: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(small_checkpoint.read_bytes())
    fitted = report_of(path, "--data", data, "--fit-temperature")
    assert path.read_bytes() == small_checkpoint.read_bytes()
    fit = fitted["models"][0]["temperature_fit"]
    assert fitted["models"][0]["temperature"] == fit["earlier"] == 1
    result = evaluate(path, "--data", data, "--fit-temperature", "--write")
    assert result.exit_code == 0, result.exception
    assert "wrote temperature" in result.stderr
    after = report_of(path, "--data", data)["models"][0]
    assert after["temperature"] == pytest.approx(fit["temperature"])
    assert after["scores"]["ece"] == pytest.approx(fit["ece_fitted"])
    assert after["scores"]["top1"] == fitted["models"][0]["scores"]["top1"]
    assert after["scores"]["cross_entropy"] <= fitted["models"][0]["scores"]["cross_entropy"]


def test_a_temperature_is_written_into_all_checkpoints_or_none(
    small_checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    path, bare = tmp_path / "model.pt", tmp_path / "bare.pt"
    path.write_bytes(small_checkpoint.read_bytes())
    torch.save(torch.load(small_checkpoint, weights_only=True)["model"], bare)
    result = evaluate(path, bare, "--data", data, "--fit-temperature", "--write")
    assert type(result.exception) is CheckpointError
    assert "bare.pt was not written by mmn-edge train" in str(result.exception)
    assert path.read_bytes() == small_checkpoint.read_bytes()


def test_the_report_folder(small_checkpoint: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    result = evaluate(small_checkpoint, "--data", data, "-o", folder)
    assert result.exit_code == 0, result.exception
    assert f"wrote {folder / 'report.html'}" in result.stderr
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    top1 = np.mean([row["true"] == row["predicted"] for row in rows])
    assert json.loads((folder / "report.json").read_text())["models"][0]["scores"]["top1"] == pytest.approx(top1)
    (folder / "mine.txt").touch()
    assert type(evaluate(small_checkpoint, "--data", data, "-o", folder).exception) is UsageError


def test_a_submission(small_checkpoint: Path, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "s.zip"
    result = evaluate(small_checkpoint, "--data", data, "--submission", target)
    assert result.exit_code == 0, result.exception
    assert "macro F1" in result.stdout
    with zipfile.ZipFile(target) as archive:
        lines = archive.read("prediction.csv").decode().splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("vid,action_pred_1,")


def test_a_submission_of_clips_without_labels(
    small_checkpoint: Path, entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    unlabelled = [{key: value for key, value in entry.items() if key != "label"} for entry in entries[:4]]
    path, target = save(tmp_path / "t.pkl", unlabelled), tmp_path / "s.zip"
    result = evaluate(small_checkpoint, "--data", path, "--submission", target)
    assert result.exit_code == 0, result.exception
    assert result.stdout == ""
    assert "4 clips" in result.stderr
    assert target.is_file()
    result = evaluate(small_checkpoint, "--data", path, "--submission", target, "--json")
    assert type(result.exception) is DataError
    assert "has no labels" in str(result.exception)
    assert type(evaluate(small_checkpoint, "--data", path).exception) is DataError


def test_the_authors_checkpoint_on_the_authors_data(shared: Path) -> None:
    fixtures = shared / "fixtures"
    values = report_of(
        *(fixtures / "ma52_official.pt", fixtures / "ma52_official.pt", "--stream", "joint", "--stream", "bone"),
        *("--data", fixtures / "data/MA52", "--protocol", "published", "--fuse", "mean"),
    )
    assert [model["stream"] for model in values["models"]] == ["joint", "bone", "joint + bone"]
    assert "f1_mean" in values["models"][0]["scores"]
    assert values["protocol"]["name"] == "published"


def test_what_cannot_be_evaluated_is_one_sentence(
    small_checkpoint: Path, small_bundle: Path, data: Path, entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "broken.pkl").write_bytes(b"\x80\x04nonsense")
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04")
    (tmp_path / "folder").mkdir()
    save(tmp_path / "empty.pkl", [])
    few = [{"frame_dir": "a", "label": 0, "keypoint": entries[0]["keypoint"][:, :, :15]}]
    jumps = save(tmp_path / "jumps.pkl", few, class_names=["jumping"])
    joints = save(tmp_path / "joints.pkl", few, class_names=["rest"])
    for arguments, kind, message in [
        ((small_checkpoint, "--data", tmp_path / "none.pkl"), DataError, "does not exist"),
        ((small_checkpoint, "--data", tmp_path / "broken.pkl"), DataError, "no readable pickle"),
        ((small_checkpoint, "--data", tmp_path / "empty.pkl"), DataError, "holds no clips"),
        ((small_checkpoint, "--data", data, "--split", "dev"), DataError, "no split 'dev'"),
        ((small_checkpoint, "--data", jumps), DataError, "classes that the model does not know: jumping"),
        ((small_checkpoint, "--data", joints), LayoutError, "clip a has 15 joints and the model takes 44"),
        ((small_checkpoint, "--data", data, "--layout", "mars"), LayoutError, "unknown skeleton layout 'mars'"),
        ((tmp_path / "none.pt", "--data", data), UsageError, "does not exist: name a checkpoint"),
        ((tmp_path / "broken.pt", "--data", data), CheckpointError, "broken.pt"),
        ((tmp_path / "folder", "--data", data), BundleError, "holds no manifest.json"),
        ((f"{small_bundle}:int3", "--data", data), BundleError, "holds no int3 model"),
        ((f"{small_checkpoint}:int8", "--data", data), UsageError, "only bundles hold several precisions"),
        ((small_bundle, "--data", data, "--protocol", "published"), UsageError, "preprocessing inside"),
        ((small_bundle, "--data", data, "--backend", "abacus"), UsageError, "unknown backend"),
        ((small_bundle, "--data", data, "--fit-temperature", "--write"), UsageError, "for checkpoints"),
        ((small_bundle, "--data", data, "--write"), UsageError, "--fit-temperature"),
        (
            (small_checkpoint, "--data", data, "--fit-temperature", "--write", "--restrict"),
            UsageError,
            "leave --restrict out",
        ),
        ((small_bundle, "--data", data, "--fuse", "mean"), UsageError, "at least two"),
        ((small_bundle, "--data", data, "--fit-split", "val"), UsageError, "--fuse weights"),
        ((small_bundle, "--data", data, "--restrict", "--submission", "x.zip"), UsageError, "--restrict"),
        ((small_checkpoint, "--data", data, "--preset", "mars"), UsageError, "unknown preset"),
        ((small_checkpoint, "--data", data, "--stream", "bone"), UsageError, "trained on stream joint"),
        ((small_checkpoint, "--data", data, "--model-option", "x=1"), UsageError, "model option"),
        (
            (small_checkpoint, "--data", data, "--stream", "joint", "--stream", "joint"),
            UsageError,
            "given 2 times for 1 checkpoints",
        ),
        ((small_checkpoint, "--data", data, "--submission", data), UsageError, "no earlier submission"),
    ]:
        result = evaluate(*arguments)
        assert type(result.exception) is kind, (arguments, result.exception)
        assert message in str(result.exception)
        assert "\n" not in str(result.exception)
        assert not result.stdout


def test_checkpoints_need_torch_and_bundles_do_not(
    small_checkpoint: Path, small_bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert report_of(small_bundle, "--data", data, "--split", "test")["models"]
    result = evaluate(small_checkpoint, "--data", data)
    assert type(result.exception) is MissingDependencyError
    assert 'pip install "mmn-edge[train]"' in str(result.exception)
