from pathlib import Path

import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import UsageError
from mmn_edge.runtime.timing.profiler import percentiles, profile


def test_percentiles() -> None:
    assert percentiles(list(range(101))) == (50, 90, 99)


def test_profile_measures_every_setting(small_bundle: Path) -> None:
    rows = list(profile(Bundle.open(small_bundle), batches=(1, 3), threads=(1, 2), seconds=0.01))
    assert [(row.threads, row.batch) for row in rows] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    for row in rows:
        assert row.runs >= 20
        assert 0 < row.p50_ms <= row.p90_ms <= row.p99_ms
        assert row.windows_per_second == pytest.approx(row.batch * 1e3 / row.p50_ms)


def test_nonsense(small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    with pytest.raises(UsageError, match="at least 1"):
        list(profile(bundle, batches=(0,)))
    for threads in (0, 100_000):
        with pytest.raises(UsageError, match="from 1 to 256"):
            list(profile(bundle, threads=(threads,)))
    with pytest.raises(UsageError, match="positive"):
        list(profile(bundle, seconds=0))
