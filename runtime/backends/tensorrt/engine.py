"""A deserialised TensorRT engine: its tensors, its execution contexts, and its errors as ours.

The interface used here is the one common to TensorRT 10.3, 10.13 and 11.4 and to TensorRT for RTX;
``tests/test_tensorrt_types.py`` checks it against the bindings of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsInt

from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.errors import EngineError
from mmn_edge.system.tensorrt import load_tensorrt

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["Engine", "Execution", "Tensor"]

MAX_ERRORS = 16
"""Kept of one failure; the first ones tell the cause."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine.

    Attributes:
        name: Its name in the graph.
        is_input: Whether it is an input.
        shape: ``(N, ...)``; N is -1 where the batch is dynamic.
    """

    name: str
    is_input: bool
    shape: tuple[int, ...]


class Engine:
    """An engine in the memory of the GPU. To be made, used and closed with a CUDA context current.

    Args:
        serialized: The content of the engine's file, checked beforehand.
        record: What is known of it.

    Attributes:
        tensors: Its inputs and outputs; all are float32.
        max_batch: The largest batch of its optimization profile.

    Raises:
        EngineError: TensorRT refuses it, or it is not what mmn-edge builds.
    """

    def __init__(self, serialized: bytes, record: EngineRecord) -> None:
        if not TYPE_CHECKING:
            trt = load_tensorrt(record.flavour)
        self._name = record.file
        self._recorder = _error_recorder(record.flavour)
        # What the recorder gets need not be printed, too; internal errors may come before there is one.
        self._logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
        self._runtime: trt.Runtime | None = trt.Runtime(self._logger)
        self._runtime.error_recorder = self._recorder
        if record.version_compatible:
            self._runtime.engine_host_code_allowed = True  # such an engine brings the runtime of its own version
        self._engine: trt.ICudaEngine | None = self._runtime.deserialize_cuda_engine(serialized)
        if self._engine is None:
            raise self._failed("cannot be loaded")
        tensors = []
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            if self._engine.get_tensor_dtype(name) != trt.DataType.FLOAT:
                raise EngineError(f"{record.file}: tensor {name} is not float32: build the engine again")
            is_input = self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            shape = self._engine.get_tensor_shape(name)
            tensors.append(Tensor(name, is_input, tuple(shape[axis] for axis in range(len(shape)))))
        self.tensors = tuple(tensors)
        _, _, largest = self._engine.get_tensor_profile_shape(next(t.name for t in tensors if t.is_input), 0)
        self.max_batch = int(largest[0])

    def execution(self, addresses: Mapping[str, int]) -> Execution:
        """Make an execution context that reads and writes at these device addresses, set once.

        Raises:
            EngineError: There is not enough memory, or an address is missing.
        """
        assert self._engine is not None, "the engine is closed"
        context = self._engine.create_execution_context()
        if context is None:
            raise self._failed("has no memory to run in")
        for tensor in self.tensors:
            if not context.set_tensor_address(tensor.name, addresses[tensor.name]):
                raise self._failed(f"does not take an address for {tensor.name}")
        return Execution(self, context, [tensor for tensor in self.tensors if tensor.is_input])

    def close(self) -> None:
        """Release it. Executions are to be closed before."""
        self._engine = None
        self._runtime = None

    def _failed(self, what: str) -> EngineError:
        """The error to raise, with all that TensorRT has reported since the last one."""
        reasons = [self._recorder.get_error_desc(index) for index in range(self._recorder.num_errors())]
        self._recorder.clear()
        return EngineError(f"{self._name} {what}: {'; '.join(reasons) or 'TensorRT gave no reason'}")


class Execution:
    """An execution context; made by :meth:`Engine.execution`. One run at a time."""

    def __init__(self, engine: Engine, context: trt.IExecutionContext, inputs: list[Tensor]) -> None:
        self._engine = engine
        self._context: trt.IExecutionContext | None = context
        self._inputs = inputs
        self._batch = 0

    def enqueue(self, batch: int, stream: int) -> None:
        """Put a run of ``batch`` windows on a stream.

        Raises:
            EngineError: TensorRT refuses; the message holds its reasons.
        """
        assert self._context is not None, "the execution is closed"
        if batch != self._batch:
            self._batch = 0
            for tensor in self._inputs:
                if not self._context.set_input_shape(tensor.name, (batch, *tensor.shape[1:])):
                    raise self._engine._failed(f"does not take {batch} windows at once")
            self._batch = batch
        if not self._context.execute_async_v3(stream):
            raise self._engine._failed("failed to run")

    def close(self) -> None:
        """Release it; nothing may be under way."""
        self._context = None


def _error_recorder(flavour: str) -> trt.IErrorRecorder:
    """What TensorRT reports to, from any thread; it is to outlive whatever reports."""
    if not TYPE_CHECKING:
        trt = load_tensorrt(flavour)

    class Recorder(trt.IErrorRecorder):
        def __init__(self) -> None:
            trt.IErrorRecorder.__init__(self)  # pybind11 asks for the explicit call
            self._errors: list[tuple[trt.ErrorCodeTRT, str]] = []

        def clear(self) -> None:
            self._errors.clear()

        def get_error_code(self, index: SupportsInt) -> trt.ErrorCodeTRT:
            return self._errors[int(index)][0]

        def get_error_desc(self, index: SupportsInt) -> str:
            return self._errors[int(index)][1]

        def has_overflowed(self) -> bool:
            return len(self._errors) == MAX_ERRORS

        def num_errors(self) -> int:
            return len(self._errors)

        def report_error(self, code: trt.ErrorCodeTRT, description: str) -> bool:
            if len(self._errors) < MAX_ERRORS:
                self._errors.append((code, description.strip()))
            return True

    return Recorder()
