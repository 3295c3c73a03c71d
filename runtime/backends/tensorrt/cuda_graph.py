"""CUDA graphs by way of cuda-python, since PyCUDA has none: a sequence of calls recorded once and launched as one.

An option: without the package, or where capturing fails, the same calls are made one by one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from mmn_edge.errors import EngineError

__all__ = ["CudaGraph", "GraphError", "load_bindings"]


class GraphError(EngineError):
    """A graph that could not be captured or launched."""


def load_bindings() -> Any:
    """Import ``cuda.bindings.driver``; None where it is not installed or does not load."""
    try:
        return importlib.import_module("cuda.bindings.driver")
    except (ImportError, OSError, RuntimeError):  # it looks for libcuda by hand, and says so in its own ways
        return None


class CudaGraph:
    """What ``enqueue`` puts on a stream, recorded. To be made, used and closed with the stream's context current.

    Args:
        cuda: ``cuda.bindings.driver``.
        stream: The stream's handle.
        enqueue: Makes the calls. They are recorded and not carried out, so that none may wait for the device.

    Raises:
        GraphError: Something in it cannot be captured; the stream is as before.
    """

    def __init__(self, cuda: Any, stream: int, enqueue: Callable[[], None]) -> None:
        self._cuda = cuda
        self._stream = cuda.CUstream(stream)
        # Thread-local: what other threads of the process do with CUDA meanwhile is no part of it and no error.
        mode = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self._stream, mode)
        try:
            enqueue()
        except Exception as error:
            cuda.cuStreamEndCapture(self._stream)  # a failed capture is ended, too, or the stream stays unusable
            raise GraphError(str(error)) from error
        graph = self._call("cuStreamEndCapture", self._stream)
        try:
            self._exec = self._call("cuGraphInstantiate", graph, 0)
        finally:
            cuda.cuGraphDestroy(graph)

    def launch(self) -> None:
        """Put the recorded calls on the stream.

        Raises:
            GraphError: The launch failed.
        """
        self._call("cuGraphLaunch", self._exec, self._stream)

    def close(self) -> None:
        """Release it; nothing may be under way."""
        self._cuda.cuGraphExecDestroy(self._exec)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            status, *values = getattr(self._cuda, name)(*arguments)
        except RuntimeError as error:  # a driver without the function
            raise GraphError(f"{name} failed: {error}") from error
        if status != self._cuda.CUresult.CUDA_SUCCESS:
            raise GraphError(f"{name} failed: {status.name}")
        return values[0] if values else None
