"""What runs a model: the protocol that every backend follows, and how one is chosen.

To add a backend, write a class that follows :class:`Backend` and give it a name in :func:`open_backend`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mmn_edge.bundle import Bundle
from mmn_edge.errors import UsageError
from mmn_edge.skeleton import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BACKENDS", "Backend", "Output", "open_backend"]

BACKENDS = ("onnxruntime", "openvino")


@dataclass(frozen=True, slots=True)
class Output:
    """What a model says of ``N`` windows: ``logits`` and ``probabilities``, both float32 ``(N, K)``."""

    logits: FloatArray
    probabilities: FloatArray


class Backend(Protocol):
    """A loaded model. Enter it to load, leave it to release.

    Attributes:
        name: What runs it, with its version, for reports.
    """

    @property
    def name(self) -> str:
        """What runs the model, such as ``"onnxruntime 1.32.0 CPU"``."""

    def __enter__(self) -> Self:
        """Load the model; raises :class:`mmn_edge.errors.BundleError` where it cannot be loaded."""

    def __exit__(self, *error: object) -> None:
        """Release the model."""

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        """Run a batch of windows; input names and shapes are those of the bundle's manifest."""


def open_backend(
    bundle: Bundle, name: str | None = None, *, precision: str | None = None, threads: int | None = None
) -> Backend:
    """Make the backend of a bundle, not yet loaded.

    Args:
        bundle: The model.
        name: One of :data:`BACKENDS`; None means the default, ONNX Runtime on the CPU.
        precision: One of the bundle's models; None means :attr:`mmn_edge.bundle.Bundle.default_precision`.
        threads: Threads within an operator; None means the backend's default.

    Raises:
        UsageError: No such backend.
        BundleError: The bundle has no such precision.
    """
    from mmn_edge.runtime.onnxruntime_backend import OnnxRuntimeBackend

    if name not in (None, *BACKENDS):
        raise UsageError(f"unknown backend {name!r}: choose one of {', '.join(BACKENDS)}")
    if name == "openvino":
        from mmn_edge.runtime.openvino_backend import OpenVinoBackend

        chosen = precision or bundle.default_precision
        return OpenVinoBackend(bundle.model(chosen), precision=chosen, threads=threads)
    return OnnxRuntimeBackend(bundle.model(precision or bundle.default_precision), threads=threads)
