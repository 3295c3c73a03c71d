"""The builder, with TensorRT for RTX for compute capability 8.6. Engines are built and not run: that needs a GPU."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mmn_edge.convert.tensorrt import engine as engine_module
from mmn_edge.convert.tensorrt.engine import Build, EngineOptions, aimed, build_engine
from mmn_edge.errors import EngineError, UsageError
from mmn_edge.system.tensorrt import CudaDevice, cuda_device

trt = pytest.importorskip(
    "tensorrt_rtx", reason="PROOF SKIPPED: no engine was built, since tensorrt-rtx is not installed"
)

pytestmark = pytest.mark.proof

SM86 = EngineOptions(compute_capabilities=("SM86",))
ORIN = CudaDevice("Orin", "8.7", "540.4.0", "12.6")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 product of ``x`` ``(N, 8, 16)``."""
    weights = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "fc/MatMul")],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 16])],
        [numpy_helper.from_array(weights, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path_factory.mktemp("tiny") / "model.fp32.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def build(model: Path, target: Path, options: EngineOptions = SM86, **others: Any) -> Build:
    return build_engine(model, target, precision="fp32", flavour="tensorrt_rtx", options=options, **others)


def test_an_engine_is_built_and_described(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.fp32.tensorrt_rtx.engine"
    seen: list[tuple[float, str]] = []
    options = EngineOptions(max_batch=3, workspace_mib=64, compute_capabilities=("SM86", "SM120"))
    made = build(model, target, options, on_progress=lambda share, phase: seen.append((share, phase)))
    assert target.stat().st_size > 10_000
    record = made.record
    assert record.file == target.name
    assert (record.precision, record.flavour, record.tensorrt) == ("fp32", "tensorrt_rtx", trt.__version__)
    assert (record.device, record.compute_capabilities) == ("", ("8.6", "12.0"))
    assert (record.batch, record.workspace_mib) == ((1, 1, 3), 64)
    assert record.onnx_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert made.kernels.types == {"fc/MatMul": "float"}
    assert "Engine generation completed" in made.log
    assert "Layers:" not in made.log
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert shares[-1] > 0.8
    assert "Optimizing graph" in {phase for _, phase in seen}


def test_a_build_that_is_interrupted_writes_nothing(model: Path, tmp_path: Path) -> None:
    def interrupt(share: float, phase: str) -> None:
        if phase == "Optimizing graph":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build(model, tmp_path / "x.engine", on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_caller_passes_around_tensorrt(model: Path, tmp_path: Path) -> None:
    def fail(share: float, phase: str) -> None:
        raise ZeroDivisionError(phase)

    with pytest.raises(ZeroDivisionError, match="Building engine"):
        build(model, tmp_path / "x.engine", on_progress=fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no ONNX at all", None])
def test_what_is_no_model_is_our_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.fp32.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        EngineError, match=r"^TensorRT \S+ (cannot read|could not build) model\.fp32\.onnx: ."
    ) as caught:
        build(path, tmp_path / "x.engine")
    assert "\n" not in str(caught.value)


def test_a_model_that_parses_and_does_not_build_is_our_error(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"], "graph/Neg")],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],  # no dynamic batch
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "fixed.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(EngineError, match=r"could not build fixed\.onnx: .*Input tensor x has static dimensions"):
        build(tmp_path / "fixed.onnx", tmp_path / "x.engine")


GARBAGE = """
import gc, sys
from pathlib import Path
import tensorrt_rtx as trt
from mmn_edge.convert.tensorrt.builder_log import BuilderLog
from mmn_edge.convert.tensorrt.engine import EngineOptions, build_engine

gc.disable()
cycle = [trt.Builder(trt.Logger())]
cycle.append(cycle)
del cycle
add = BuilderLog.add
BuilderLog.add = lambda *arguments: (gc.collect(), add(*arguments))[1]  # the collector wakes at every line
options = EngineOptions(compute_capabilities=("SM86",))
build_engine(Path(sys.argv[1]), Path(sys.argv[2]), precision="fp32", flavour="tensorrt_rtx", options=options)
"""


def test_a_builder_that_is_garbage_does_not_stop_the_next_one(model: Path, tmp_path: Path) -> None:
    """Released from within the log of another builder, TensorRT for RTX 1.7.1 waits for its own lock."""
    command = [sys.executable, "-c", GARBAGE, str(model), str(tmp_path / "x.engine")]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    assert (tmp_path / "x.engine").exists()


def test_what_makes_no_sense_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "cuda_device", lambda: None)
    with pytest.raises(EngineError, match="no NVIDIA GPU was found here: name the compute capability"):
        aimed("tensorrt_rtx", EngineOptions())
    with pytest.raises(UsageError, match=r"unknown compute capability SM87: this one knows .*SM86"):
        aimed("tensorrt_rtx", EngineOptions(compute_capabilities=("SM86", "SM87")))
    for options in (replace(SM86, version_compatible=True), replace(SM86, hardware_compatible=True)):
        with pytest.raises(UsageError, match="run in the version that built them only"):
            aimed("tensorrt_rtx", options)
    for options in (replace(SM86, max_batch=0), replace(SM86, workspace_mib=0)):
        with pytest.raises(UsageError, match="at least 1"):
            aimed("tensorrt_rtx", options)
    monkeypatch.setattr(engine_module, "load_tensorrt", lambda flavour: trt)
    with pytest.raises(EngineError, match="on the GPU that is to run it, and no NVIDIA GPU was found"):
        aimed("tensorrt", EngineOptions())
    with pytest.raises(UsageError, match="a compute capability is for tensorrt_rtx"):
        aimed("tensorrt", SM86)


def test_the_gpu_of_the_machine_is_what_is_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "cuda_device", lambda: replace(ORIN, compute_capability="8.9"))
    assert aimed("tensorrt_rtx", EngineOptions())[0].compute_capabilities == ("SM89",)
    monkeypatch.setattr(engine_module, "load_tensorrt", lambda flavour: trt)
    options, device = aimed("tensorrt", EngineOptions())
    assert options.compute_capabilities == ("SM89",)
    assert device is not None
    assert device.name == "Orin"
    aimed("tensorrt", EngineOptions(hardware_compatible=True))
    monkeypatch.setattr(engine_module, "is_jetson", lambda: True)
    with pytest.raises(UsageError, match="no hardware-compatible engines on a Jetson"):
        aimed("tensorrt", EngineOptions(hardware_compatible=True))


class Attempts:
    """Stands for builds that run out of memory until the workspace is small enough; a test of our logic only."""

    def __init__(self, enough: int, reason: str = "Error Code 2: OutOfMemory (Requested size was 99 bytes.)") -> None:
        self.enough = enough
        self.reason = reason
        self.tried: list[int | None] = []

    def __call__(self, builder: Any, target: Path, options: EngineOptions, *rest: object) -> tuple[tuple[()], str]:
        self.tried.append(options.workspace_mib)
        fits = options.workspace_mib is not None and options.workspace_mib <= self.enough
        return (), "" if fits else self.reason


@pytest.mark.parametrize(
    ("workspace", "enough", "tried"), [(None, 300, [None, 1024, 256]), (1000, 100, [1000, 250, 62]), (50, 60, [50])]
)
def test_a_build_out_of_memory_is_tried_again_with_less(
    workspace: int | None, enough: int, tried: list[int], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = Attempts(enough)
    monkeypatch.setattr(engine_module._Builder, "attempt", lambda *arguments: attempts(*arguments))
    made = build(model, model, replace(SM86, workspace_mib=workspace))
    assert attempts.tried == tried
    assert made.record.workspace_mib == tried[-1]
    assert made.log.count("out of memory; trying again") == len(tried) - 1


def test_a_build_that_never_fits_ends_with_advice_and_another_error_at_once(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = Attempts(1)
    monkeypatch.setattr(engine_module._Builder, "attempt", lambda *arguments: attempts(*arguments))
    with pytest.raises(EngineError, match=r"Memory ran out \(with a workspace of 16 MiB\): .* smaller --workspace"):
        build(model, model)
    assert attempts.tried == [None, 1024, 256, 64, 16]
    attempts = Attempts(1, "Error Code 10: Could not find any implementation for node fc/MatMul")
    with pytest.raises(EngineError, match=r"could not build model\.fp32\.onnx: .*for node fc/MatMul$"):
        build(model, model)
    assert attempts.tried == [None]


@pytest.mark.skipif(cuda_device() is None, reason="no NVIDIA GPU is here: engines were built, none was run")
def test_an_engine_loads_on_this_gpu(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.engine"
    build(model, target, EngineOptions())
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    assert runtime.deserialize_cuda_engine(target.read_bytes()) is not None
