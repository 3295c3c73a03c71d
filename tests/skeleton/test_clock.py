from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mmn_edge.skeleton.clock import MIN_INSTANTS, STILL, StreamClock, doubt

SECONDS = np.arange(300) / 30


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.arange(300), "a window of 2 s holds only 3 frames: are these frame numbers? Times are seconds"),
        (SECONDS * 1e3, "holds only 1 frame: are these milliseconds?"),
        (SECONDS * 10, "holds only 7 frames: they are 0.333 s apart"),
        (np.floor(SECONDS), "holds only 3 different times: are the times rounded?"),
        (np.floor(SECONDS * 2) / 2, "holds only 5 different times: are the times rounded?"),
        (SECONDS[::30], "holds only 3 frames: are these frame numbers?"),
        (np.arange(4), "holds only 3 frames: are these frame numbers?"),
        (np.full(300, 5.0), f"{STILL} frames in a row have the time 5 s: the clock stands still"),
        (np.full(MIN_INSTANTS, 5.0), f"{MIN_INSTANTS} frames in a row have the time 5 s"),
    ],
)
def test_times_that_are_no_clock(times: Sequence[float], message: str) -> None:
    found = doubt(map(float, times), 2.0)
    assert found is not None
    assert message in found


@pytest.mark.parametrize(
    "times",
    [
        SECONDS,
        SECONDS + 1.7e9,
        SECONDS[::6],
        np.floor(SECONDS * 10) / 10,
        np.repeat(SECONDS, 5),  # a line a person
        np.concatenate([SECONDS, SECONDS + 100]),  # nobody was there for a while
        np.concatenate([k * 60 + SECONDS[:9] for k in range(20)]),
        np.concatenate([[0, 1, 2, 3], 3 + SECONDS]),  # a camera that begins slowly
        np.concatenate([SECONDS, np.full(100, 10.0), 10 + SECONDS]),
        [],
        [3.0],
        [0.0, 1.0, 2.0],
        np.full(MIN_INSTANTS - 1, 5.0),
    ],
)
def test_times_that_are_one(times: Sequence[float]) -> None:
    assert doubt(map(float, times), 2.0) is None


def test_a_doubt_comes_early_and_goes_when_the_clock_does() -> None:
    clock = StreamClock(2.0)
    for time in (0.0, 1.0, 2.0, 3.0):
        assert clock.doubt is None
        clock.tick(time)
    assert clock.doubt is not None
    assert clock.verdict is None, "a slow beginning is no proof"
    for time in 3 + SECONDS:
        clock.tick(float(time))
    assert clock.doubt is None
    assert clock.enough


def test_after_a_good_time_there_is_doubt_and_no_verdict() -> None:
    clock = StreamClock(2.0)
    for time in SECONDS:
        clock.tick(float(time))
    assert clock.lapse is None
    for time in range(10, 40):
        clock.tick(time)
    assert clock.lapse is not None
    assert not clock.enough
    assert clock.verdict is None
    assert clock.last_word() is None


def test_a_clock_stands_still_from_the_32nd_frame_on() -> None:
    clock = StreamClock(2.0)
    for _ in range(31):
        clock.tick(5.0)
        assert clock.doubt is None
    clock.tick(5.0)
    assert clock.doubt == "32 frames in a row have the time 5 s: the clock stands still"
