from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pycuda.driver as driver
import pytest

from mmn_edge.errors import EngineError
from mmn_edge.runtime.backends.tensorrt.cuda import Buffer, CudaThread

if TYPE_CHECKING:
    from support import StubCuda


def test_calls_from_anywhere_are_made_in_one_thread_with_the_context_current(cuda: StubCuda) -> None:
    def call(_: int) -> tuple[int, int]:
        return thread.call(lambda: (threading.get_ident(), cuda.depth))

    with CudaThread() as thread, ThreadPoolExecutor(4) as pool:
        found = {*pool.map(call, range(40)), call(0)}
        assert cuda.held == 1
    ((ident, depth),) = found
    assert ident != threading.get_ident()
    assert depth == 1
    assert cuda.calls.count("cuDevicePrimaryCtxRetain") == cuda.calls.count("cuDevicePrimaryCtxRelease") == 1
    # The last push is PyCUDA's, to release the context.
    assert cuda.calls.count("cuCtxPushCurrent") == cuda.calls.count("cuCtxPopCurrent") + 1


def test_it_may_be_entered_and_left_in_different_threads(cuda: StubCuda) -> None:
    thread = CudaThread()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(thread.__enter__).result()
    buffer = thread.call(Buffer, driver, (4, 3))
    thread.call(buffer.free)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(thread.__exit__).result()
    assert cuda.held == 0


def test_a_failing_call_leaves_no_context_behind(cuda: StubCuda) -> None:
    with CudaThread() as thread:
        with pytest.raises(ZeroDivisionError):
            thread.call(lambda: 1 // 0)
        cuda.fail("cuMemAlloc")
        with pytest.raises(EngineError, match=r"^CUDA failed: cuMemAlloc failed"):
            thread.call(Buffer, driver, (4, 3))
        cuda.fail("")
        assert thread.call(lambda: cuda.depth) == 1


def test_nothing_stays_where_the_context_cannot_be_had(cuda: StubCuda) -> None:
    before = threading.active_count()
    cuda.fail("cuDevicePrimaryCtxRetain")
    with pytest.raises(EngineError, match="CUDA failed"), CudaThread():
        pass
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="enter it first"):
        CudaThread().call(int)


def test_leaving_twice_is_no_harm(cuda: StubCuda) -> None:
    thread = CudaThread()
    thread.__exit__()
    with thread:
        pass
    thread.__exit__()
    with thread:  # and it can be started again
        assert thread.call(lambda: 7) == 7


def test_a_buffer_goes_to_the_device_and_back(cuda: StubCuda) -> None:
    def there_and_back() -> Any:
        stream, buffer = driver.Stream(), Buffer(driver, (4, 3))
        buffer.host[:] = np.arange(12).reshape(4, 3)
        buffer.upload(2, stream)
        stream.synchronize()
        buffer.host[:] = 0
        buffer.download(2, stream)
        before = buffer.host.copy()
        stream.synchronize()
        after = buffer.host.copy()
        buffer.free()
        return before, after

    with CudaThread() as thread:
        before, after = thread.call(there_and_back)
    assert not before.any()  # asynchronous: nothing had been copied
    np.testing.assert_array_equal(after, [[0, 1, 2], [3, 4, 5], [0, 0, 0], [0, 0, 0]])


# What follows is done wrong on purpose: the stub and PyCUDA must notice.


def test_use_without_a_context_is_noticed(cuda: StubCuda) -> None:
    with CudaThread() as thread:
        buffer = thread.call(Buffer, driver, (4, 3))
        streams = [thread.call(driver.Stream)]
        with pytest.raises(driver.Error):
            Buffer(driver, (4, 3))  # in this thread, which has none
        with pytest.raises(driver.Error):
            buffer.upload(1, streams[0])
        assert "cuMemcpyHtoDAsync without a current context" in cuda.problems
        thread.call(buffer.free)
        thread.call(streams.clear)
    cuda.expected_problems = True


def test_a_release_during_a_copy_is_noticed(cuda: StubCuda) -> None:
    def release() -> None:
        stream, buffer = driver.Stream(), Buffer(driver, (4, 3))
        buffer.upload(1, stream)
        buffer.free()
        stream.synchronize()

    with CudaThread() as thread:
        thread.call(release)
    assert "cuMemFree of memory that a copy is under way with" in cuda.problems
    assert "cuMemFreeHost of memory that a copy is under way with" in cuda.problems
    cuda.expected_problems = True


def test_what_outlives_the_context_is_noticed(cuda: StubCuda) -> None:
    with CudaThread() as thread:
        buffer = thread.call(Buffer, driver, (4, 3))
    assert "the context was released with 2 things left in it" in cuda.problems
    assert buffer.address
    cuda.expected_problems = True
