"""How far a version of a model drifts from a reference, how much of that is allowed, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mmn_edge.evaluation.evaluation import Trial
from mmn_edge.evaluation.metrics import Array, Indices, log_softmax, paired_interval, ranking, wilson_interval
from mmn_edge.model.task import DETECT

__all__ = ["LIMITS", "Drift", "Limits", "PairedAccuracy", "limits_for"]


@dataclass(frozen=True)
class PairedAccuracy:
    """Top-1 of two models on the same labelled windows.

    Attributes:
        reference: Fraction that the reference has right.
        model: Fraction that the model has right.
        broken: Windows that only the reference has right.
        repaired: Windows that only the model has right.
        interval: 95 % of the loss, :attr:`reference` - :attr:`model`; see
        :func:`mmn_edge.evaluation.metrics.paired_interval`.
    """

    reference: float
    model: float
    broken: int
    repaired: int
    interval: tuple[float, float]

    @property
    def lost(self) -> float:
        """The fraction of top-1 that the model loses; negative where it gains."""
        return self.reference - self.model

    @classmethod
    def of(cls, model: Array, reference: Array, targets: Indices) -> PairedAccuracy:
        """Compare logits ``(N, K)``."""
        ours, theirs = (ranking(logits, 1)[:, 0] == targets for logits in (model, reference))
        broken, repaired = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
        interval = paired_interval(broken, repaired, len(targets))
        return cls(float(theirs.mean()), float(ours.mean()), broken, repaired, interval)


@dataclass(frozen=True)
class Drift:
    """A model against a reference on the same windows. Probabilities are at each one's temperature.

    Attributes:
        windows: How many.
        not_finite: Windows for which the model gives NaN or infinity, which makes the rest meaningless.
        max_logit_difference: The largest magnitude of all windows and classes.
        mean_logit_difference: The mean of the magnitudes.
        max_probability_difference: The same of probabilities.
        kl: Mean Kullback-Leibler divergence of the model from the reference, in nats.
        js: Mean Jensen-Shannon divergence of the two, in nats, at most ln 2.
        agreement: Fraction of windows with the same likeliest class; of the task detect that of windows and classes
            with the same answer at a probability of 0.5.
        agreement_interval: 95 % score interval of it.
        worst: The windows' indices, the one whose probabilities differ most first.
        accuracy: Where the windows are labelled.
    """

    windows: int
    not_finite: int
    max_logit_difference: float
    mean_logit_difference: float
    max_probability_difference: float
    kl: float
    js: float
    agreement: float
    agreement_interval: tuple[float, float]
    worst: Indices
    accuracy: PairedAccuracy | None = None

    @classmethod
    def of(cls, model: Trial, reference: Trial, targets: Indices | None = None) -> Drift:
        """Compare what two models said of the same windows."""
        finite = np.isfinite(model.logits).all(axis=1) & np.isfinite(reference.logits).all(axis=1)
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.abs(model.logits - reference.logits)
            p, q = (_log_probabilities(trial) for trial in (reference, model))
            middle = np.logaddexp(p, q) - np.log(2)
            # A class may be impossible to a float: 0 log 0 is 0.
            js = (_expected(p, p - middle) + _expected(q, q - middle)) / 2
            kl = _expected(p, p - q)
            moved = np.abs(np.exp(p) - np.exp(q))
        if model.task == DETECT:
            moved = moved[..., 0]
            js, kl = js.sum(axis=1), kl.sum(axis=1)  # of independent answers they add up
            same = (((model.logits > 0) == (reference.logits > 0)) & finite[:, None]).reshape(-1)
        else:
            same = (ranking(model.logits, 1) == ranking(reference.logits, 1))[:, 0] & finite
        return cls(
            windows=len(finite),
            not_finite=int((~finite).sum()),
            max_logit_difference=float(difference.max()),
            mean_logit_difference=float(difference.mean()),
            max_probability_difference=float(moved.max()),
            kl=float(kl.mean()),
            js=float(js.mean()),
            agreement=float(same.mean()),
            worst=np.argsort(-np.where(finite, moved.max(axis=1), np.inf), kind="stable"),
            agreement_interval=wilson_interval(int(same.sum()), len(same)),
            accuracy=PairedAccuracy.of(model.logits, reference.logits, targets) if targets is not None else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values; what is not finite is null."""
        values = asdict(self)
        del values["worst"]
        if self.accuracy is not None:
            values["accuracy"] = {**asdict(self.accuracy), "lost": self.accuracy.lost}
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in values.items()
        }


def _expected(logs: Array, values: Array) -> Array:
    """The mean of values under probabilities given as logarithms, for each window."""
    weights = np.exp(logs)
    return np.asarray(np.where(weights == 0, 0.0, weights * values).sum(axis=-1), dtype=np.float64)


def _log_probabilities(trial: Trial) -> Array:
    """Logarithms of the K probabilities, ``(N, K)``; of the task detect of each and its opposite, ``(N, K, 2)``."""
    scaled = trial.logits / trial.temperature
    if trial.task != DETECT:
        return log_softmax(scaled)
    return np.stack([-np.logaddexp(0.0, -scaled), -np.logaddexp(0.0, scaled)], axis=-1)


@dataclass(frozen=True)
class Limits:
    """How much drift is allowed.

    Attributes:
        max_lost: Of top-1, as a fraction, where windows are labelled.
        min_agreement: Fraction of windows with the reference's class.
        max_probability_difference: Of all windows and classes; None allows any.
    """

    max_lost: float
    min_agreement: float
    max_probability_difference: float | None

    def broken(self, drift: Drift) -> tuple[str, ...]:
        """What a drift goes beyond, in words; empty where it stays within."""
        if drift.not_finite:
            return (f"{drift.not_finite} of {drift.windows} windows give values that are not finite",)
        found = []
        if not drift.agreement >= self.min_agreement:
            found.append(f"top-1 agreement {drift.agreement:.2%}, at least {self.min_agreement:.2%} is asked for")
        most = self.max_probability_difference
        if most is not None and not drift.max_probability_difference <= most:
            found.append(f"a probability differs by {drift.max_probability_difference:.3g}, {most:g} is allowed")
        if drift.accuracy is not None and drift.accuracy.lost > self.max_lost + ROUNDING:
            found.append(f"top-1 loses {100 * drift.accuracy.lost:.2f} points, {100 * self.max_lost:g} are allowed")
        return tuple(found)


ROUNDING = 1e-9

LIMITS: Mapping[str, Limits] = {
    "fp32": Limits(max_lost=0.005, min_agreement=0.99, max_probability_difference=0.01),
    "fp16": Limits(max_lost=0.005, min_agreement=0.99, max_probability_difference=0.01),
    "int8": Limits(max_lost=0.005, min_agreement=0.97, max_probability_difference=None),
    "int8-fp16": Limits(max_lost=0.005, min_agreement=0.97, max_probability_difference=None),
}
"""By precision. Float32 has half precision's limits, because TensorRT may run it in TF32, with as short a mantissa.

Int8: windows near a tie change sides with any step of 1/256 of a range, and by how much a probability moves at the
worst grows with the number of windows; so the agreement is what is limited. 97 % is between the int8 models of
``docs/benchmarks/quantization.md`` that are as good as their float ones (97.6 to 99.6 %) and those that are not (at
most 94 %).
"""


def limits_for(
    precision: str,
    *,
    max_lost: float | None = None,
    min_agreement: float | None = None,
    max_probability_difference: float | None = None,
) -> Limits:
    """The limits of a precision, with what was asked for instead; of one without its own, those of float32."""
    asked = {
        "max_lost": max_lost,
        "min_agreement": min_agreement,
        "max_probability_difference": max_probability_difference,
    }
    limits = LIMITS.get(precision.partition(" ")[0], LIMITS["fp32"])
    return replace(limits, **{key: value for key, value in asked.items() if value is not None})
