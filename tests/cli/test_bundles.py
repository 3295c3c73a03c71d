import json
import pickle
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from mmn_edge.cli import cli
from mmn_edge.errors import CheckpointError, MissingDependencyError, UsageError


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_convert_writes_beside_the_checkpoint_by_default(small_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.pt"
    checkpoint.write_bytes(small_checkpoint.read_bytes())
    result = invoke("convert", checkpoint, "--window", 1.5, "--stride", 0.1)
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "model.bundle" / "manifest.json").read_text())
    assert manifest["window"] == {"frames": 64, "seconds": 1.5, "stride": 0.1}
    assert "44 joints, 13 classes" in result.output
    assert "logits differ from PyTorch in float32 by at most" in result.output
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.bundle", "model.pt"]


def test_convert_refuses_what_is_no_checkpoint(small_checkpoint: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    content = small_checkpoint.read_bytes()
    (tmp_path / "half.pt").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"head.weight": Evil()}))
    torch.save({"model": Evil()}, tmp_path / "evil_zip.pt")
    for name in ("half", "empty", "text", "evil", "evil_zip", "none"):
        result = invoke("convert", tmp_path / f"{name}.pt")
        assert type(result.exception) is CheckpointError, (name, result.exception)
        assert name in str(result.exception)
        assert "\n" not in str(result.exception)
    assert not (tmp_path / "owned").exists()
    assert not list(tmp_path.glob("*.bundle"))


def test_convert_says_what_is_wrong_with_its_options(small_checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "B"
    for options, message in [
        (["--preset", "mars"], "unknown preset 'mars': choose one of ma52"),
        (["--model-option", "people=2"], "num_people"),
        (["--model-option", "num_people=3"], "does not divide"),
        (["--model-option", "num_classes=9"], "contradicts the checkpoint"),
        (["--window", "-1"], "positive"),
    ]:
        result = invoke("convert", small_checkpoint, "-o", target, *options)
        assert type(result.exception) is UsageError, options
        assert message in str(result.exception)
    assert not target.exists()


@pytest.mark.parametrize("missing", ["torch", "onnx"])
def test_a_missing_extra_is_one_sentence(missing: str, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    result = invoke("convert", small_checkpoint)
    assert type(result.exception) is MissingDependencyError
    assert missing in str(result.exception)
    assert 'pip install "mmn-edge[convert]"' in str(result.exception)
