"""OpenVINO on the CPU: an optional backend, the fastest one measured on x86 with VNNI (``docs/deploy.md``)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmn_edge.errors import BundleError
from mmn_edge.extras import load_openvino
from mmn_edge.machine import saturates_int8
from mmn_edge.runtime.backend import Output
from mmn_edge.skeleton import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OpenVinoBackend"]

MAX_COMPILED = 4
"""Batch sizes kept compiled, the latest used ones: each holds its own copy of the model."""


class OpenVinoBackend:
    """Runs an ONNX file, compiled for each batch size: with a batch of any size, OpenVINO fuses much less.

    Args:
        model: The file.
        precision: Which of a bundle's models it is.
        threads: Threads within an operator; None means OpenVINO's default, all cores.
    """

    def __init__(self, model: Path, *, precision: str = "fp32", threads: int | None = None) -> None:
        self._model = model
        self._precision = precision
        self._threads = threads
        # Where its 8-bit sums would overflow, int8 is computed in float32: right, but no faster than fp32.
        self._simulated = precision.startswith("int8") and saturates_int8()
        self._graph: Any = None
        self._requests: OrderedDict[int, Any] = OrderedDict()

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
        core = load_openvino().Core()
        try:
            self._graph = core.read_model(str(self._model))
            self._request(1)
        except RuntimeError as error:
            self.__exit__()
            raise BundleError(f"OpenVINO cannot load {self._model}: {error}") from error
        return self

    def __exit__(self, *error: object) -> None:
        self._graph = None
        self._requests.clear()

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        """Run a batch of windows."""
        request = self._request(len(next(iter(inputs.values()))))
        names = [port.any_name for port in request.model_inputs]
        results = request.infer({name: np.ascontiguousarray(inputs[name]) for name in names})
        return Output(results["logits"].copy(), results["probabilities"].copy())

    def _request(self, batch: int) -> Any:
        """The compiled model of one batch size."""
        if batch in self._requests:
            self._requests.move_to_end(batch)
            return self._requests[batch]
        model = self._graph.clone()
        model.reshape({port.any_name: [batch, *list(port.partial_shape)[1:]] for port in model.inputs})
        # Float32 as it is everywhere else, and not the bfloat16 that OpenVINO prefers where a processor has it.
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if self._simulated:
            options["LP_TRANSFORMS_MODE"] = "NO"
        if self._threads is not None:
            options["INFERENCE_NUM_THREADS"] = str(self._threads)
        compiled = load_openvino().Core().compile_model(model, "CPU", options)
        self._requests[batch] = compiled.create_infer_request()
        if len(self._requests) > MAX_COMPILED:
            self._requests.popitem(last=False)
        return self._requests[batch]
