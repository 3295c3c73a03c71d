from __future__ import annotations

from pathlib import Path

import pytest

from mmn_edge.errors import UsageError
from mmn_edge.latency.gates import against_baseline, against_limit, milliseconds, share
from mmn_edge.latency.measurement import Measurement
from mmn_edge.latency.report import Earlier, steadiness_warnings


def measured(*samples: float, batch: int = 1, backend: str = "onnxruntime 1.32.0 CPU") -> Measurement:
    return Measurement(
        "m",
        "0" * 64,
        backend,
        "fp32",
        1,
        batch,
        "scope",
        1.0,
        1.0,
        3,
        3.0,
        samples,
        tuple(map(float, range(len(samples)))),
    )


def test_units() -> None:
    assert [milliseconds(text) for text in ("20ms", "20", "0.5 s", "900us", "900µs")] == [20, 20, 500, 0.9, 0.9]
    assert [share(text) for text in ("5%", "5", "2.5 %", "0")] == [0.05, 0.05, 0.025, 0]
    for text in ("", "fast", "-1ms", "0ms", "20m", "1e3", "nan"):
        with pytest.raises(UsageError, match="20ms"):
            milliseconds(text)
    for text in ("", "-5%", "5%%", "five"):
        with pytest.raises(UsageError, match="5%"):
            share(text)


def test_a_limit() -> None:
    many = measured(*([5.0] * 600))
    assert [outcome.passed for outcome in against_limit([many], 5.0)] == [True]
    assert [outcome.passed for outcome in against_limit([many], 4.9)] == [False]
    few = measured(*([5.0] * 50))
    (unknown,) = against_limit([few], 4.0)
    assert not unknown.passed
    assert "318 more calls" in unknown.words
    (within,) = against_limit([few], 6.0)
    assert within.passed
    assert "None of 50 calls took longer" in within.words


def test_a_baseline_of_another_version_of_the_backend() -> None:
    before = Earlier(Path("b.json"), {}, [measured(*([5.0] * 50), backend="onnxruntime 1.20.0 CPU")], [])
    assert [o.passed for o in against_baseline([measured(*([5.2] * 50))], before, 0.05)] == [True]
    (failed,) = against_baseline([measured(*([5.5] * 50))], before, 0.05)
    assert not failed.passed
    assert "1.05 is allowed" in failed.words
    noisy = measured(*([4.0, 6.0, 7.0] * 3))
    (unsure,) = against_baseline([noisy], before, 0.05)
    assert unsure.passed
    assert "Measure for longer" in unsure.words


def test_unsteady_runs_are_warned_of() -> None:
    assert steadiness_warnings(measured(*([5.0, 5.1] * 50))) == []
    (drift,) = steadiness_warnings(measured(*([5.0] * 50 + [7.0] * 50)))
    assert "went from 5 to 7 ms" in drift
    (outliers,) = steadiness_warnings(measured(*([*[5.0, 5.1, 5.2, 5.3] * 4, 5.1, 5.2, 5.1, 50.0] * 5)))
    assert "5 of 100 calls took longer" in outliers
