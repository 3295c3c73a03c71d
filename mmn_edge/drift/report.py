"""What a verification found, as data: versions of one model against a reference and against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mmn_edge
from mmn_edge.drift.drift import Drift, Limits
from mmn_edge.drift.layers import LayerDrift
from mmn_edge.drift.windows import Windows
from mmn_edge.evaluation.evaluation import Trial
from mmn_edge.evaluation.metrics import Indices

__all__ = ["FAMILY", "SCHEMA", "DriftReport", "Verdict"]

FAMILY = "mmn-edge verification report"
SCHEMA = f"{FAMILY} 1"


@dataclass(frozen=True)
class Verdict:
    """One model against the reference.

    Attributes:
        trial: What it said.
        drift: How far that is from what the reference said.
        limits: What was allowed.
        broken: What went beyond it, in words; empty where the model passes.
    """

    trial: Trial
    drift: Drift
    limits: Limits
    broken: tuple[str, ...]

    @classmethod
    def of(cls, trial: Trial, reference: Trial, targets: Indices | None, limits: Limits) -> Verdict:
        """Compare and judge."""
        drift = Drift.of(trial, reference, targets)
        return cls(trial, drift, limits, limits.broken(drift))


@dataclass(frozen=True)
class DriftReport:
    """A verification.

    Attributes:
        windows: What all models were asked.
        reference: What the reference said.
        verdicts: On the other models, in their order.
        machine: Where it ran, from :mod:`mmn_edge.system.machine`.
        layers: By model's name, its layers against those of its bundle's float32 model.
        notes: What a reader should know.
    """

    windows: Windows
    reference: Trial
    verdicts: tuple[Verdict, ...]
    machine: Mapping[str, str]
    layers: Mapping[str, LayerDrift] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The models that drifted too far."""
        return tuple(verdict for verdict in self.verdicts if verdict.broken)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All models, the reference first."""
        return (self.reference, *(verdict.trial for verdict in self.verdicts))

    def pairs(self) -> list[tuple[Trial, list[Drift]]]:
        """Each model against each, as a square table."""
        return [(one, [Drift.of(one, other) for other in self.trials]) for one in self.trials]

    def unsure(self) -> list[str]:
        """Of models that pass, what so few labelled windows cannot rule out."""
        found = []
        for verdict in self.verdicts:
            accuracy = verdict.drift.accuracy
            if accuracy is not None and not verdict.broken and accuracy.interval[1] > verdict.limits.max_lost:
                found.append(
                    f"{verdict.trial.name}: {verdict.drift.windows} clips cannot rule out a loss of up to "
                    f"{100 * accuracy.interval[1]:.1f} points (95 %); {100 * verdict.limits.max_lost:g} are allowed."
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "schema": SCHEMA,
            "mmn_edge": mmn_edge.__version__,
            "machine": dict(self.machine),
            "windows": {
                "from": self.windows.name,
                "count": len(self.windows.keypoints),
                "labelled": self.windows.targets is not None,
            },
            "notes": [*self.windows.notes, *self.notes, *self.unsure()],
            "reference": _named(self.reference),
            "passed": not self.failed,
            "models": [
                {
                    **_named(verdict.trial),
                    "passed": not verdict.broken,
                    "broken": list(verdict.broken),
                    "limits": {
                        "max_lost": verdict.limits.max_lost,
                        "min_agreement": verdict.limits.min_agreement,
                        "max_probability_difference": verdict.limits.max_probability_difference,
                    },
                    "drift": verdict.drift.to_dict(),
                    "layers": self.layers[name].to_dict() if (name := verdict.trial.name) in self.layers else None,
                }
                for verdict in self.verdicts
            ],
            "top1_agreement": {one.name: _agreements(drifts, self.trials) for one, drifts in self.pairs()},
        }


def _named(trial: Trial) -> dict[str, str]:
    return {"name": trial.name, "precision": trial.precision, "backend": trial.backend}


def _agreements(drifts: Sequence[Drift], others: Sequence[Trial]) -> dict[str, float]:
    return {other.name: drift.agreement for other, drift in zip(others, drifts, strict=True)}
