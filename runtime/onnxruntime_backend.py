"""ONNX Runtime on the CPU: the default of embedded machines without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmn_edge.errors import BundleError
from mmn_edge.extras import load_onnxruntime
from mmn_edge.runtime.backend import Output
from mmn_edge.skeleton import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OnnxRuntimeBackend"]

LOG_ERRORS_ONLY = 3


class OnnxRuntimeBackend:
    """Runs an ONNX file on the CPU.

    Args:
        model: The file.
        threads: Threads within an operator; None means ONNX Runtime's default, one a physical core.
    """

    def __init__(self, model: Path, *, threads: int | None = None) -> None:
        self._model = model
        self._threads = threads
        self._session: Any = None

    @property
    def name(self) -> str:
        """What runs the model."""
        onnxruntime = load_onnxruntime()
        return f"onnxruntime {onnxruntime.__version__} CPU"

    def __enter__(self) -> Self:
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = LOG_ERRORS_ONLY
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        try:
            self._session = onnxruntime.InferenceSession(str(self._model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise BundleError(f"ONNX Runtime cannot load {self._model}: {error}") from error
        return self

    def __exit__(self, *error: object) -> None:
        self._session = None

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        """Run a batch of windows."""
        logits, probabilities = self._session.run(["logits", "probabilities"], dict(inputs))
        return Output(logits, probabilities)
