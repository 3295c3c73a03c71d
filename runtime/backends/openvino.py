"""OpenVINO on the CPU: an optional backend, the fastest one measured on x86 with VNNI.

Figures are in ``docs/explanation/deploy-graph.md``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmn_edge.errors import BundleError
from mmn_edge.runtime.backends.backend import Output
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system.extras import load_openvino
from mmn_edge.system.machine import saturates_int8

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OpenVinoBackend"]


class OpenVinoBackend:
    """Runs an ONNX file, one window after the other.

    With a batch of any size OpenVINO fuses much less. Compiled for a certain one it takes as long a window as for one
    window, and compiling takes a second or more, in mid-stream where another person comes in
    (``docs/explanation/deploy-graph.md``).
    Any thread may call it; one window is run at a time, by all of OpenVINO's threads.

    Args:
        model: The file.
        precision: Which of a bundle's models it is.
        threads: Threads within an operator; None means OpenVINO's default, all cores.
        profiling: Time operators, for :meth:`operator_times`; it makes calls slower.
    """

    batches = False

    def __init__(
        self, model: Path, *, precision: str = "fp32", threads: int | None = None, profiling: bool = False
    ) -> None:
        self._model = model
        self._precision = precision
        self._threads = threads
        # Where its 8-bit sums would overflow, int8 is computed in float32: right, but no faster than fp32.
        self._simulated = precision.startswith("int8") and saturates_int8()
        self._profiling = profiling
        self._request: Any = None
        self._lock = threading.Lock()  # a request that is under way refuses a second call

    @property
    def name(self) -> str:
        """What runs the model."""
        version: str = load_openvino().__version__
        return f"openvino {version.partition('-')[0]} CPU" + (", int8 in float32" if self._simulated else "")

    @property
    def precision(self) -> str:
        """Which of the bundle's models it runs."""
        return self._precision

    def __enter__(self) -> Self:
        # Float32 as it is everywhere else, and not the bfloat16 that OpenVINO prefers where a processor has it.
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if self._simulated:
            options["LP_TRANSFORMS_MODE"] = "NO"
        if self._threads is not None:
            options["INFERENCE_NUM_THREADS"] = str(self._threads)
        if self._profiling:
            options["PERF_COUNT"] = "YES"
        core = load_openvino().Core()
        try:
            model = core.read_model(str(self._model))
            model.reshape({port.any_name: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
            self._request = core.compile_model(model, "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise BundleError(f"OpenVINO cannot load {self._model}: {error}") from error
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._request = None

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        """Run windows, however many."""
        names = [port.any_name for port in self._request.model_inputs]
        logits, probabilities = [], []
        for index in range(len(inputs[names[0]])):
            window = {name: np.ascontiguousarray(inputs[name][index, None]) for name in names}
            with self._lock:  # until its results are copied: the next run writes them in the same place
                results = self._request.infer(window)
                logits.append(results["logits"].copy())
                probabilities.append(results["probabilities"].copy())
        return Output(np.concatenate(logits), np.concatenate(probabilities))

    def operator_times(self) -> list[tuple[str, str, float]]:
        """Name, kind and milliseconds of every operator in the last call; those that were not executed are left out."""
        with self._lock:
            return [
                (entry.node_name, entry.node_type, entry.real_time.total_seconds() * 1e3)
                for entry in self._request.profiling_info
                if entry.status == entry.Status.EXECUTED
            ]
