from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pycuda.driver as driver
import pytest
import tensorrt
from cuda.bindings import driver as bindings
from support import assert_same, expected, windows

from mmn_edge.errors import EngineError
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.runtime.backends.tensorrt import cuda_graph
from mmn_edge.runtime.backends.tensorrt.backend import _Session
from mmn_edge.runtime.backends.tensorrt.cuda import Buffer, CudaThread
from mmn_edge.runtime.backends.tensorrt.cuda_graph import CudaGraph, GraphError
from mmn_edge.runtime.backends.tensorrt.engine import Engine, Execution

if TYPE_CHECKING:
    from support import StubCuda

    from mmn_edge.bundle.bundle import Bundle


def test_what_is_recorded_is_done_at_each_launch_and_not_before(cuda: StubCuda) -> None:
    def record_and_launch() -> list[float]:
        stream, source, target = driver.Stream(), Buffer(driver, (1, 1)), Buffer(driver, (1, 1))
        found = []
        source.host[:] = 1
        graph = CudaGraph(bindings, stream.handle, lambda: source.upload(1, stream))
        stream.synchronize()
        for value in (2, 3):
            source.host[:] = value
            graph.launch()
            stream.synchronize()
            source.host[:] = 0
            source.download(1, stream)
            stream.synchronize()
            found.append(float(source.host[0, 0]))
        graph.close()
        source.free()
        target.free()
        return found

    with CudaThread() as thread:
        assert thread.call(record_and_launch) == [2, 3]
        assert cuda.held == 1


@pytest.mark.parametrize("name", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_a_failure_at_each_step_leaves_nothing(cuda: StubCuda, name: str) -> None:
    def record() -> None:
        stream = driver.Stream()
        cuda.fail(name, 901)
        with pytest.raises(GraphError, match=f"{name} failed: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"):
            CudaGraph(bindings, stream.handle, lambda: None)

    with CudaThread() as thread:
        thread.call(record)
        assert cuda.held == 1


def test_waiting_within_a_capture_fails_and_the_stream_stays_usable(cuda: StubCuda) -> None:
    def record() -> None:
        stream = driver.Stream()
        with pytest.raises(GraphError, match="cuStreamSynchronize failed"):
            CudaGraph(bindings, stream.handle, stream.synchronize)
        stream.synchronize()

    with CudaThread() as thread:
        thread.call(record)


@pytest.mark.parametrize("faster", [True, False])
def test_the_graph_is_used_for_one_window_where_it_is_faster(
    cuda: StubCuda, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, faster: bool
) -> None:
    measured = _Session._compare

    def compare(self: _Session, graph: CudaGraph) -> tuple[float, float]:
        assert all(seconds > 0 for seconds in measured(self, graph))
        return (2.0, 1.0) if faster else (1.0, 2.0)

    monkeypatch.setattr(_Session, "_compare", compare)
    with open_backend(bundle, "tensorrt") as backend:
        assert backend.name.endswith(", CUDA graph") == faster
        before = cuda.calls.count("cuGraphLaunch")
        held = cuda.held
        for count in (1, 3, 1, 5):
            keypoints = windows(count, seed=count)
            assert_same(backend.run({"keypoints": keypoints}), expected(bundle, keypoints))
        assert cuda.calls.count("cuGraphLaunch") - before == (3 if faster else 0)  # 5 windows are 4 and 1
        assert cuda.held == held
        if faster:
            cuda.fail("cuGraphLaunch", 719)
            with pytest.raises(EngineError, match="cuGraphLaunch failed: CUDA_ERROR_LAUNCH_FAILED"):
                backend.run({"keypoints": windows(1)})
            cuda.fail("")


def test_without_the_package_or_a_capture_the_calls_are_made_one_by_one(
    cuda: StubCuda, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    keypoints = windows(1)
    cuda.fail("cuStreamBeginCapture", 901)
    with open_backend(bundle, "tensorrt") as backend:
        assert "graph" not in backend.name
        assert_same(backend.run({"keypoints": keypoints}), expected(bundle, keypoints))
    monkeypatch.setattr(cuda_graph.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    assert cuda_graph.load_bindings() is None


@pytest.mark.parametrize("name", ["create_execution_context", "set_tensor_address", "execute_async_v3"])
def test_a_second_context_that_fails_is_done_without(
    cuda: StubCuda, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    execution = Engine.execution
    made: list[Execution] = []

    def second_fails(self: Engine, addresses: Mapping[str, int]) -> Execution:
        if made:
            tensorrt.failing.add(name)
        made.append(execution(self, addresses))
        return made[-1]

    monkeypatch.setattr(Engine, "execution", second_fails)
    keypoints = windows(1)
    with open_backend(bundle, "tensorrt") as backend:
        assert name in tensorrt.failing
        tensorrt.failing.clear()
        assert "graph" not in backend.name
        assert_same(backend.run({"keypoints": keypoints}), expected(bundle, keypoints))


def test_the_bindings_are_cuda_pythons(cuda: StubCuda) -> None:
    assert cuda_graph.load_bindings() is bindings
    np.testing.assert_equal(bindings.CUresult.CUDA_SUCCESS.value, 0)
