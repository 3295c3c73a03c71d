from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pycuda.driver as driver
import pytest
import tensorrt
from support import MAX_BATCH, assert_same, expected, windows, with_engine

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import BundleError, EngineError, MissingDependencyError
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.runtime.backends.tensorrt import backend as tensorrt_backend
from mmn_edge.runtime.backends.tensorrt.backend import TensorRTBackend, _Session
from mmn_edge.runtime.backends.tensorrt.cuda import Buffer, CudaThread
from mmn_edge.runtime.backends.tensorrt.engine import Execution

if TYPE_CHECKING:
    from support import StubCuda

KEPT: list[Any] = []
"""What is kept alive on purpose."""


@pytest.fixture(autouse=True)
def no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_backend, "load_bindings", lambda: None)


@pytest.mark.parametrize("count", [1, 2, MAX_BATCH, MAX_BATCH + 1, 2 * MAX_BATCH + 3])
def test_any_number_of_windows_goes_through(cuda: StubCuda, bundle: Bundle, count: int) -> None:
    keypoints = windows(count)
    with open_backend(bundle, "tensorrt") as backend:
        assert backend.name == "tensorrt 10.3.0 Stub"
        assert backend.precision == "fp32"
        output = backend.run({"keypoints": keypoints})
    assert_same(output, expected(bundle, keypoints))


def test_outputs_are_the_callers_own(cuda: StubCuda, bundle: Bundle) -> None:
    with open_backend(bundle, "tensorrt") as backend:
        first = backend.run({"keypoints": windows(2, seed=1)})
        kept = first.logits.copy()
        backend.run({"keypoints": windows(2, seed=2)})
    np.testing.assert_array_equal(first.logits, kept)  # also after the pinned memory is gone


def test_addresses_are_set_once_and_shapes_when_they_change(cuda: StubCuda, bundle: Bundle) -> None:
    with open_backend(bundle, "tensorrt") as backend:
        for count in (1, 1, 3, 3, 1):
            backend.run({"keypoints": windows(count)})
    shapes = [call for call in tensorrt.calls if call.startswith("set_input_shape")]
    assert shapes == [f"set_input_shape {count}" for count in (1, 3, 1)]
    assert sum(call.startswith("set_tensor_address") for call in tensorrt.calls) == 3
    for name in (
        "cuMemAlloc",
        "cuMemHostAlloc",
        "cuStreamCreate",
    ):  # 3 tensors; an engine and a context of the stand-in
        assert cuda.calls.count(name) == {"cuMemAlloc": 5, "cuMemHostAlloc": 3, "cuStreamCreate": 1}[name]


def test_any_thread_may_call(cuda: StubCuda, bundle: Bundle) -> None:
    inputs = [windows(1 + seed % 6, seed) for seed in range(12)]
    with open_backend(bundle, "tensorrt") as backend, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda keypoints: backend.run({"keypoints": keypoints}), inputs))
    for output, keypoints in zip(found, inputs, strict=True):
        assert_same(output, expected(bundle, keypoints))


def test_any_thread_may_load_and_release(cuda: StubCuda, bundle: Bundle) -> None:
    backend = open_backend(bundle, "tensorrt")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(backend.__enter__).result()
    backend.run({"keypoints": windows(1)})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(backend.__exit__).result()
    backend.__exit__()
    with pytest.raises(RuntimeError, match="enter the backend first"):
        backend.run({"keypoints": windows(1)})
    with backend:  # and again
        backend.run({"keypoints": windows(1)})


def test_the_context_goes_last(cuda: StubCuda, bundle: Bundle) -> None:
    with open_backend(bundle, "tensorrt") as backend:
        backend.run({"keypoints": windows(3)})
    released = [call for call in cuda.calls if "Free" in call or "Destroy" in call or "Release" in call]
    # The stand-in's context, the buffers of three tensors, the stand-in's engine, the stream, the context of CUDA.
    assert released == ["cuMemFree", *["cuMemFree", "cuMemFreeHost"] * 3, "cuMemFree", "cuStreamDestroy",
                        "cuDevicePrimaryCtxRelease"]  # fmt: skip


def test_a_failing_run_raises_what_tensorrt_reported_and_the_next_one_works(cuda: StubCuda, bundle: Bundle) -> None:
    keypoints = windows(2)
    with open_backend(bundle, "tensorrt") as backend:
        for name, what in (("set_input_shape", "does not take 2 windows"), ("execute_async_v3", "failed to run")):
            tensorrt.failing.add(name)
            message = rf"^model.fp32.tensorrt.engine {what}.*: \[stand-in\] {name} was told to fail$"
            with pytest.raises(EngineError, match=message):
                backend.run({"keypoints": keypoints})
            tensorrt.failing.clear()
        assert_same(backend.run({"keypoints": keypoints}), expected(bundle, keypoints))
        cuda.fail("cuMemcpyDtoHAsync", 700)
        with pytest.raises(EngineError, match="CUDA failed: cuMemcpyDtoHAsync"):
            backend.run({"keypoints": keypoints})
        cuda.fail("cuStreamSynchronize", 719)
        with pytest.raises(EngineError, match="CUDA failed: cuStreamSynchronize"):
            backend.run({"keypoints": keypoints})
        cuda.fail("")


def test_a_gpu_that_fails_for_good_is_released_all_the_same(cuda: StubCuda, bundle: Bundle) -> None:
    backend = open_backend(bundle, "tensorrt").__enter__()
    cuda.fail("cuStreamSynchronize", 719)
    with pytest.raises(EngineError, match="cuStreamSynchronize"):
        backend.run({"keypoints": windows(1)})
    with pytest.raises(EngineError, match="cuStreamSynchronize"):
        backend.__exit__()
    assert cuda.held == 0
    cuda.expected_problems = True  # what was under way when the GPU failed


@pytest.mark.parametrize("name", ["deserialize_cuda_engine", "create_execution_context", "set_tensor_address"])
def test_loading_that_fails_leaves_nothing(cuda: StubCuda, bundle: Bundle, name: str) -> None:
    tensorrt.failing.add(name)
    with pytest.raises(EngineError, match=f"{name} was told to fail"), open_backend(bundle, "tensorrt"):
        pass
    assert cuda.held == 0


@pytest.mark.parametrize("name", ["cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_loading_without_enough_memory_leaves_nothing(cuda: StubCuda, bundle: Bundle, name: str, after: int) -> None:
    cuda.fail(name, after=after)
    if (name, after) in {("cuStreamCreate", 1), ("cuStreamCreate", 2)}:
        with open_backend(bundle, "tensorrt"):  # there is one stream only
            return
    with pytest.raises((EngineError, AssertionError), match=f"{name}|out of memory"), open_backend(bundle, "tensorrt"):
        pass
    assert cuda.held == 0


def test_an_engine_that_does_not_fit_is_refused_before_it_is_loaded(cuda: StubCuda, bundle: Bundle) -> None:
    (record,) = bundle.manifest.engines
    for change, message in (
        ({"tensorrt": "10.7.0"}, "built with TensorRT 10.7.0, and 10.3.0 is here"),
        ({"device": "Orin"}, "built on Orin, and this is Stub"),
        ({"compute_capabilities": ("8.6",)}, "compute capability 8.6, and Stub has 8.7"),
        ({"onnx_sha256": "0"}, "another fp32 ONNX model"),
    ):
        command = rf"mmn-edge convert {bundle.path} --engine --precision fp32"
        backend = TensorRTBackend(bundle, replace(record, **change))
        with pytest.raises(EngineError, match=f"{message}.*{command}"), backend:
            pass
    assert not tensorrt.calls


def test_a_file_that_changed_since_the_bundle_was_opened_is_refused(cuda: StubCuda, bundle: Bundle) -> None:
    (record,) = bundle.manifest.engines
    backend = open_backend(bundle, "tensorrt")
    (bundle.path / record.file).write_bytes(b"something else")
    with pytest.raises(EngineError, match=r"not loaded: its SHA-256 .* build it again with: mmn-edge convert"), backend:
        pass
    (bundle.path / record.file).unlink()
    with pytest.raises(EngineError, match="cannot be read"), backend:
        pass
    assert not tensorrt.calls


def test_an_engine_of_another_model_is_refused(cuda: StubCuda, bundle: Bundle) -> None:
    half = with_engine(bundle.path, dtype="HALF")
    with pytest.raises(EngineError, match="keypoints is not float32"), open_backend(half, "tensorrt"):
        pass
    bundle = with_engine(bundle.path)
    spec = replace(bundle.manifest.inputs[0], shape=("N", 32, 44, 2))
    other = Bundle(bundle.path, replace(bundle.manifest, inputs=(spec,)))
    with pytest.raises(EngineError, match="not of this bundle's model"), open_backend(other, "tensorrt"):
        pass
    assert cuda.held == 0


def test_wrong_shapes_are_refused_and_not_broadcast(cuda: StubCuda, bundle: Bundle) -> None:
    with open_backend(bundle, "tensorrt") as backend:
        for inputs in ({"keypoints": windows(2)[..., :1]}, {"keypoints": windows(2), "more": windows(2)}):
            with pytest.raises(ValueError, match="the engine takes"):
                backend.run(inputs)


def test_the_engine_is_the_default_where_it_fits(
    cuda: StubCuda, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    assert isinstance(open_backend(bundle, on_note=notes.append), TensorRTBackend)
    assert not notes
    record = replace(bundle.manifest.engines[0], tensorrt="10.7.0")
    old = Bundle(bundle.path, replace(bundle.manifest, engines=(record,)))
    assert open_backend(old, on_note=notes.append).name.startswith("onnxruntime")
    newer = replace(record, flavour="tensorrt_rtx")
    two = Bundle(bundle.path, replace(bundle.manifest, engines=(*bundle.manifest.engines, newer)))
    assert isinstance(open_backend(two, on_note=notes.append), TensorRTBackend)  # the older one, which fits
    cuda.reset(0)
    assert open_backend(bundle, on_note=notes.append).name.startswith("onnxruntime")
    cuda.reset(1)
    monkeypatch.setattr(tensorrt_backend, "load_driver", lambda: (_ for _ in ()).throw(MissingDependencyError("none")))
    assert open_backend(bundle, on_note=notes.append).name.startswith("onnxruntime")
    assert "TensorRT 10.7.0" in notes[0]
    assert "no NVIDIA GPU" in notes[1]
    assert notes[2].endswith("instead: none")
    with pytest.raises(BundleError, match="no int8 model"):
        open_backend(bundle, precision="int8")


# What follows breaks the runner on purpose: each must be noticed here, or the tests above could not fail.


def run_twice(bundle: Bundle) -> None:
    """What the tests above ask for."""
    with open_backend(bundle, "tensorrt") as backend:
        for count in (2, 3):
            keypoints = windows(count, seed=count)
            assert_same(backend.run({"keypoints": keypoints}), expected(bundle, keypoints))


def launch_without_waiting(self: _Session, size: int) -> None:
    self._enqueue(self._execution.enqueue, size)


def enqueue_carelessly(self: Execution, batch: int, stream: int) -> None:
    assert self._context is not None
    self._context.execute_async_v3(stream)  # with the shapes of an earlier run, or none


@pytest.mark.filterwarnings("ignore:.*could not be cleaned up:UserWarning")
@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (CudaThread, "call", lambda self, function, *args: function(*args)),  # in a thread without the context
        (_Session, "_launch", launch_without_waiting),
        # ONNX Runtime 1.23, the last for Python 3.10, fails in the stub where it gets no windows.
        pytest.param(
            Execution,
            "enqueue",
            enqueue_carelessly,
            marks=pytest.mark.filterwarnings("ignore:.*compute:pytest.PytestUnraisableExceptionWarning"),
        ),
        (Buffer, "upload", lambda self, count, stream: None),
        (Buffer, "download", lambda self, count, stream: None),
    ],
)
def test_a_wrong_call_is_noticed(
    cuda: StubCuda, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, broken: Callable[..., None]
) -> None:
    run_twice(bundle)
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises((AssertionError, driver.Error)):
        run_twice(bundle)
    cuda.expected_problems = True


@pytest.mark.filterwarnings("ignore:.*could not be cleaned up:UserWarning")  # PyCUDA notices, too
@pytest.mark.parametrize(
    ("owner", "name", "broken", "problem"),
    [
        (_Session, "close", lambda self: None, "things left"),
        (_Session, "_drop_stream", lambda self: None, "things left"),
        (Buffer, "free", lambda self: KEPT.append(self._device), "things left"),
        (_Session, "close", lambda self: self._stack.close(), "a copy is under way"),
    ],
)
def test_a_wrong_release_is_noticed(
    cuda: StubCuda,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    broken: Callable[..., None],
    problem: str,
) -> None:
    run_twice(bundle)
    assert not cuda.problems
    monkeypatch.setattr(owner, name, broken)
    monkeypatch.setattr(_Session, "_launch", launch_without_waiting)
    with open_backend(bundle, "tensorrt") as backend:
        backend.run({"keypoints": windows(2)})
    assert problem in cuda.problems
    cuda.expected_problems = True
