from pathlib import Path

import numpy as np
import pytest
import torch

from mmn_edge.datasets.reading import read_clips
from mmn_edge.errors import CheckpointError, LayoutError, UsageError
from mmn_edge.evaluation.evaluation import predict
from mmn_edge.network.checkpoint_classifier import open_checkpoint, write_temperature


def test_a_checkpoint_describes_itself(small_checkpoint: Path) -> None:
    found = open_checkpoint(small_checkpoint)
    assert found.name == str(small_checkpoint)
    assert found.layout is not None
    assert (found.layout.name, found.preprocessing.stream, len(found.labels)) == ("ma52", "joint", 13)
    assert (found.precision, found.input, found.temperature) == ("fp32", "features", 1.0)
    assert found.backend.startswith("torch ")


def test_the_authors_checkpoint_follows_the_published_protocol(shared: Path) -> None:
    fixtures = shared / "fixtures"
    found = open_checkpoint(fixtures / "imigue_official.pt", stream="bone")
    clips = [clip.keypoints for clip in read_clips(fixtures / "data/iMiGUE", "val").clips[:3]]
    logits = predict(found, clips, protocol="published")
    reference = np.load(fixtures / "imigue_preprocess.npz")
    expected = found.run({"features": reference["b_data"][:3], "index_t": reference["b_index_t"][:3]})
    assert logits == pytest.approx(expected.astype(np.float64), abs=1e-4)


def test_options_that_contradict(small_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="trained on stream joint"):
        open_checkpoint(small_checkpoint, stream="bone")
    with pytest.raises(LayoutError, match="44 joints, and layout imigue has 22"):
        open_checkpoint(small_checkpoint, preset="imigue")


def test_a_temperature_is_stored_and_the_rest_is_untouched(small_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    content = torch.load(small_checkpoint, weights_only=True)
    content["training"] = {"history": [{"epoch": 1}], "torch_rng": torch.get_rng_state()}
    torch.save(content, path)
    write_temperature(path, 1.7, "set.pkl:val, 9 clips")
    write_temperature(path, 1.25, "set.pkl:val, 9 clips")
    assert open_checkpoint(path).temperature == 1.25
    written = torch.load(path, weights_only=True)
    assert list(written) == list(content)
    assert list(written["model"]) == list(content["model"])
    for key, value in content["model"].items():
        assert written["model"][key].numpy().tobytes() == value.numpy().tobytes()
    assert written["training"]["history"] == content["training"]["history"]
    added = {"temperature": 1.25, "temperature_fitted_on": "set.pkl:val, 9 clips"}
    assert written["description"] == {**content["description"], **added}
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt"]


def test_a_plain_state_dict_has_no_place_for_a_temperature(small_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain.pt"
    torch.save(torch.load(small_checkpoint, weights_only=True)["model"], path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="no place for a temperature"):
        write_temperature(path, 2.0, "x")
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "hot"])
def test_a_broken_temperature_is_refused(value: object, small_checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    content["description"]["temperature"] = value
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="no positive number"):
        open_checkpoint(tmp_path / "model.pt")
