"""Where two versions of one network drift apart: the relative error of every layer, in the order of the graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["GROWTH", "THRESHOLDS", "Layer", "LayerDrift"]

THRESHOLDS = {"fp16": 0.05, "int8": 0.5, "int8-fp16": 0.5}
"""By precision, the error above which a layer may be where drift begins (``docs/guides/verification.md``)."""

GROWTH = 2.0
"""How many times the error of its inputs a layer must have to be where drift begins, and not where it goes on."""


@dataclass(frozen=True)
class Layer:
    """One value inside the network, compared in two versions of it.

    Attributes:
        name: The node that gives it, ``<site>/<operator>``.
        error: The norm of the difference as a part of the norm of the reference; not finite where the value is not.
        inherited: What its inputs' errors explain: the largest of theirs or, for sums, differences and products with
            weights, what their absolute errors make of the result. The difference of two frames is small beside the
            frames, so that their rounding stays when what they have in common cancels.
    """

    name: str
    error: float
    inherited: float

    @property
    def added(self) -> float:
        """What the layer itself adds, taking its own error and the inherited one for independent."""
        if not math.isfinite(self.error):
            return 0.0 if not math.isfinite(self.inherited) else math.inf
        return math.sqrt(max(self.error**2 - self.inherited**2, 0.0))


@dataclass(frozen=True)
class LayerDrift:
    """The layers of a model against those of a reference.

    Attributes:
        layers: In the order in which they are computed.
        windows: What the errors were measured on.
        threshold: The error above which a layer may be where drift begins.
    """

    layers: tuple[Layer, ...]
    windows: int
    threshold: float

    @property
    def first(self) -> Layer | None:
        """Where drift begins: the first layer over the threshold with :data:`GROWTH` times what its inputs explain."""
        return next(
            (
                layer
                for layer in self.layers
                if not layer.error <= self.threshold
                and math.isfinite(layer.inherited)
                and not layer.error <= GROWTH * layer.inherited
            ),
            None,
        )

    def jumps(self, count: int) -> tuple[Layer, ...]:
        """The layers that add most, the worst first."""
        return tuple(sorted(self.layers, key=lambda layer: -layer.added)[:count])

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values; an error that is not finite is null."""
        return {
            "windows": self.windows,
            "threshold": self.threshold,
            "first": self.first.name if self.first else None,
            "layers": [
                {"name": layer.name, "error": _finite(layer.error), "inherited": _finite(layer.inherited)}
                for layer in self.layers
            ],
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
