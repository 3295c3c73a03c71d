"""What can be said of latencies: percentiles with intervals that assume nothing of the distribution.

A confidence interval of a quantile lies between two order statistics, whose ranks follow from the binomial
distribution (Conover 1999, *Practical Nonparametric Statistics*, 3.2). That holds for independent calls. Latencies
come in runs, though: clocks change, neighbours come and go. So the share of calls beyond the quantile is counted in
blocks of consecutive calls; where it varies more between blocks than chance has it, by a factor ``d``, the ``n`` calls
are worth ``n / d`` independent ones (batch means, as in Law 2015, *Simulation Modeling and Analysis*, 9.5), and the
ranks are those of so many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "CONFIDENCE",
    "PERCENTS",
    "Estimate",
    "Percentile",
    "Summary",
    "calls_needed",
    "dependence",
    "mean_interval",
    "order_statistics",
    "percentile",
    "summarise",
]

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)

BLOCKS = 32
"""Blocks of consecutive calls; with twice as many, those of short runs are shorter than what disturbs them."""

FEWEST_BEYOND = 32
"""So many calls must lie beyond a quantile before blocks of them tell anything: else a lower quantile stands in."""

LONG_BLOCKS = 20
CLEARLY_DEPENDENT = 1.6
"""Where blocks vary so much more than chance has it, longer ones count: short ones cut through what hangs together."""

CORRECTION = 1.25
"""For the few long blocks (the square of Student's t over that of the normal, 1.14) and for what their edges still cut
(1.1); measured, see ``tests/latency/test_statistics.py``."""

STUDENT_31 = 2.0395
"""The 97.5 % quantile of Student's t with ``BLOCKS - 1`` degrees of freedom."""

OUTLIER = 3.0
"""Outliers lie above the third quartile by more than so many interquartile ranges (Tukey's "far out")."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; bounds are None where the data is too little for them."""

    value: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """As JSON-ready values."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Percentile:
    """A percentile of latencies.

    Attributes:
        percent: Which, such as 99.9.
        estimate: Milliseconds with their interval; None where the calls do not give both bounds.
        more_calls: How many more calls give both bounds, as far as those until now tell; 0 where they are there.
    """

    percent: float
    estimate: Estimate | None
    more_calls: int

    @property
    def name(self) -> str:
        """Such as ``p99.9``."""
        return f"p{self.percent:g}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        found = self.estimate
        return {
            "percent": self.percent,
            "ms": None if found is None else found.value,
            "low": None if found is None else found.low,
            "high": None if found is None else found.high,
            "more_calls": self.more_calls,
        }


@dataclass(frozen=True)
class Summary:
    """Latencies in numbers, milliseconds.

    Attributes:
        calls: How many there are.
        minimum: The shortest. Extremes have no interval: they only grow with more calls.
        mean: With an interval over blocks.
        percentiles: Those of :data:`PERCENTS`.
        maximum: The longest.
        outliers: Calls longer than ``outlier_ms``.
        outlier_ms: Three interquartile ranges above the third quartile.
        dependence: By how much the calls are fewer than they look, at the median; 1 where they are independent.
    """

    calls: int
    minimum: float
    mean: Estimate
    percentiles: tuple[Percentile, ...]
    maximum: float
    outliers: int
    outlier_ms: float
    dependence: float

    def percentile(self, percent: float) -> Percentile:
        """One of the percentiles."""
        return next(entry for entry in self.percentiles if entry.percent == percent)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "calls": self.calls,
            "min_ms": self.minimum,
            "mean_ms": self.mean.to_dict(),
            "percentiles": [entry.to_dict() for entry in self.percentiles],
            "max_ms": self.maximum,
            "outliers": self.outliers,
            "outlier_ms": self.outlier_ms,
            "dependence": self.dependence,
        }


def calls_needed(percent: float) -> int:
    """Independent calls from which both bounds of a percentile's interval exist: 368 for the 99th."""
    share = max(percent, 100 - percent) / 100
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(share))


def order_statistics(count: int, share: float) -> tuple[int, int] | None:
    """Ranks, from 1, of the order statistics between which the quantile lies with 95 %.

    Each side is missed with 2.5 % at most.

    Args:
        count: Independent values.
        share: The quantile, between 0 and 1.

    Returns:
        Both ranks, or None where one of them would lie outside of the values.
    """
    tail = (1 - CONFIDENCE) / 2
    # F(k) = P(at most k values lie below the quantile); summed from logarithms, exact for any count.
    k = np.arange(count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    logs = factorials[count] - factorials[k] - factorials[count - k] + k * math.log(share)
    below = np.cumsum(np.exp(logs + (count - k) * math.log1p(-share)))
    lower = int(np.searchsorted(below, tail, side="right"))  # the largest rank r with F(r - 1) <= tail
    upper = int(np.searchsorted(below, 1 - tail - 1e-12)) + 1  # the smallest rank r with F(r - 1) >= 1 - tail
    return (lower, upper) if lower >= 1 and upper <= count else None


def dependence(values: Sequence[float] | Array, share: float) -> float:
    """By how much the values beyond a quantile come in runs, at least 1: ``n`` are worth ``n / dependence``.

    Args:
        values: In the order of the calls.
        share: The quantile, between 0 and 1.
    """
    series = np.asarray(values, dtype=np.float64)
    if len(series) < 2 * BLOCKS:
        return 1.0  # too few to tell
    share = min(max(share, FEWEST_BEYOND / len(series)), 1 - FEWEST_BEYOND / len(series))
    if not 0 < share < 1:
        share = 0.5
    beyond = (series > np.quantile(series, share)).astype(np.float64)
    factor = _excess(beyond, BLOCKS)
    return factor if factor < CLEARLY_DEPENDENT else max(1.0, CORRECTION * _excess(beyond, LONG_BLOCKS))


def _excess(beyond: Array, count: int) -> float:
    """Variance of the blocks' means over that of independent calls, at least 1."""
    length = len(beyond) // count
    blocks = beyond[: length * count].reshape(count, length).mean(axis=1)
    variance = float(beyond.mean() * (1 - beyond.mean()))
    return max(1.0, float(blocks.var(ddof=1)) * length / variance) if variance > 0 else 1.0


def percentile(values: Sequence[float] | Array, percent: float) -> Percentile:
    """A percentile, as :func:`numpy.percentile` has it, where the calls give both bounds of its interval.

    Args:
        values: Milliseconds in the order of the calls.
        percent: Between 0 and 100.
    """
    series = np.asarray(values, dtype=np.float64)
    worth = dependence(series, percent / 100)
    independent = int(len(series) / worth)
    ranks = order_statistics(independent, percent / 100)
    if ranks is None:
        return Percentile(percent, None, max(1, math.ceil(calls_needed(percent) * worth) - len(series)))
    ordered = np.sort(series)
    # Ranks among the independent ones as ranks among all, outwards.
    low = math.floor(ranks[0] * len(series) / independent + 1e-9)
    high = math.ceil(ranks[1] * len(series) / independent - 1e-9)
    value = float(np.percentile(series, percent))
    return Percentile(
        percent,
        Estimate(value, min(value, float(ordered[low - 1])), max(value, float(ordered[min(high, len(series)) - 1]))),
        0,
    )


def mean_interval(values: Sequence[float] | Array) -> Estimate:
    """The mean, with Student's interval over the means of blocks of consecutive values."""
    series = np.asarray(values, dtype=np.float64)
    mean = float(series.mean())
    length = len(series) // BLOCKS
    if length < 1:
        return Estimate(mean, None, None)
    blocks = series[: length * BLOCKS].reshape(BLOCKS, length).mean(axis=1)
    half = STUDENT_31 * float(blocks.std(ddof=1)) / math.sqrt(BLOCKS)
    return Estimate(mean, mean - half, mean + half)


def summarise(values: Sequence[float] | Array) -> Summary:
    """All that a report says of a series of latencies.

    Args:
        values: Milliseconds in the order of the calls, at least one.

    Raises:
        ValueError: No values, or one that is no finite number.
    """
    series = np.asarray(values, dtype=np.float64)
    if not len(series) or not np.isfinite(series).all():
        raise ValueError("latencies are one or more finite numbers")
    first, third = np.percentile(series, [25, 75])
    limit = float(third + OUTLIER * (third - first))
    return Summary(
        calls=len(series),
        minimum=float(series.min()),
        mean=mean_interval(series),
        percentiles=tuple(percentile(series, percent) for percent in PERCENTS),
        maximum=float(series.max()),
        outliers=int((series > limit).sum()),
        outlier_ms=limit,
        dependence=dependence(series, 0.5),
    )
