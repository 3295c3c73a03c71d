from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

# One thread each: test processes that share two cores would wait for one another at every barrier. Before torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# FFmpeg asks once a process, and a test that opens a video by itself may come first.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import numpy as np
import pytest
import torch
from filelock import FileLock

from mmn_edge.convert.conversion import convert
from mmn_edge.drift.windows import as_features, sample_windows
from mmn_edge.model import labels, presets
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.network.quantization import calibrate, default_kept, quantize
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import Preprocessing


def pytest_configure() -> None:
    """Let the tests' processes hear Ctrl-C, which a shell has what runs in the background ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured and recorded as ``summary``, also from other processes."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    lines = [text for report in reports for name, text in report.user_properties if name == "summary"]
    if lines:
        terminalreporter.section("measured by tests")
        for line in lines:
            terminalreporter.line(str(line))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference inputs, which lies beside the checkout and is no part of it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"the reference inputs {folder} are not here")
    return folder


@pytest.fixture
def clip() -> FloatArray:
    """A clip of 50 frames in layout ``imigue``, ``(50, 22, 2)`` in pixels, every joint seen."""
    rng = np.random.default_rng(0)
    return rng.normal(300, 40, (50, 22, 2)).cumsum(axis=0).astype(np.float32)


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Has a file or folder made by the first of the session's worker processes that asks for its name."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def path(name: str, make: Callable[[Path], object]) -> Path:
        target = root / "once" / name.replace(".", "-") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target.parent}.lock"):
            if not target.exists():
                make(target)
        return target

    return path


@pytest.fixture(scope="session")
def small_checkpoint(once: Once) -> Path:
    """A small untrained model of the synthetic classes, in the format that ``mmn-edge train`` writes."""
    return once("small.pt", _make_small_checkpoint)


def _make_small_checkpoint(path: Path) -> None:
    torch.manual_seed(0)
    preset = presets.get("synthetic")
    names = labels.get("synthetic")
    network = MMN(Architecture(num_classes=len(names), num_joints=44, width=16, depth=1, mlp_width=32)).eval()
    with torch.no_grad():  # a fresh network's logits hardly depend on its input
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    description = {
        "preset": "synthetic",
        "layout": preset.layout,
        "labels": names.to_dict(),
        "window": asdict(preset.window),
        "stream": "joint",
        "options": {"num_people": 1, "global_pool": "avg"},
    }
    torch.save({"model": network.state_dict(), "description": description}, path)


@pytest.fixture(scope="session")
def small_bundle(small_checkpoint: Path, once: Once) -> Path:
    """The bundle of ``small_checkpoint``, fed with keypoints."""
    return once("small.bundle", lambda target: convert(small_checkpoint, target))


@pytest.fixture(scope="session")
def small_features_bundle(small_checkpoint: Path, once: Once) -> Path:
    """The same model, fed with features."""
    return once("small_features.bundle", lambda target: convert(small_checkpoint, target, input_kind="features"))


@pytest.fixture(scope="session")
def small_precisions(small_checkpoint: Path, once: Once) -> Path:
    """The same model in fp32, fp16 and int8."""
    return once("small_precisions.bundle", lambda target: _make_precisions(small_checkpoint, target))


def _make_precisions(checkpoint: Path, target: Path) -> None:
    state, description = read_checkpoint(checkpoint)
    network = build_network(state, {"num_people": 1, "global_pool": "avg"})
    preprocessing = Preprocessing.for_layout(layouts.get(presets.get("synthetic").layout), "joint")
    features = as_features(sample_windows(network.arch), preprocessing, 1)
    quantize(network, default_kept(network))
    calibrate(network, [[torch.from_numpy(x) for x in features.values()]])
    ranged = checkpoint.with_name("small.int8.pt")
    torch.save({"model": network.state_dict(), "description": description}, ranged)
    convert(ranged, target, precisions=["fp32", "fp16", "int8"])
