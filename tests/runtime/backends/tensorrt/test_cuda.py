"""What needs no CUDA, and what needs a real one; the rest is in ``stub_cuda``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mmn_edge.errors import EngineError, MissingDependencyError
from mmn_edge.runtime.backends.tensorrt.cuda import Buffer, CudaThread, load_driver
from mmn_edge.runtime.backends.tensorrt.cuda_graph import CudaGraph, GraphError
from mmn_edge.system.tensorrt import cuda_device


@pytest.mark.skipif(importlib.util.find_spec("pycuda") is not None, reason="PyCUDA is here")
def test_without_pycuda_one_sentence_says_how_to_install_it() -> None:
    for call in (load_driver, CudaThread().__enter__):
        with pytest.raises(MissingDependencyError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith("Running a TensorRT engine needs pycuda, which is not installed")
        assert message.endswith('pip install "mmn-edge[jetson]"')


@pytest.mark.skipif(
    cuda_device() is None or importlib.util.find_spec("pycuda") is None, reason="no NVIDIA GPU with PyCUDA is here"
)
def test_buffers_threads_and_graphs_with_a_real_driver() -> None:
    bindings = pytest.importorskip("cuda.bindings.driver")
    driver = load_driver()
    with CudaThread() as thread:
        parts: list[Any] = thread.call(lambda: [driver.Stream(), Buffer(driver, (8, 32, 20, 3))])

        def passed(value: float, launch: Callable[[], None]) -> bool:
            stream, buffer = parts
            buffer.host[:] = value
            launch()
            stream.synchronize()
            buffer.host[:] = 0
            buffer.download(8, stream)
            stream.synchronize()
            return bool((buffer.host == value).all())

        def upload() -> None:
            stream, buffer = parts
            buffer.upload(8, stream)

        def recorded() -> CudaGraph:
            return CudaGraph(bindings, parts[0].handle, upload)

        def waiting() -> CudaGraph:
            return CudaGraph(bindings, parts[0].handle, parts[0].synchronize)

        def released() -> None:
            graph.close()
            parts.pop().free()
            parts.clear()  # PyCUDA destroys a stream with its last reference, and only in this thread

        graph = thread.call(recorded)
        assert thread.call(passed, 3.0, upload)
        assert thread.call(passed, 7.0, graph.launch)
        with ThreadPoolExecutor(1) as other:
            assert other.submit(thread.call, passed, 9.0, graph.launch).result()
        with pytest.raises(GraphError, match="cuStreamSynchronize failed"):
            thread.call(waiting)
        assert thread.call(passed, 4.0, upload)  # the stream is as before
        with pytest.raises(EngineError, match="CUDA failed: cuMemcpyDtoH failed"):
            thread.call(lambda: driver.memcpy_dtoh(np.empty(4, np.float32), 16))
        thread.call(released)
