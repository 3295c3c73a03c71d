from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.runtime.streams.sender_clock import Moment, SenderClock

FPS = 30
RECENT_SETTLED = 16


def delays(count: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """2 ms at least, 10 ms more on average, and sometimes very long."""
    rng = np.random.default_rng(seed)
    return 0.002 + rng.exponential(0.01, count) + (rng.random(count) < 0.01) * 0.3


def played(stamps: list[float], truth: list[float], delay: list[float]) -> list[Moment]:
    clock, arrived, moments = SenderClock(), 0.0, []
    for stamp, true, late in zip(stamps, truth, delay, strict=True):
        arrived = max(arrived, true + late)  # TCP keeps the order
        moments.append(clock.take(stamp, arrived))
    return moments


@pytest.mark.parametrize("drift", [0.0, 200e-6, -200e-6])
def test_capture_is_found_in_spite_of_jitter_and_drift(drift: float) -> None:
    truth = [5000 + k / FPS for k in range(10 * 60 * FPS)]
    stamps = [1.7e9 + (true - 5000) * (1 + drift) for true in truth]
    moments = played(stamps, truth, list(delays(len(truth))))
    assert not any(moment.stepped for moment in moments)
    assert [moment.time for moment in moments] == stamps  # the sender's own, untouched
    error = np.array([m.captured - true for m, true in zip(moments, truth, strict=True)])[10 * FPS :]
    assert error.min() > -0.001 - 30 * abs(drift)
    assert error.max() < 0.015


@pytest.mark.parametrize("step", [7200.0, 1.5, -1.5, -0.1, -1.7e9])
def test_step_is_counted_once_and_time_runs_on(step: float) -> None:
    truth = [5000 + k / FPS for k in range(20 * FPS)]
    stamps = [1.7e9 + true + (step if true >= 5010 else 0) for true in truth]
    moments = played(stamps, truth, [0.002] * len(truth))
    assert sum(moment.stepped for moment in moments) == 1
    steps = np.diff([moment.time for moment in moments])
    assert steps.min() > 0.03
    assert steps.max() < 0.04
    error = np.array([m.captured - true for m, true in zip(moments, truth, strict=True)])
    assert abs(error).max() < 0.01


def test_network_that_stalls_is_no_step() -> None:
    truth = [5000 + k / FPS for k in range(30 * FPS)]
    delay = [0.002 + max(0.0, 8 - (true - 5010)) * (5010 <= true < 5018) for true in truth]  # 8 s, then all at once
    moments = played(truth, truth, delay)
    assert not any(moment.stepped for moment in moments)
    assert max(abs(m.captured - true) for m, true in zip(moments, truth, strict=True)) < 0.01


def test_pause_of_the_sender_is_no_step() -> None:
    truth = [5000.0, 5000.1, 5300.0, 5300.1, 9000.0]
    moments = played([true - 4000 for true in truth], truth, [0.002] * 5)
    assert not any(moment.stepped for moment in moments)
    assert [moment.time for moment in moments] == [true - 4000 for true in truth]


@pytest.mark.parametrize("scale", [1000.0, 1e9])
def test_milliseconds_are_left_as_they_are(scale: float) -> None:
    """So that whoever reads the stream sees what they are, instead of a clock that steps for ever."""
    truth = [k / FPS for k in range(10 * FPS)]
    moments = played([true * scale for true in truth], truth, [0.0] * len(truth))
    steps = np.diff([moment.time for moment in moments])[RECENT_SETTLED:]
    np.testing.assert_allclose(steps, scale / FPS, rtol=1e-3)


def test_another_sender_may_have_any_clock() -> None:
    clock = SenderClock()
    clock.take(1e9, 100.0)
    moment = clock.take(5.0, 103.0, same_sender=False)
    assert not moment.stepped
    assert moment.time == pytest.approx(1e9 + 3)
    assert moment.captured == pytest.approx(103.0)
    goes_on = clock.take(6.0, 104.0, same_sender=False)
    assert goes_on.time == pytest.approx(1e9 + 4)
