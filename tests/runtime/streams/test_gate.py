from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from mmn_edge.errors import DataError
from mmn_edge.runtime.streams.counts import Notes, StreamCounts
from mmn_edge.runtime.streams.gate import Gate

from .conftest import values


class Playing:
    """A gate that takes frames 1/30 s apart."""

    def __init__(self) -> None:
        self.counts = StreamCounts()
        self.gate = Gate(self.counts)
        self.now = 100.0

    def take(self, **changes: Any) -> float | None:
        self.now += 1 / 30
        message = values(**changes)
        found = self.gate.take(json.dumps(message).encode(), *self.gate.check(message), self.now)
        return None if found is None else found.frame.time


def test_frames_without_numbers() -> None:
    playing = Playing()
    assert [playing.take(time=t) for t in (1.0, 1.1, 1.05, 1.1, 1.2)] == [1.0, 1.1, None, None, 1.2]
    assert (playing.counts.late, playing.counts.duplicates) == (1, 1)


def test_a_line_for_each_person_is_no_duplicate() -> None:
    playing = Playing()
    assert [playing.take(time=1.0, x=x) for x in (1.0, 50.0)] == [1.0, 1.0]
    assert playing.counts.duplicates == 0


def test_numbers_count_where_the_clock_steps_back() -> None:
    playing = Playing()
    taken = [playing.take(time=t, sequence=k) for k, t in enumerate((50.0, 50.03, 40.0, 40.03))]
    assert all(after > before for before, after in itertools.pairwise(taken))  # type: ignore[operator]
    assert (playing.counts.clock_steps, playing.counts.late) == (1, 0)


def test_clock_that_stepped_back_without_numbers_is_followed_after_three_frames() -> None:
    playing = Playing()
    taken = [playing.take(time=t) for t in (50.0, 50.03, 40.0, 40.03, 40.06, 40.09)]
    assert [time is None for time in taken] == [False, False, True, True, False, False]
    assert (playing.counts.clock_steps, playing.counts.late) == (1, 2)


def test_sender_that_numbers_anew_is_followed_after_three_frames() -> None:
    playing = Playing()
    taken = [playing.take(time=t, sequence=k) for t, k in ((50.0, 900), (1.0, 0), (1.03, 1), (1.06, 2), (1.1, 3))]
    assert [time is None for time in taken] == [False, True, True, False, False]
    assert 50 < (taken[3] or 0) < 51
    assert playing.counts.lost == 0


@pytest.mark.parametrize(("jump", "lost"), [(10, 9), (10_000_000, 0)])
def test_lost_frames_are_counted(jump: int, lost: int) -> None:
    playing = Playing()
    playing.take(time=1.0, sequence=0)
    playing.take(time=1.1, sequence=jump)
    assert playing.counts.lost == lost


def test_another_layout_is_refused_and_nothing_changes() -> None:
    playing = Playing()
    playing.take(time=1.0)
    with pytest.raises(DataError, match="has layout coco17, and the stream began in imigue"):
        playing.take(time=1.1, layout="coco17", persons=[])
    assert playing.take(time=1.1) == 1.1


@pytest.mark.parametrize("sequence", [-1, 1.0, "1", True, 2**64, [1]])
def test_numbers_that_are_none(sequence: object) -> None:
    with pytest.raises(DataError, match='"sequence" must be a whole number'):
        Playing().take(time=1.0, sequence=sequence)


def test_each_kind_of_trouble_is_said_at_once_and_then_seldom() -> None:
    said: list[str] = []
    notes = Notes(said.append, every=3600)
    for _ in range(3):
        notes.say("one", "first")
    notes.say("other", "second")
    assert said == ["first", "second"]
    notes._every = 0.0
    notes.say("one", "again")
    assert said[-1] == "again (and 2 more like it since)"
