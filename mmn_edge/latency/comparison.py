"""Two models measured in turns, A B B A: by what factor one is slower, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.latency.statistics import Estimate

__all__ = ["NOISE", "Comparison", "compare", "ratio_of_medians"]

Array = npt.NDArray[np.float64]
Measure = Callable[[Array], Array]

NOISE = 0.02
"""Differences below this share are not worth a word: placing of memory alone makes as much."""

RESAMPLES = 2000
CHUNK = 2_000_000
"""Calls that are drawn at once, for the memory's sake."""


@dataclass(frozen=True)
class Comparison:
    """B against A.

    Attributes:
        a: The first model.
        b: The second.
        rounds: Turns A B B A, or B A A B.
        calls: Timed calls of each.
        noise: The share below which a difference is none.
        typical: Ratio B over A of a round's shortest calls, the median of all rounds. It is the one that counts: on a
            busy machine the medians tell who was interrupted more.
        median: Ratio of the medians.
        mean: Ratio of the means.
        p90: Ratio of the 90th percentiles.
        a_ms: A's median.
        b_ms: B's median.
        scopes: What was timed of each, in words.
    """

    a: str
    b: str
    rounds: int
    calls: int
    noise: float
    typical: Estimate
    median: Estimate
    mean: Estimate
    p90: Estimate
    a_ms: float
    b_ms: float
    scopes: tuple[str, str]

    @property
    def winner(self) -> str | None:
        """``"A"`` or ``"B"`` where the interval of the typical ratio says it, whatever the noise threshold."""
        low, high = self.typical.low, self.typical.high
        if low is None or high is None:
            return None
        return "B" if high < 1 else "A" if low > 1 else None

    @property
    def verdict(self) -> str:
        """In a sentence."""
        low, high = self.typical.low or 0.0, self.typical.high or float("inf")
        ratio, noise = self.typical.value, f"{100 * self.noise:g} %"
        if high < 1 - self.noise:
            return f"B is faster: it takes {ratio:.3f} of A's time"
        if low > 1 + self.noise:
            return f"A is faster: B takes {ratio:.3f} times as long"
        if 1 - self.noise <= low and high <= 1 + self.noise:
            return f"no difference beyond noise: the whole interval lies within {noise} of 1"
        if self.winner:
            return f"{self.winner} is faster, but maybe by less than the noise threshold of {noise}"
        return f"undecided: the interval holds 1, and differences beyond {noise}. Measure for longer (--seconds)"

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "a": self.a,
            "b": self.b,
            "rounds": self.rounds,
            "calls": self.calls,
            "noise": self.noise,
            "ratio_b_over_a": {
                "typical": self.typical.to_dict(),
                "p50": self.median.to_dict(),
                "p90": self.p90.to_dict(),
                "mean": self.mean.to_dict(),
            },
            "a_p50_ms": self.a_ms,
            "b_p50_ms": self.b_ms,
            "scopes": list(self.scopes),
            "winner": self.winner,
            "verdict": self.verdict,
        }


def compare(
    a: Sequence[Sequence[float]] | Array,
    b: Sequence[Sequence[float]] | Array,
    *,
    names: tuple[str, str],
    scopes: tuple[str, str],
    noise: float = NOISE,
) -> Comparison:
    """Compare the calls of rounds.

    Intervals are those of a bootstrap over rounds: a round's calls of A and B stay together, so that what slows both
    down at once cancels out. Ratios of rounds hardly hang together, and are drawn one by one; for what all calls come
    to, blocks of consecutive rounds are drawn (Künsch 1989).

    Args:
        a: Milliseconds of A's calls, ``(R, C)``: rounds and calls.
        b: Of B's, of the same rounds.
        names: Of A and B.
        scopes: What was timed of each.
        noise: The share below which a difference is none.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    rounds = len(first)
    chunks = np.array_split(_blocks(rounds), -(-RESAMPLES * first.size // CHUNK))

    def ratio(measure: Measure) -> Estimate:
        found = np.concatenate([_measured(measure, second, part) / _measured(measure, first, part) for part in chunks])
        low, high = np.percentile(found, [2.5, 97.5])
        value = _measured(measure, second, every) / _measured(measure, first, every)
        return Estimate(float(value[0]), float(low), float(high))

    every = np.arange(rounds)[None]
    ratios = second.min(axis=1) / first.min(axis=1)
    drawn = np.random.default_rng(0).integers(0, rounds, (RESAMPLES, rounds))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), [2.5, 97.5])
    return Comparison(
        typical=Estimate(float(np.median(ratios)), float(low), float(high)),
        a=names[0],
        b=names[1],
        rounds=rounds,
        calls=first.size,
        noise=noise,
        median=ratio(lambda calls: np.median(calls, axis=1)),
        mean=ratio(lambda calls: np.mean(calls, axis=1)),
        p90=ratio(lambda calls: np.percentile(calls, 90, axis=1)),
        a_ms=float(np.median(first)),
        b_ms=float(np.median(second)),
        scopes=scopes,
    )


def ratio_of_medians(earlier: Sequence[float], now: Sequence[float]) -> Estimate:
    """Median now over median earlier, of two runs that were not measured in turns, with a bootstrap over blocks."""
    medians = []
    for values in (earlier, now):
        series = np.asarray(values, dtype=np.float64)
        picks = _blocks(len(series), resamples=500)
        parts = np.array_split(picks, -(-picks.size // CHUNK))
        medians.append(np.concatenate([np.median(series[part], axis=1) for part in parts]))
    low, high = np.percentile(medians[1] / medians[0], [2.5, 97.5])
    return Estimate(float(np.median(now) / np.median(earlier)), float(low), float(high))


def _measured(measure: Measure, calls: Array, picks: npt.NDArray[np.integer[Any]]) -> Array:
    """A measure of the calls of drawn rounds, ``(resamples,)``."""
    return measure(calls[picks].reshape(len(picks), -1))


def _blocks(count: int, resamples: int = RESAMPLES) -> npt.NDArray[np.integer[Any]]:
    """Indices ``(resamples, count)``: blocks of consecutive ones, from anywhere, round at the end."""
    rng = np.random.default_rng(0)
    length = max(1, round(count ** (1 / 3)))
    starts = rng.integers(0, count, (resamples, -(-count // length)), dtype=np.int32)
    picks = (starts[:, :, None] + np.arange(length, dtype=np.int32)) % count
    return np.asarray(picks.reshape(resamples, -1)[:, :count])
