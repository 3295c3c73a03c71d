from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.latency.comparison import Comparison, compare, ratio_of_medians


def rounds(rng: np.random.Generator, level: float, count: int, load: np.ndarray) -> np.ndarray:
    """Calls of ``(count, 4)`` rounds: a level, noise above it, and interruptions by others."""
    calls = level * (1 + rng.gamma(2, 0.02, (count, 4)))
    return calls * load[:, None] + (rng.random((count, 4)) < 0.3) * rng.exponential(3 * level, (count, 4))


def once(rng: np.random.Generator, factor: float, count: int = 40) -> Comparison:
    drift = np.exp(np.cumsum(rng.normal(0, 0.05, count)))  # what slows both down
    a, b = rounds(rng, 5.0, count, drift), rounds(rng, 5.0 * factor, count, drift)
    return compare(a, b, names=("a", "b"), scopes=("x", "y"))


def test_a_model_against_itself_and_against_a_faster_one() -> None:
    rng = np.random.default_rng(0)
    same = [once(rng, 1.0) for _ in range(60)]
    holds = sum((found.typical.low or 0) <= 1 <= (found.typical.high or 0) for found in same)
    assert holds >= 54
    assert not any("is faster: " in found.verdict for found in same)
    faster = [once(rng, 0.8) for _ in range(20)]
    assert all(found.winner == "B" and found.verdict.startswith("B is faster: it takes") for found in faster)
    slower = once(rng, 1.3)
    assert slower.winner == "A"
    assert slower.typical.value == pytest.approx(1.3, rel=0.03)


def test_verdicts() -> None:
    flat = np.full((30, 4), 5.0)
    equal = compare(flat, flat, names=("a", "b"), scopes=("x", "y"))
    assert equal.verdict.startswith("no difference beyond noise")
    assert equal.winner is None
    little = compare(flat, flat * 1.01, names=("a", "b"), scopes=("x", "y"))
    assert little.winner == "A"
    assert little.verdict.startswith("no difference beyond noise")
    strict = compare(flat, flat * 1.01, names=("a", "b"), scopes=("x", "y"), noise=0.005)
    assert strict.verdict.startswith("A is faster: B takes 1.010 times as long")
    wild = flat * np.where(np.arange(30) % 2, 0.5, 2.0)[:, None]
    assert compare(flat, wild, names=("a", "b"), scopes=("x", "y")).verdict.startswith("undecided")


def test_the_ratio_of_two_runs() -> None:
    rng = np.random.default_rng(0)
    ratio = ratio_of_medians(rng.normal(10, 1, 300), rng.normal(12, 1, 200))
    assert ratio.value == pytest.approx(1.2, rel=0.03)
    assert ratio.low is not None
    assert ratio.high is not None
    assert 1.1 < ratio.low < ratio.value < ratio.high < 1.3
