"""Scaling of logits fitted by likelihood: a temperature for one model, non-negative weights for several.

Both are one problem: weights ``w >= 0`` that minimise the cross-entropy of ``softmax(sum_m w_m z_m)``, which is convex
in ``w``. A temperature (Guo et al., ICML 2017, arXiv 1706.04599) is the case of one model, ``T = 1 / w``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mmn_edge.errors import DataError
from mmn_edge.evaluation.metrics import Array, Indices, ReliabilityBins, cross_entropy, softmax

__all__ = ["MAX_SCALE", "TemperatureFit", "cross_fitted", "fit_temperature", "fit_weights"]

MAX_SCALE = 20.0
"""Largest weight, and by that the range of temperatures, 1/20 to 20: clips without a single error ask for infinity."""

_STEPS = 100
_TOLERANCE = 1e-9


def fit_weights(logits: Sequence[Array], labels: Indices, *, lowest: float = 0.0) -> Array:
    """Weights of M models that minimise the cross-entropy of their weighted sum of logits.

    A projected Newton method (Bertsekas 1982): weights at a bound that want beyond it rest, the others take a Newton
    step, shortened until the loss falls.

    Args:
        logits: For every model ``(N, K)``, finite.
        labels: True classes ``(N,)``.
        lowest: The least weight.

    Returns:
        Weights ``(M,)`` from ``lowest`` to :data:`MAX_SCALE`. Their sum is not 1: it sets the confidence.

    Raises:
        DataError: There are no clips.
    """
    if not len(labels):
        raise DataError("nothing can be fitted on a split without clips")
    z = np.stack([np.asarray(x, dtype=np.float64) for x in logits])  # (M, N, K)
    weights = np.full(len(z), 1.0 / len(z))
    loss = cross_entropy(np.tensordot(weights, z, 1), labels)
    for _ in range(_STEPS):
        p = softmax(np.tensordot(weights, z, 1))
        mean = (p * z).sum(axis=2)  # (M, N)
        gradient = (mean - z[:, np.arange(len(labels)), labels]).mean(axis=1)
        centred = z - mean[..., None]
        hessian = np.einsum("nk,ank,bnk->ab", p, centred, centred) / len(labels)
        free = ~((weights <= lowest) & (gradient > 0) | (weights >= MAX_SCALE) & (gradient < 0))
        if not free.any() or np.abs(gradient[free]).max() < _TOLERANCE:
            break
        damped = hessian[np.ix_(free, free)]
        damped = damped + 1e-9 * (1.0 + np.trace(damped)) * np.eye(len(damped))
        step = np.zeros_like(weights)
        step[free] = -np.linalg.solve(damped, gradient[free])
        for halving in range(40):
            trial = np.clip(weights + step * 0.5**halving, lowest, MAX_SCALE)
            trial_loss = cross_entropy(np.tensordot(trial, z, 1), labels)
            if trial_loss < loss:
                break
        else:
            break
        done = loss - trial_loss < 1e-13
        weights, loss = trial, trial_loss
        if done:
            break
    return weights


def fit_temperature(logits: Array, labels: Indices) -> float:
    """The temperature ``T`` that minimises the cross-entropy of ``softmax(logits / T)``, from 1/20 to 20."""
    return float(1.0 / fit_weights([logits], labels, lowest=1.0 / MAX_SCALE)[0])


def cross_fitted(logits: Array, labels: Indices, *, seed: int = 0) -> Array:
    """Logits ``(N, K)``, each half divided by the temperature fitted on the other half.

    What is measured on them is honest: no clip had a say in its own temperature.

    Raises:
        DataError: There are fewer than two clips.
    """
    if len(labels) < 2:
        raise DataError("a temperature needs at least two clips")
    half = np.zeros(len(labels), dtype=bool)
    half[np.random.default_rng(seed).permutation(len(labels))[: len(labels) // 2]] = True
    scaled = np.empty(logits.shape)
    for part in (half, ~half):
        scaled[part] = logits[part] / fit_temperature(logits[~part], labels[~part])
    return scaled


@dataclass(frozen=True)
class TemperatureFit:
    """A temperature fitted on clips, and what it does to the calibration.

    Attributes:
        temperature: Fitted on all clips.
        earlier: The temperature before.
        ece: Expected calibration error at the temperature before.
        ece_fitted: At the fitted one, on the clips that it was fitted on: too good to be true.
        ece_cross_fitted: Each half of the clips at the temperature of the other half: what to expect of new clips.
        cross_entropy: At the temperature before, in nats.
        cross_entropy_cross_fitted: As ``ece_cross_fitted``.
        before: Reliability at the temperature before.
        after: Reliability, cross-fitted.
    """

    temperature: float
    earlier: float
    ece: float
    ece_fitted: float
    ece_cross_fitted: float
    cross_entropy: float
    cross_entropy_cross_fitted: float
    before: ReliabilityBins
    after: ReliabilityBins

    @classmethod
    def of(cls, logits: Array, labels: Indices, earlier: float) -> TemperatureFit:
        """Fit on logits ``(N, K)``.

        Raises:
            DataError: There are fewer than two clips.
        """
        temperature = fit_temperature(logits, labels)
        halves = cross_fitted(logits, labels)
        before = ReliabilityBins.of(softmax(logits / earlier), labels)
        after = ReliabilityBins.of(softmax(halves), labels)
        fitted = ReliabilityBins.of(softmax(logits / temperature), labels)
        return cls(
            temperature=temperature,
            earlier=earlier,
            ece=before.expected_calibration_error,
            ece_fitted=fitted.expected_calibration_error,
            ece_cross_fitted=after.expected_calibration_error,
            cross_entropy=cross_entropy(logits / earlier, labels),
            cross_entropy_cross_fitted=cross_entropy(halves, labels),
            before=before,
            after=after,
        )

    def to_dict(self) -> dict[str, float]:
        """The numbers, as JSON-ready values."""
        return {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("before", "after")
        }
