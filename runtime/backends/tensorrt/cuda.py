"""CUDA as the runner needs it: one thread that owns the primary context, and pinned memory with its twin on the device.

The context is retained by hand, without ``pycuda.autoinit``: that would make a second context beside the primary one of
TensorRT and of everything else in the process, current in whatever thread happened to import it.

Why a thread of its own, and not a lock around calls from everywhere: PyCUDA's streams and allocations can be released
only by the thread that retained their context, and are leaked with a warning elsewhere; and when PyCUDA releases a
primary context, it leaves it on the calling thread's stack of contexts. In a thread that ends with the context neither
can happen, whoever calls and whoever closes. The price is handing a call over and back.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mmn_edge.errors import EngineError
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Buffer", "CudaThread", "load_driver"]

T = TypeVar("T")


def load_driver() -> Any:
    """Import ``pycuda.driver``.

    Raises:
        MissingDependencyError: PyCUDA is not installed, or does not load.
    """
    for module in ("pycuda", "pycuda.driver"):
        require(module, extra="jetson", purpose="Running a TensorRT engine")
    return importlib.import_module("pycuda.driver")


class CudaThread:
    """The thread that all CUDA calls of a backend are made in. Enter it to start it, leave it to end it.

    Any thread may call; calls run one after another. The context is pushed before each and popped after it.

    Args:
        device: Number of the GPU, as CUDA counts them (``CUDA_VISIBLE_DEVICES``).
    """

    def __init__(self, device: int = 0) -> None:
        self._device = device
        self._driver: Any = None
        self._context: Any = None
        self._executor: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        self._driver = load_driver()
        self._executor = ThreadPoolExecutor(1, "mmn-edge-cuda")
        try:
            self._submit(self._retain)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is None:
            return
        try:
            self._submit(self._release)
        finally:
            self._executor.shutdown()
            self._executor = None

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` in the thread, with the context current, and return what it returns.

        Raises:
            EngineError: A CUDA call failed. Whatever else the function raises passes through.
        """

        def within() -> T:
            self._context.push()
            try:
                return function(*args)
            except BaseException as error:
                _let_go(error)
                raise
            finally:
                self._driver.Context.pop()

        return self._submit(within)

    def _submit(self, function: Callable[[], T]) -> T:
        if self._executor is None:
            raise RuntimeError("the CUDA thread is not running: enter it first")
        try:
            return self._executor.submit(function).result()
        except self._driver.Error as error:
            raise EngineError(f"CUDA failed: {error}") from error

    def _retain(self) -> None:
        self._driver.init()
        self._context = self._driver.Device(self._device).retain_primary_context()

    def _release(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            context.detach()


def _let_go(error: BaseException) -> None:
    """Drop what the frames of a failed call hold: it is to be released here, and not where the error is forgotten."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


class Buffer:
    """A float32 tensor in pinned host memory and on the device; to be made, used and freed with a context current.

    Args:
        driver: ``pycuda.driver``.
        shape: ``(N, ...)`` with the largest batch.

    Attributes:
        host: The pinned array of that shape.
        address: The device address; it stays the same until the buffer is freed.
    """

    def __init__(self, driver: Any, shape: tuple[int, ...]) -> None:
        self._driver = driver
        self.host: FloatArray = driver.pagelocked_empty(shape, np.float32)
        self._device = driver.mem_alloc(self.host.nbytes)
        self.address = int(self._device)

    def upload(self, count: int, stream: Any) -> None:
        """Begin to copy the first ``count`` entries to the device."""
        self._driver.memcpy_htod_async(self._device, self.host[:count], stream)

    def download(self, count: int, stream: Any) -> None:
        """Begin to copy the first ``count`` entries from the device."""
        self._driver.memcpy_dtoh_async(self.host[:count], self._device, stream)

    def free(self) -> None:
        """Release both; nothing may be under way."""
        self._device.free()
        pinned: Any = self.host.base
        self.host = np.empty((0, *self.host.shape[1:]), np.float32)
        pinned.free()
