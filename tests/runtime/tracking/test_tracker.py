from __future__ import annotations

import numpy as np

from mmn_edge.runtime.tracking.tracker import MEMORY_SECONDS, Tracker
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray

POSE = np.asarray(layouts.get("ma52").pose, np.float64)
POSE = (POSE - POSE.mean(axis=0)) / np.ptp(POSE[:, 1])


def body(x: float, size: float = 200.0, y: float = 240.0) -> FloatArray:
    return (POSE * size + [x, y]).astype(np.float32)


def place(points: FloatArray) -> float:
    return float(points[:, 0].mean())


def test_ids_that_follow_the_bodies_are_kept() -> None:
    tracker = Tracker()
    for frame in range(60):
        seen = {7: body(100 + frame), 3: body(500 - frame)}
        tracked = tracker.update(frame / 30, seen)
        assert tracked.persons == seen
        assert not tracked.anew
    assert tracker.trusted


def test_persons_without_ids_who_cross_keep_theirs() -> None:
    tracker = Tracker()
    rng = np.random.default_rng(0)
    for frame in range(150):
        left, right = body(100 + 3 * frame), body(550 - 3 * frame, 260)
        skeletons = [left, right] if rng.random() < 0.5 else [right, left]
        persons = tracker.update(frame / 30, dict(enumerate(skeletons)), tracked=False).persons
        if not frame:
            number = next(key for key, points in persons.items() if points is left)
        assert persons[number] is left
        assert len(persons) == 2


def test_who_is_hidden_by_another_comes_back_as_the_same() -> None:
    tracker = Tracker()
    for frame in range(120):
        walks = body(100 + 3 * frame)
        seen = [body(300, 280)] + ([] if 50 <= frame < 80 else [walks])
        persons = tracker.update(frame / 30, dict(enumerate(seen)), tracked=False).persons
        if 0 < frame < 50 or frame >= 80:
            assert place(persons[1]) == place(walks)
    assert set(persons) == {0, 1}


def test_who_comes_back_late_is_somebody_new_and_nothing_is_kept_of_them() -> None:
    tracker = Tracker()
    tracker.update(0.0, {0: body(100), 1: body(400)}, tracked=False)
    tracker.update(MEMORY_SECONDS + 1, {0: body(400)}, tracked=False)
    assert set(tracker.update(MEMORY_SECONDS + 1.03, {0: body(401), 1: body(100)}, tracked=False).persons) == {2, 3}
    assert len(tracker._bodies) == 2


def test_after_an_exchange_ids_are_our_own() -> None:
    tracker = Tracker()
    tracker.update(0.0, {0: body(100), 1: body(400)})
    tracked = tracker.update(1 / 30, {0: body(401), 1: body(101)})
    assert tracked.distrusted == 0
    assert {key: round(place(points)) for key, points in tracked.persons.items()} == {0: 101, 1: 401}
    assert not tracker.trusted
    assert set(tracker.update(2 / 30, {5: body(402), 9: body(102)}).persons) == {0, 1}


def test_a_jump_to_where_nobody_was_is_no_exchange() -> None:
    tracker = Tracker()
    tracker.update(0.0, {0: body(100), 1: body(400)})
    tracked = tracker.update(1 / 30, {0: body(900), 1: body(401)})
    assert tracked.anew == {0}
    assert tracker.trusted


def test_a_few_joints_are_enough_to_be_followed() -> None:
    tracker = Tracker()
    rng = np.random.default_rng(1)
    for frame in range(60):
        left, right = body(100 + frame), body(420 - frame)
        for points in (left, right):
            points[rng.random(len(points)) < 0.6] = np.nan
        persons = tracker.update(frame / 30, {0: left, 1: right}, tracked=False).persons
        assert persons[0] is left
        assert persons[1] is right
