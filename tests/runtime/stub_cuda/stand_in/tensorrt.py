"""A stand-in for TensorRT: what the runner calls of it, over the stub of libcuda. No proof of TensorRT.

An "engine" is a JSON text that names an ONNX file, which ONNX Runtime computes when the stream gets there, reading and
writing "device" memory at the addresses that were set. Names and signatures are TensorRT's as far as the runner uses
them; that they are is proven elsewhere (``tests/test_tensorrt_types.py``).
"""

from __future__ import annotations

import ctypes
import enum
import json
from typing import Any

import numpy as np
import onnxruntime

__version__ = "10.3.0"

LIBCUDA = ctypes.CDLL("libcuda.so.1")
HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

failing: set[str] = set()
"""Names of functions that are to fail."""

calls: list[str] = []
"""What was called, with its arguments where they tell."""


def _call(name: str, recorder: IErrorRecorder | None = None) -> bool:
    """Note a call; False if it is to fail, which is then reported as TensorRT does."""
    calls.append(name)
    current = ctypes.c_void_p()
    LIBCUDA.cuCtxGetCurrent(ctypes.byref(current))
    assert current.value, f"{name} without a current context"
    function = name.partition(" ")[0]
    if function in failing and recorder is not None:
        recorder.report_error(ErrorCodeTRT.FAILED_EXECUTION, f"[stand-in] {function} was told to fail")
    return function not in failing


class _Memory:
    """Something on the device, to be released with the object that holds it and with a context current."""

    def __init__(self) -> None:
        self._address = ctypes.c_uint64()
        assert LIBCUDA.cuMemAlloc_v2(ctypes.byref(self._address), ctypes.c_size_t(64)) == 0, "out of memory"

    def __del__(self) -> None:
        if self._address.value:
            LIBCUDA.cuMemFree_v2(self._address)


class ErrorCodeTRT(enum.Enum):
    FAILED_EXECUTION = 6


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class Logger:
    INTERNAL_ERROR = 0

    def __init__(self, min_severity: int) -> None:
        pass


class IErrorRecorder:
    def report_error(self, code: ErrorCodeTRT, description: str) -> bool:
        raise NotImplementedError


class Runtime:
    def __init__(self, logger: Logger) -> None:
        _call("Runtime")
        self.error_recorder: IErrorRecorder | None = None
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized: bytes) -> ICudaEngine | None:
        if not _call("deserialize_cuda_engine", self.error_recorder):
            return None
        return ICudaEngine(json.loads(serialized), self.error_recorder)


class ICudaEngine:
    def __init__(self, description: dict[str, Any], recorder: IErrorRecorder | None) -> None:
        self._memory = _Memory()
        self._recorder = recorder
        self._session = onnxruntime.InferenceSession(description["onnx"], providers=["CPUExecutionProvider"])
        self._max_batch = description["max_batch"]
        self._type = DataType[description.get("dtype", "FLOAT")]
        self._inputs = {entry.name: entry.shape for entry in self._session.get_inputs()}
        self._outputs = {entry.name: entry.shape for entry in self._session.get_outputs()}

    @property
    def num_io_tensors(self) -> int:
        return len(self._inputs) + len(self._outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self._inputs, *self._outputs][index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._type

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> list[int]:
        _, *rest = (self._inputs | self._outputs)[name]
        return [-1, *rest]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[list[int]]:
        _, *rest = self.get_tensor_shape(name)
        return [[1, *rest], [1, *rest], [self._max_batch, *rest]]

    def create_execution_context(self) -> IExecutionContext | None:
        return IExecutionContext(self) if _call("create_execution_context", self._recorder) else None


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._memory = _Memory()
        self._engine = engine
        self._batch = 0
        self._addresses: dict[str, int] = {}
        self._queued: list[Any] = []  # what a stream may still call

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return _call(f"set_tensor_address {name}", self._engine._recorder)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if not _call(f"set_input_shape {shape[0]}", self._engine._recorder):
            return False
        self._batch = shape[0]
        return 1 <= shape[0] <= self._engine._max_batch

    def execute_async_v3(self, stream_handle: int) -> bool:
        if not _call("execute_async_v3", self._engine._recorder):
            return False
        engine, batch, addresses = self._engine, self._batch, dict(self._addresses)

        def compute(_: int | None) -> None:
            def tensor(name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
                shape = (batch, *engine.get_tensor_shape(name)[1:])
                pointer = ctypes.cast(addresses[name], ctypes.POINTER(ctypes.c_float))
                return np.ctypeslib.as_array(pointer, shape)

            outputs = list(engine._outputs)
            results = engine._session.run(outputs, {name: tensor(name) for name in engine._inputs})
            for name, result in zip(outputs, results, strict=True):
                tensor(name)[:] = result

        function = HOST_FUNCTION(compute)
        self._queued.append(function)
        return bool(LIBCUDA.cuLaunchHostFunc(ctypes.c_void_p(stream_handle), function, None) == 0)
