"""A bundle's TensorRT engine as a backend."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import EngineRecord, check_engine, rebuild_command
from mmn_edge.errors import EngineError, MissingDependencyError
from mmn_edge.runtime.backends.backend import Output
from mmn_edge.runtime.backends.tensorrt.cuda import Buffer, CudaThread, load_driver
from mmn_edge.runtime.backends.tensorrt.cuda_graph import CudaGraph, load_bindings
from mmn_edge.runtime.backends.tensorrt.engine import Engine
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system.tensorrt import device_facts

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TensorRTBackend", "check_loadable", "why_not_loadable"]

GRAPH_RUNS = 30
"""Timed runs, with and without the CUDA graph, that decide on it."""


def check_loadable(bundle: Bundle, record: EngineRecord) -> None:
    """Say whether an engine of a bundle can be loaded on this machine, without loading it.

    Raises:
        MissingDependencyError: TensorRT or PyCUDA is not installed.
        EngineError: There is no GPU, or the engine does not fit; the message says what differs and how to rebuild it.
    """
    facts = device_facts(record.flavour)
    check_engine(record, facts, bundle.model_sha256(record.precision), bundle=bundle.path)
    load_driver()


def why_not_loadable(bundle: Bundle, record: EngineRecord) -> str:
    """What :func:`check_loadable` raises, in words; empty where the engine can be loaded."""
    try:
        check_loadable(bundle, record)
    except (EngineError, MissingDependencyError) as error:
        return str(error)
    return ""


class TensorRTBackend:
    """Runs an engine of a bundle on the GPU. Any thread may load, call and release it.

    Args:
        bundle: The bundle.
        record: One of its engines.
    """

    batches = True

    def __init__(self, bundle: Bundle, record: EngineRecord) -> None:
        self._bundle = bundle
        self._record = record
        self._stack = ExitStack()
        self._thread = CudaThread()
        self._session: _Session | None = None

    @property
    def name(self) -> str:
        """What runs the model; once it is loaded, also whether by a CUDA graph."""
        graph = ", CUDA graph" if self._session is not None and self._session.graph is not None else ""
        return f"{self._record.flavour} {self._record.tensorrt} {self._record.device}".rstrip() + graph

    @property
    def precision(self) -> str:
        """Which of the bundle's models the engine was built from."""
        return self._record.precision

    def __enter__(self) -> Self:
        check_loadable(self._bundle, self._record)
        serialized = self._read()
        with ExitStack() as stack:
            thread = stack.enter_context(self._thread)
            session = thread.call(_Session, self._bundle, self._record, serialized)
            stack.callback(thread.call, session.close)
            self._session = session
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._session = None
        self._stack.close()

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        """Run a batch of windows, however many: in parts where they are more than the engine takes at once.

        Raises:
            EngineError: The engine or the GPU failed.
        """
        if self._session is None:
            raise RuntimeError("the engine is not loaded: enter the backend first")
        return self._thread.call(self._session.run, inputs)

    def _read(self) -> bytes:
        """The engine's file, hashed again: it may have changed since the bundle was opened."""
        file = self._bundle.path / self._record.file
        try:
            serialized = file.read_bytes()
        except OSError as error:
            raise EngineError(f"{file} cannot be read ({error.strerror})") from error
        if hashlib.sha256(serialized).hexdigest() != self._bundle.manifest.files[self._record.file]["sha256"]:
            command = rebuild_command(self._bundle.path, self._record.precision)
            raise EngineError(
                f"{file} was not loaded: its SHA-256 is not the manifest's; build it again with: {command}"
            )
        return serialized


class _Session:
    """A loaded engine with its buffers and stream; everything here happens in the CUDA thread.

    One stream orders all: upload, run, download. A call waits for the stream at its end, also when it fails, so that
    nothing is under way when the next one fills the buffers or when they are freed.
    """

    def __init__(self, bundle: Bundle, record: EngineRecord, serialized: bytes) -> None:
        driver = load_driver()
        self.graph: CudaGraph | None = None
        with ExitStack() as stack:  # what was made before a failure is released in the opposite order
            self._stream: Any = driver.Stream()
            stack.callback(self._drop_stream)
            engine = Engine(serialized, record)
            stack.callback(engine.close)
            _check_tensors(bundle, engine, record)
            self._max_batch = engine.max_batch
            self._inputs: dict[str, Buffer] = {}
            self._outputs: dict[str, Buffer] = {}
            for tensor in engine.tensors:
                buffer = Buffer(driver, (self._max_batch, *tensor.shape[1:]))
                stack.callback(buffer.free)
                (self._inputs if tensor.is_input else self._outputs)[tensor.name] = buffer
            addresses = {name: buffer.address for name, buffer in (self._inputs | self._outputs).items()}
            self._execution = engine.execution(addresses)
            stack.callback(self._execution.close)
            self._choose_graph(engine, addresses, stack)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Release everything, whatever the GPU says."""
        try:
            self._stream.synchronize()
        finally:
            self._stack.close()

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        """Run a batch of any size."""
        count = self._check(inputs)
        results = {
            name: np.empty((count, *buffer.host.shape[1:]), np.float32) for name, buffer in self._outputs.items()
        }
        for begin in range(0, count, self._max_batch):
            part = slice(begin, min(begin + self._max_batch, count))
            size = part.stop - part.start
            for name, buffer in self._inputs.items():
                buffer.host[:size] = inputs[name][part]
            self._launch(size)
            for name, buffer in self._outputs.items():
                results[name][part] = buffer.host[:size]
        return Output(results["logits"], results["probabilities"])

    def _launch(self, size: int) -> None:
        """Run what lies in the input buffers, and wait for the outputs."""
        try:
            if size == 1 and self.graph is not None:
                self.graph.launch()
            else:
                self._enqueue(self._execution.enqueue, size)
        finally:
            self._stream.synchronize()

    def _enqueue(self, enqueue: Callable[[int, int], None], size: int) -> None:
        for buffer in self._inputs.values():
            buffer.upload(size, self._stream)
        enqueue(size, self._stream.handle)
        for buffer in self._outputs.values():
            buffer.download(size, self._stream)

    def _check(self, inputs: Mapping[str, FloatArray]) -> int:
        """The batch size; a wrong shape would be broadcast in silence."""
        count = len(next(iter(inputs.values())))
        expected = {name: (count, *buffer.host.shape[1:]) for name, buffer in self._inputs.items()}
        given = {name: array.shape for name, array in inputs.items()}
        if given != expected:
            raise ValueError(f"inputs of shapes {given}, and the engine takes {expected}")
        return count

    def _choose_graph(self, engine: Engine, addresses: Mapping[str, int], stack: ExitStack) -> None:
        """Capture the run of one window, which is what a live stream mostly asks for, and keep it if it is faster.

        It has an execution context of its own, since a captured one's shapes must not change any more.
        """
        cuda = load_bindings()
        if cuda is None:
            return
        with ExitStack() as own:
            try:
                execution = engine.execution(addresses)
                own.callback(execution.close)
                self._enqueue(execution.enqueue, 1)  # with new shapes, TensorRT does more than a capture may see
                self._stream.synchronize()
                graph = CudaGraph(cuda, self._stream.handle, lambda: self._enqueue(execution.enqueue, 1))
                own.callback(graph.close)
                plain, captured = self._compare(graph)
            except EngineError:  # also where memory for a second context is missing: the first one runs without it
                self._stream.synchronize()
                return
            if captured < plain:
                self.graph = graph
                stack.push(own.pop_all())

    def _compare(self, graph: CudaGraph) -> tuple[float, float]:
        """Median seconds of a run of one window, without and with the graph, taken in turns."""

        def timed(launch: Callable[[], None]) -> float:
            began = time.perf_counter()
            launch()
            self._stream.synchronize()
            return time.perf_counter() - began

        def one_by_one() -> None:
            self._enqueue(self._execution.enqueue, 1)

        turns = [(timed(one_by_one), timed(graph.launch)) for _ in range(GRAPH_RUNS)]
        plain, captured = zip(*turns, strict=True)
        return statistics.median(plain), statistics.median(captured)

    def _drop_stream(self) -> None:
        self._stream = None  # PyCUDA destroys it with its last reference


def _check_tensors(bundle: Bundle, engine: Engine, record: EngineRecord) -> None:
    """Refuse an engine whose tensors are not those of the manifest."""
    manifest = bundle.manifest
    expected = {
        (spec.name, is_input, tuple(-1 if axis == "N" else int(axis) for axis in spec.shape))
        for is_input, specs in ((True, manifest.inputs), (False, manifest.outputs))
        for spec in specs
    }
    found = {(tensor.name, tensor.is_input, tensor.shape) for tensor in engine.tensors}
    if found != expected:
        raise EngineError(
            f"{record.file} is not of this bundle's model (its tensors are {sorted(found)}): build it again with: "
            f"{rebuild_command(bundle.path, record.precision)}"
        )
