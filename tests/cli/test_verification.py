from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.writing import write_bundle
from mmn_edge.cli import cli, main
from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import DataError, LayoutError, UsageError, VerificationError
from mmn_edge.model import labels
from mmn_edge.runtime.backends.onnxruntime import OnnxRuntimeBackend

PLANTED = "fusion.res_conv"


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["verify", *map(str, arguments)])


def report_of(*arguments: object) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(verify(*arguments, "--json").stdout)
    return values


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of each synthetic class."""
    entries = clips.dataset(26, seed=3)
    names = [entry["frame_dir"] for entry in entries]
    content = {
        "annotations": entries,
        "class_names": list(labels.get("synthetic").classes),
        "split": {"val": names[:20], "test": names[20:]},
    }
    path = tmp_path_factory.mktemp("data") / "set.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture(scope="module")
def planted(small_precisions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with an fp16 model in which the weights of one layer are wrong."""
    return changed(small_precisions, tmp_path_factory.mktemp("planted") / "B", lambda weight: -3 * weight)


def changed(path: Path, target: Path, change: Callable[[Any], Any]) -> Path:
    bundle = Bundle.open(path)
    with write_bundle(target) as writer:
        for file in bundle.manifest.models.values():
            shutil.copy(path / file, writer.folder / file)
        file = writer.folder / bundle.manifest.models["fp16"]
        model = onnx.load(str(file))
        node = next(node for node in model.graph.node if node.name == f"{PLANTED}/Conv")
        (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
        values = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(change(values).astype(values.dtype), weight.name))
        onnx.save_model(model, str(file))
        writer.finish(bundle.manifest)
    return target


def test_a_sound_bundle_passes(small_precisions: Path) -> None:
    result = verify(small_precisions, "--windows", 8)
    assert result.exit_code == 0, result.exception or result.output
    assert "8 windows of synthetic motion, without labels" in result.stdout
    assert re.search(r"^fp16, \d{3} layers; drift begins at no single layer", result.stdout, re.MULTILINE)
    assert "All models stay within their limits." in result.stdout


def test_a_planted_error_fails_and_its_layer_is_named(planted: Path, tmp_path: Path) -> None:
    result = verify(planted, "--windows", 8, "-o", tmp_path / "report")
    assert type(result.exception) is VerificationError
    assert str(result.exception).startswith("drifted too far from fp32: fp16: ")
    assert "int8" not in str(result.exception)
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("fp16, "))
    assert f"drift begins at {PLANTED}/Conv" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert names == ["layers.svg", "report.html", "report.json", "report.md"]
    values = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(model["name"], model["passed"]) for model in values["models"]] == [("fp16", False), ("int8", True)]
    assert values["models"][0]["layers"]["first"] == f"{PLANTED}/Conv"
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"at {PLANTED}/Conv" in page
    assert "<svg" in page
    assert "fp16 drifted too far." in (tmp_path / "report" / "report.md").read_text()


def test_it_leaves_with_the_exit_code_of_a_failed_verification(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["verify", str(planted), "--windows", "2", "--no-layers"])
    assert exit_.value.code == VerificationError.exit_code == 8
    assert capsys.readouterr().err.splitlines()[-1].startswith("mmn-edge: drifted too far from fp32: fp16: ")


def test_limits_can_be_moved(planted: Path, small_precisions: Path) -> None:
    loose = ["--min-agreement", 0, "--max-probability-difference", 1]
    assert verify(planted, "--windows", 2, "--no-layers", *loose).exit_code == 0
    tight = verify(small_precisions, "--windows", 2, "--no-layers", "--max-probability-difference", 1e-9)
    assert type(tight.exception) is VerificationError
    assert "a probability differs by" in str(tight.exception)


def test_what_is_not_finite_fails_and_its_layer_is_named(small_precisions: Path, tmp_path: Path) -> None:
    bundle = changed(small_precisions, tmp_path / "B", lambda weight: np.full_like(weight, np.inf))
    values = report_of(bundle, "--windows", 2)
    assert values["models"][0]["broken"] == ["2 of 2 windows give values that are not finite"]
    assert values["models"][0]["layers"]["first"] == f"{PLANTED}/Conv"


def test_labelled_clips_give_the_accuracy_that_is_lost(planted: Path, data: Path) -> None:
    values = report_of(planted, "--data", data, "--no-layers")
    assert values["windows"] == {"from": "set.pkl:val", "count": 20, "labelled": True}
    wrong, int8 = (model["drift"]["accuracy"] for model in values["models"])
    assert wrong["reference"] == int8["reference"]
    assert wrong["lost"] == wrong["reference"] - wrong["model"]
    assert wrong["broken"] - wrong["repaired"] == pytest.approx(20 * wrong["lost"])
    result = verify(planted, "--data", data, "--split", "test", "--no-layers", "--max-lost", 100, "--min-agreement", 0)
    assert "6 windows of set.pkl:test, labelled" in result.stdout
    assert "broken / repaired" in result.stdout


def test_a_checkpoint_is_compared_in_pytorch(small_precisions: Path, small_checkpoint: Path) -> None:
    values = report_of(small_precisions, "--windows", 4, "--checkpoint", small_checkpoint)
    assert [model["name"] for model in values["models"]] == ["fp16", "int8", str(small_checkpoint)]
    exact = values["models"][2]
    assert exact["backend"].startswith("torch ")
    assert exact["drift"]["max_logit_difference"] < 1e-4
    assert values["top1_agreement"][str(small_checkpoint)]["fp32"] == 1
    assert exact["layers"] is None


def test_what_the_bundle_runs_on_here_is_compared_too(small_precisions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice of backends alone: what stands in for an engine is ONNX Runtime by another name."""

    class StandIn(OnnxRuntimeBackend):
        name = "an engine"  # type: ignore[assignment]

    def opened(
        bundle: Bundle, name: str | None, *, precision: str, threads: int | None, on_note: Callable[[str], None]
    ) -> OnnxRuntimeBackend:
        kind = StandIn if name is None and precision == "fp16" else OnnxRuntimeBackend
        if name is None and precision == "int8":
            on_note("the int8 engine is not used")
        return kind(bundle.model(precision), threads=threads)

    monkeypatch.setattr("mmn_edge.runtime.bundle_classifier.open_backend", opened)
    values = report_of(small_precisions, "--windows", 4)
    assert [model["name"] for model in values["models"]] == ["fp16", "fp16 on an engine", "int8"]
    assert values["top1_agreement"]["fp16"]["fp16 on an engine"] == 1
    assert [model["layers"] is None for model in values["models"]] == [False, True, False]
    assert values["notes"] == ["the int8 engine is not used"]
    asked = report_of(small_precisions, "--windows", 4, "--backend", "onnxruntime", "--no-layers")
    assert [model["name"] for model in asked["models"]] == ["fp16", "int8"]


def test_several_bundles_make_one_table(
    small_bundle: Path, small_precisions: Path, small_features_bundle: Path
) -> None:
    values = report_of(f"{small_precisions}:int8", small_bundle, small_features_bundle, "--windows", 4)
    assert values["reference"]["name"] == f"{small_precisions}:fp32"  # the first bundle's, also where it is not named
    names = [f"{small_precisions}:int8", f"{small_bundle}:fp32", f"{small_features_bundle}:fp32"]
    assert [model["name"] for model in values["models"]] == names
    _, first, second = values["models"]
    assert first["drift"]["max_logit_difference"] == pytest.approx(second["drift"]["max_logit_difference"], abs=1e-4)


def test_what_makes_no_sense_is_said(
    small_bundle: Path, small_precisions: Path, small_checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for arguments, error, message in [
        ([small_bundle], UsageError, "holds one model"),
        ([small_bundle, "--backend", "onnxruntime"], UsageError, "nothing to compare it with"),
        ([small_precisions, "--layout", "ma52"], UsageError, "--layout names the layout of the data"),
        ([small_precisions, "--stream", "bone"], UsageError, "name it with --checkpoint"),
        ([small_precisions, small_checkpoint], UsageError, "is a checkpoint"),
        ([small_precisions, "--split", "val"], UsageError, "--split names a split of the data"),
        ([small_precisions, "--data", data, "--split", "dev"], DataError, "dev"),
        ([small_precisions, "--data", data, "--layout", "imigue"], LayoutError, "imigue"),
        ([small_precisions, "-o", tmp_path], UsageError, "left alone"),
        ([small_precisions, "--backend", "abacus"], UsageError, "unknown backend 'abacus'"),
    ]:
        result = verify(*arguments)
        assert type(result.exception) is error, (arguments, result.exception, result.output)
        assert message in str(result.exception)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
