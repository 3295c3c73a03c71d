from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from scipy import signal, stats

from mmn_edge.latency.statistics import (
    calls_needed,
    dependence,
    mean_interval,
    order_statistics,
    percentile,
    summarise,
)

Array = npt.NDArray[np.float64]

REPEATS = 600


def lognormal(rng: np.random.Generator, count: int) -> Array:
    return np.exp(rng.normal(size=count))


def runs(rng: np.random.Generator, count: int) -> Array:
    """An autoregression of order 1 with a correlation of 0.9 from call to call, standard normal, as its exponential."""
    noise = rng.normal(size=count + 200) * np.sqrt(1 - 0.9**2)
    return np.exp(signal.lfilter([1.0], [1.0, -0.9], noise)[200:])


@pytest.mark.parametrize("make", [lognormal, runs])
@pytest.mark.parametrize(("count", "percent"), [(1000, 50), (1000, 90), (4000, 50), (4000, 95), (4000, 99)])
def test_intervals_cover_the_quantile(
    make: Callable[[np.random.Generator, int], Array],
    count: int,
    percent: float,
    record_property: Callable[[str, object], None],
) -> None:
    rng = np.random.default_rng(1)
    truth = float(np.exp(NormalDist().inv_cdf(percent / 100)))
    found = [percentile(make(rng, count), percent).estimate for _ in range(REPEATS)]
    known = [entry for entry in found if entry is not None]
    assert len(known) > 0.9 * REPEATS
    covered = np.mean([(e.low or 0) <= truth <= (e.high or np.inf) for e in known])
    record_property("summary", f"interval of p{percent} of {count} calls, {make.__name__}: covers {covered:.1%}")
    chance = np.sqrt(0.95 * 0.05 / len(known))
    assert 0.93 - chance <= covered <= 0.97 + chance


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 0.999])
def test_ranks_are_those_of_the_binomial_distribution(share: float) -> None:
    for count in (1, 10, 60, 368, 5000, 20000):
        ranks = order_statistics(count, share)
        lower = int(stats.binom.ppf(0.025, count, share))
        lower = lower if stats.binom.cdf(lower - 1, count, share) <= 0.025 else lower - 1
        upper = int(stats.binom.ppf(0.975, count, share)) + 1
        assert ranks == ((lower, upper) if lower >= 1 and upper <= count else None), count


def test_a_percentile_is_given_from_so_many_calls_on() -> None:
    assert [calls_needed(percent) for percent in (50, 90, 95, 99, 99.9)] == [6, 36, 72, 368, 3688]
    values = np.tile([1.0, 2.0, 3.0, 4.0], 92)
    assert dependence(values, 0.99) == 1
    rising = np.random.default_rng(0).permutation(368).astype(float)
    found = percentile(rising, 99)
    independent = dependence(rising, 0.99) == 1
    assert (found.estimate is not None) == independent
    short = percentile(np.random.default_rng(0).permutation(100).astype(float), 99)
    assert short.estimate is None
    assert short.more_calls >= 268


def test_calls_that_hang_together_are_worth_less() -> None:
    rng = np.random.default_rng(0)
    one = np.concatenate([rng.normal(10, 1, 500), rng.normal(20, 1, 500)])  # a clock that dropped
    assert dependence(rng.normal(10, 1, 1000), 0.5) < 2
    assert dependence(one, 0.5) > 15
    steady, dropped = percentile(rng.permutation(one), 50).estimate, percentile(one, 50).estimate
    assert steady is not None
    assert dropped is not None
    assert dropped.high is not None and dropped.low is not None  # noqa: PT018
    assert steady.high is not None and steady.low is not None  # noqa: PT018
    assert dropped.high - dropped.low > 1.1 * (steady.high - steady.low)


def test_percentiles_are_numpys_of_the_samples() -> None:
    values = np.random.default_rng(0).exponential(5, 8000)
    summary = summarise(values)
    for entry in summary.percentiles:
        assert entry.estimate is not None
        assert entry.estimate.value == np.percentile(values, entry.percent)
        assert (entry.estimate.low or 0) < entry.estimate.value < (entry.estimate.high or 0)
    assert (summary.calls, summary.minimum, summary.maximum) == (8000, values.min(), values.max())
    assert summary.mean.value == pytest.approx(values.mean())
    assert summary.outliers == (values > summary.outlier_ms).sum() > 0


def test_the_mean_of_few_calls_has_no_interval() -> None:
    assert mean_interval([1.0, 2.0, 3.0]).to_dict() == {"value": 2.0, "low": None, "high": None}


def test_what_is_no_latency() -> None:
    for values in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="finite"):
            summarise(values)
