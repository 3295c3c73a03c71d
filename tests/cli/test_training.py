import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from mmn_edge.cli import cli
from mmn_edge.errors import DataError, MissingDependencyError, UsageError
from mmn_edge.network import build_network, read_checkpoint


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_train_on_the_synthetic_set(tmp_path: Path) -> None:
    result = invoke("train", "synthetic", "-o", tmp_path / "run", "--width", 16, "--epochs", 1, "--size", 39)
    assert result.exit_code == 0, result.output
    assert "val accuracy" in result.output
    state, description = read_checkpoint(tmp_path / "run" / "best.pt")
    assert build_network(state).arch.width == 16
    assert description["layout"] == "ma52"


@pytest.mark.parametrize("name", ["MA52", "iMiGUE"])
def test_train_on_the_authors_format(name: str, shared: Path, tmp_path: Path) -> None:
    data = shared / "fixtures/data" / name
    result = invoke(
        *("train", data, "--preset", name.lower(), "-o", tmp_path / "run", "--stream", "bone"),
        *("--epochs", 1, "--width", 16, "--depth", 1, "--batch-size", 4),
    )
    assert result.exit_code == 0, result.output
    _, description = read_checkpoint(tmp_path / "run" / "last.pt")
    assert description["stream"] == "bone"
    assert len(description["labels"]["classes"]) == {"MA52": 52, "iMiGUE": 32}[name]


def test_train_on_an_annotation_pickle_in_3d(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"clip{index}" for index in range(12)]
    annotations = [
        {"frame_dir": name, "label": i % 2, "keypoint": rng.normal(size=(1, 30, 20, 3))} for i, name in enumerate(names)
    ]
    content = {"split": {"train": names[:8], "test": names[8:]}, "annotations": annotations}
    (tmp_path / "d.pkl").write_bytes(pickle.dumps(content))
    result = invoke(
        *("train", tmp_path / "d.pkl", "--preset", "nw-ucla", "-o", tmp_path / "run"),
        *("--epochs", 1, "--width", 16, "--depth", 1, "--batch-size", 4),
    )
    assert result.exit_code == 0, result.output
    assert build_network(read_checkpoint(tmp_path / "run" / "best.pt")[0]).arch.in_channels == 3


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """Killed in mid-epoch, resumed, and compared with a run that nobody disturbed."""
    options = ["--epochs", "3", "--size", "130", "--width", "16", "--batch-size", "13", "--threads", "1"]
    command = [sys.executable, "-m", "mmn_edge", "train", "synthetic", *options, "-o"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    broken = tmp_path / "broken"
    with subprocess.Popen([*command, str(broken)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"epoch   1/3")  # the second epoch has begun
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len((broken / "log.jsonl").read_text().splitlines()) == 1
    resumed = subprocess.run([*command, str(broken), "--resume"], check=True, capture_output=True, text=True)
    assert "epoch   1/3" not in resumed.stdout
    assert "epoch   2/3" in resumed.stdout
    for name in ("last.pt", "best.pt"):
        whole, _ = read_checkpoint(tmp_path / "whole" / name)
        again, _ = read_checkpoint(broken / name)
        for key, value in whole.items():
            assert torch.equal(value, again[key]), (name, key)
    assert len((broken / "log.jsonl").read_text().splitlines()) == 3


def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.pkl").write_bytes(b"\x80\x04.")
    for arguments, kind, message in [
        (["nowhere.pkl", "--preset", "ma52"], DataError, "does not exist"),
        ([tmp_path / "d.pkl"], UsageError, "--preset"),
        ([tmp_path / "d.pkl", "--preset", "ma52"], DataError, "no readable pickle"),
        (["synthetic", "--preset", "ma52"], UsageError, "preset of its own"),
        (["nowhere.pkl", "--preset", "mars"], UsageError, "unknown preset"),
        (["synthetic", "--width", "33", "--size", "13"], UsageError, "divisible"),
    ]:
        result = invoke("train", *arguments, "-o", tmp_path / "run")
        assert type(result.exception) is kind, (arguments, result.exception)
        assert message in str(result.exception)
    assert not (tmp_path / "run").exists()
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    result = invoke("train", "synthetic", "-o", tmp_path / "run")
    assert type(result.exception) is MissingDependencyError
    assert 'pip install "mmn-edge[train]"' in str(result.exception)
