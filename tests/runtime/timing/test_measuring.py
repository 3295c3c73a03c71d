from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import BundleError, SourceError, UsageError
from mmn_edge.runtime.timing.interleaved import measure_in_rounds
from mmn_edge.runtime.timing.measuring import Loaded, load, measure_back_to_back, measure_paced
from mmn_edge.runtime.timing.memory import parse_gpu_memory, peak_mebibytes
from mmn_edge.runtime.timing.operators import operator_times
from mmn_edge.runtime.timing.pipeline import measure_source
from mmn_edge.runtime.timing.targets import KEYPOINTS, NETWORK, Target, of_engine, split_precision
from mmn_edge.skeleton.frame import FloatArray


class Sleeper:
    """A model that takes a known time."""

    name, precision = "sleeper 1", "fp32"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.batches: list[int] = []

    def __enter__(self) -> Sleeper:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, inputs: Mapping[str, FloatArray]) -> object:
        self.batches.append(len(next(iter(inputs.values()))))
        time.sleep(self.seconds)
        return None


@pytest.fixture
def target(small_bundle: Path) -> Target:
    return Target("small", Bundle.open(small_bundle))


def sleeper(target: Target, seconds: float) -> Loaded:
    return Loaded(target, Sleeper(seconds), None, 1.0, 1.0)


def test_batches_take_turns(target: Target) -> None:
    loaded = sleeper(target, 0.001)
    entries = measure_back_to_back(loaded, [1, 3], seconds=0.01, fewest=10)
    assert [entry.batch for entry in entries] == [1, 3]
    for entry in entries:
        assert len(entry.samples_ms) == len(entry.starts_s) >= 10
        assert min(entry.samples_ms) >= 1.0
        assert len(entry.turns) == 5
        throughput = entry.throughput()
        assert throughput is not None
        windows, seconds = map(sum, zip(*entry.turns, strict=True))
        assert windows == entry.batch * len(entry.samples_ms)
        assert throughput.windows_per_second == pytest.approx(windows / seconds)
        assert seconds * 1e3 >= sum(entry.samples_ms)
        assert entry.warm_up_calls >= 3
    runner = loaded.runner
    assert isinstance(runner, Sleeper)
    changes = np.count_nonzero(np.diff(runner.batches))
    assert changes == 9  # five turns of two sizes
    assert entries[0].sha256 == target.bundle.model_sha256("fp32") if target.bundle else False


def test_a_real_model(target: Target) -> None:
    loaded = load(target, 1)
    with loaded.closing():
        (entry,) = measure_back_to_back(loaded, [2], seconds=0.01)
    assert (entry.scope, entry.precision, entry.threads) == (KEYPOINTS, "fp32", 1)
    assert entry.load_ms > 0
    assert entry.first_call_ms > 0
    assert len(entry.samples_ms) >= 20


def test_features_are_the_network_alone(small_features_bundle: Path) -> None:
    target = Target("small", Bundle.open(small_features_bundle))
    assert target.scope == NETWORK
    assert set(target.inputs(2)) == {"features", "index_t"}


def test_paced_calls_keep_up_or_are_counted(target: Target) -> None:
    entry = measure_paced(sleeper(target, 0.0001), 200, seconds=0.1)
    pace = entry.pace
    assert pace is not None
    assert pace.frames == 20
    assert len(entry.samples_ms) + pace.skipped == pace.frames
    slow = measure_paced(sleeper(target, 0.012), 200, seconds=0.1).pace
    assert slow is not None
    assert slow.skipped >= 10
    assert slow.misses >= 18
    assert min(slow.ages_ms) >= 12
    assert len(slow.ages_ms) + slow.skipped == slow.frames


def test_nonsense(target: Target) -> None:
    loaded = sleeper(target, 0)
    with pytest.raises(UsageError, match="at least 1"):
        measure_back_to_back(loaded, [0], seconds=1)
    for seconds in (0, -1, float("nan"), 1e9):
        with pytest.raises(UsageError, match="positive"):
            measure_back_to_back(loaded, [1], seconds=seconds)
    for fps in (0, -1, 1e5, float("nan")):
        with pytest.raises(UsageError, match="frame rate"):
            measure_paced(loaded, fps, seconds=1)
    for threads in (0, 100_000):
        with pytest.raises(UsageError, match="from 1 to 256"):
            load(target, threads)


def test_rounds_go_a_b_b_a(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    models = {}
    for name in "ab":
        models[name] = sleeper(target, 0)
        monkeypatch.setattr(models[name].runner, "run", lambda inputs, name=name: order.append(name))
    a, b = measure_in_rounds(models["a"], models["b"], seconds=1e-9)
    assert len(a) == len(b) == 8
    assert {len(calls) for calls in (*a, *b)} == {4}
    legs = "".join(order[-8 * 12 :][::3])
    assert legs == "abbabaab" * 4


def test_operators_by_the_backends_profilers(target: Target) -> None:
    from dataclasses import replace

    for backend in ("onnxruntime", "openvino"):
        entries = operator_times(replace(target, backend=backend), "fp32", 1)
        assert len(entries) > 3
        assert sum(entry.share for entry in entries) == pytest.approx(1)
        assert [entry.ms for entry in entries] == sorted((entry.ms for entry in entries), reverse=True)
        assert entries[0].backend.startswith(backend)
        assert all(entry.count > 0 for entry in entries)
    assert operator_times(replace(target, backend="tensorrt"), "fp32") == []


def test_the_stages_of_a_pipeline_sum_up(target: Target) -> None:
    assert target.bundle is not None
    loaded = load(target, 1)
    with loaded.closing():
        entry = measure_source(loaded, target.bundle, "synthetic:seconds=8", seconds=60)
        with pytest.raises(SourceError, match="gave no prediction"):
            measure_source(loaded, target.bundle, "synthetic:seconds=0.1", seconds=1)
    assert {"map and cut", "network", "rest"} <= set(entry.stages_ms)
    sums = np.sum(list(entry.stages_ms.values()), axis=0)
    np.testing.assert_allclose(sums, entry.samples_ms, atol=1e-4)
    assert "whole pipeline" in entry.scope


def test_any_onnx_file(small_bundle: Path) -> None:
    target = Target("model.onnx", None, small_bundle / "model.fp32.onnx")
    loaded = load(target, 1)
    with loaded.closing():
        (entry,) = measure_back_to_back(loaded, [1], seconds=0.01)
    assert entry.sha256 == Bundle.open(small_bundle).model_sha256("fp32")
    assert entry.scope.startswith("an ONNX file")
    with pytest.raises(UsageError, match="ONNX Runtime alone"):
        Target("model.onnx", None, small_bundle / "model.fp32.onnx", "openvino").open(1)


def test_what_a_target_may_be(small_bundle: Path, tmp_path: Path) -> None:
    assert split_precision("model.bundle:int8") == (Path("model.bundle"), "int8")
    assert split_precision("model.bundle:3") == (Path("model.bundle:3"), None)
    (tmp_path / "odd:int8").mkdir()
    assert split_precision(str(tmp_path / "odd:int8")) == (tmp_path / "odd:int8", None)
    with pytest.raises(BundleError, match="none of the engines"):
        of_engine(small_bundle / "other.engine")


def test_memory() -> None:
    assert (peak_mebibytes() or 0) > 50
    assert parse_gpu_memory("12, 310\n77, 1204\n", 77) == 1204
    assert parse_gpu_memory("77, [N/A]\n", 77) is None
    assert parse_gpu_memory("", 77) is None
