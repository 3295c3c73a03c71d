"""What runs a model: the protocol that every backend follows, and how one is chosen.

To add a backend, write a class that follows :class:`Backend` and give it a name in :func:`open_backend`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.errors import UsageError
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system import machine
from mmn_edge.system.tensorrt import FLAVOURS

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BACKENDS", "ENGINE_BACKENDS", "Backend", "Output", "find_engines", "open_backend"]

ENGINE_BACKENDS = {flavour.replace("_", "-"): flavour for flavour in FLAVOURS}
"""Name of a backend that runs engines -> the kind of engine."""

BACKENDS = (
    "onnxruntime",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
    "onnxruntime-tensorrt-rtx",
    "openvino",
    *ENGINE_BACKENDS,
)


@dataclass(frozen=True, slots=True)
class Output:
    """What a model says of ``N`` windows: ``logits`` and ``probabilities``, both float32 ``(N, K)``."""

    logits: FloatArray
    probabilities: FloatArray


class Backend(Protocol):
    """A loaded model. Enter it to load, leave it to release.

    Attributes:
        name: What runs it, with its version, for reports.
        precision: Which of the bundle's models it runs.
        batches: Whether several windows at once take less time than one after another.
    """

    @property
    def batches(self) -> bool:
        """Whether several windows at once take less time than one after another."""

    @property
    def name(self) -> str:
        """What runs the model, such as ``"onnxruntime 1.32.0 CPU"``."""

    @property
    def precision(self) -> str:
        """Which of the bundle's models it runs, such as ``"fp32"``."""

    def __enter__(self) -> Self:
        """Load the model; raises :class:`mmn_edge.errors.BundleError` where it cannot be loaded."""

    def __exit__(self, *error: object) -> None:
        """Release the model."""

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        """Run a batch of windows; input names and shapes are those of the bundle's manifest."""


def open_backend(
    bundle: Bundle,
    name: str | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
    live: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> Backend:
    """Make the backend of a bundle, not yet loaded.

    Args:
        bundle: The model.
        name: One of :data:`BACKENDS`; None means the newest of the bundle's engines that fit this machine, and
            ONNX Runtime on the CPU where there is none.
        precision: One of the bundle's models; None means the advised one where there is advice, else that of the
            newest engine where one is used, else :attr:`mmn_edge.bundle.Bundle.default_precision`.
        threads: Threads within an operator, of ONNX Runtime on the CPU; None means its default.
        live: Whether it waits for frames most of the time: then no thread spins while it does.
        on_note: Told in a sentence why an engine that is there is not used, and that advice is from another machine.

    Raises:
        UsageError: No such backend.
        BundleError: The bundle has no such precision.
        EngineError: It has no such engine.
    """
    from mmn_edge.runtime.backends.onnxruntime import PROVIDERS, OnnxRuntimeBackend
    from mmn_edge.runtime.backends.openvino import OpenVinoBackend
    from mmn_edge.runtime.backends.tensorrt.backend import TensorRTBackend, why_not_loadable

    if name not in (None, *BACKENDS):
        raise UsageError(f"unknown backend {name!r}: choose one of {', '.join(BACKENDS)}")
    if precision is None and (advice := bundle.manifest.advice) is not None:
        precision = advice.precision
        if note := advice.elsewhere(machine.describe()):
            on_note(note)
    if name in ENGINE_BACKENDS:
        flavour = ENGINE_BACKENDS[name]
        found = find_engines(bundle, precision, flavour)
        return TensorRTBackend(
            bundle, found[0] if found else bundle.engine(precision or bundle.default_precision, flavour)
        )
    reasons = []
    for record in find_engines(bundle, precision) if name is None else ():
        reasons.append(why_not_loadable(bundle, record))
        if not reasons[-1]:
            return TensorRTBackend(bundle, record)
    if reasons:
        on_note(f"no engine is used, and ONNX Runtime runs the model instead: {reasons[0]}")
    chosen = precision or bundle.default_precision
    if name == "openvino":
        return OpenVinoBackend(bundle.model(chosen), precision=chosen, threads=threads)
    return OnnxRuntimeBackend(
        bundle.model(chosen),
        precision=chosen,
        threads=threads,
        provider=PROVIDERS[name or "onnxruntime"],
        spinning=not live,
    )


def find_engines(bundle: Bundle, precision: str | None = None, flavour: str | None = None) -> list[EngineRecord]:
    """The engines of a bundle, of this precision and kind where they are given, the one built last first."""
    return [
        record
        for record in reversed(bundle.manifest.engines)
        if precision in (None, record.precision) and flavour in (None, record.flavour)
    ]
