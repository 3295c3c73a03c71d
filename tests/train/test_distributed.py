"""Two real processes under torchrun, against one process that does the work of both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmn_edge.errors import UsageError
from mmn_edge.network import read_checkpoint
from mmn_edge.train.distributed import joined

TINY = ["model.width=16", "model.depth=1", "optim.batch_size=12", "model.drop_path=0.2", "data.mixup=0.3"]


def train(launcher: list[str], folder: Path, *changes: str) -> subprocess.CompletedProcess[str]:
    options = [part for change in (*TINY, *changes) for part in ("--set", change)]
    command = [*launcher, "-m", "mmn_edge", "train", "synthetic", "--size", "39", "--epochs", "2", "--threads", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": ""}
    return subprocess.run(
        [*command, *options, "-o", str(folder)], capture_output=True, text=True, env=environment, timeout=600
    )


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    two = train([*launcher, sys.executable], tmp_path / "two")
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("epoch   2/2") == 1  # only the first process speaks
    one = train([sys.executable], tmp_path / "one", "optim.accumulate=2")
    assert one.returncode == 0, one.stderr
    alone, shared = (read_checkpoint(tmp_path / name / "last.pt")[0] for name in ("one", "two"))
    parameters = [key for key in alone if "running" not in key and "num_batches" not in key]
    for key in parameters:
        # BatchNorm's statistics are each process's own; everything that is learned is the same up to summation order.
        torch.testing.assert_close(shared[key], alone[key], rtol=1e-3, atol=2e-4, msg=key)
    # What would happen if the gradients were not averaged: one process, its half of every batch.
    half = train([sys.executable], tmp_path / "half", "optim.batch_size=6")
    assert half.returncode == 0, half.stderr
    other, _ = read_checkpoint(tmp_path / "half" / "last.pt")
    assert max((other[key] - alone[key]).abs().max().item() for key in parameters) > 1e-2


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as processes:
        assert (processes.rank, processes.world, processes.first) == (0, 1, True)
        assert processes.mean(3.0) == 3.0
        assert processes.of_first((1.0, 2.0)) == [1.0, 2.0]
        module = torch.nn.Linear(1, 1)
        assert processes.share(module) is module


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="unknown device 'gpu'"), joined("gpu"):
        pass
    with pytest.raises(UsageError, match="not on 'mps'"), joined("mps"):
        pass
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="--device cpu"), joined("cuda"):
            pass


def test_a_gpu_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with two GPUs; what PyTorch itself says of a third one is a traceback."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="no cuda:3, only cuda:0, cuda:1"), joined("cuda:3"):
        pass
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match="no cuda:2"), joined("cuda"):
        pass
