from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.skeleton.continuity import IdentityWatch, Sighting, follow, jumps, longest_seen
from mmn_edge.skeleton.frame import FloatArray


def body(x: float = 0.0, *, height: float = 100.0) -> FloatArray:
    """Ten joints, the body ``height`` high."""
    points = np.zeros((10, 2), np.float32)
    points[:, 0] = x + np.arange(10)
    points[:, 1] = np.linspace(0, height, 10)
    return points


def test_a_body_that_moves_by_more_than_its_extent_jumps() -> None:
    clip = np.stack([body(0), body(99), body(200), body(210)])
    assert jumps(clip) == (2,)
    assert jumps(clip, [0, 1, 2, 3]) == (), "a second is long enough to walk there"
    assert jumps(clip, [0, 0.1, 0.3, 0.5]) == (2,)
    assert jumps(clip, [0, 0.1, 0.31, 0.5]) == ()
    assert jumps(np.stack([clip, np.zeros_like(clip)], axis=-1).reshape(4, 10, 4)[..., [0, 2, 1]]) == (2,)


def test_only_joints_seen_in_both_frames_count_and_a_hidden_half_is_no_move() -> None:
    half = body(0)
    half[:5] = np.nan
    two = body(500)
    two[2:] = np.nan
    assert jumps(np.stack([body(0), half, body(0)])) == ()
    assert jumps(np.stack([body(0), two, body(0)])) == (), "two joints are a hand"
    gone = np.full_like(half, np.nan)
    assert jumps(np.stack([body(0), gone, gone, body(300)])) == (3,)
    assert jumps(np.stack([body(0), *[gone] * 6, body(300)])) == (), "unseen for longer than 0.2 s"


def test_the_extent_is_that_of_the_last_second() -> None:
    small = body(0)
    small[2:] = np.nan  # mostly hidden for one frame
    shown = [body(0)] * 20 + [small] * 2 + [body(60)]
    assert jumps(np.stack(shown)) == ()
    assert jumps(np.stack([body(0, height=300)] * 10 + [body(0, height=50)] * 40 + [body(100, height=50)])) == (50,)


def test_a_clip_is_judged_as_a_stream_is() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        points = np.stack(
            [body(x, height=rng.uniform(50, 300)) for x in rng.choice([0, 60, 150, 400], 60).cumsum() % 700]
        )
        points[rng.random((60, 10)) < 0.3] = np.nan
        points[rng.random(60) < 0.1] = np.nan
        times = rng.choice([0.03, 0.1, 0.19, 0.3], 60).cumsum()
        watch = IdentityWatch[int]()
        live = tuple(k for k in range(60) if watch.jumped(times[k], {0: points[k]}))
        assert jumps(points, times) == live
        found += len(live)
    assert found > 100


def test_a_body_without_extent_never_jumps() -> None:
    assert jumps(np.stack([np.full((10, 2), value, np.float32) for value in (0, 50, 900)])) == ()


def test_neighbours_who_change_ids_are_noticed_though_they_are_near() -> None:
    watch = IdentityWatch[int]()
    for number in range(5):
        assert watch.jumped(number / 30, {3: body(number), 8: body(60 + number)}) == set()
    assert watch.jumped(5 / 30, {3: body(65), 8: body(5)}) == {3, 8}
    assert watch.jumped(6 / 30, {3: body(66), 8: body(6)}) == set()


def test_a_quick_step_beside_somebody_is_no_exchange() -> None:
    watch = IdentityWatch[int]()
    watch.jumped(0, {3: body(0), 8: body(80)})
    assert watch.jumped(0.1, {3: body(30), 8: body(80)}) == set()


def test_somebody_who_comes_back_after_long_has_not_jumped() -> None:
    watch = IdentityWatch[int]()
    watch.jumped(0, {1: body(0)})
    watch.jumped(5, {2: body(50)})
    assert watch.jumped(5.1, {1: body(900), 2: body(50)}) == set()


def clip(*frames: list[tuple[float, object]]) -> list[Sighting]:
    """Frames of (place, id)."""
    return [
        Sighting(number, body(x), identity=identity) for number, frame in enumerate(frames) for x, identity in frame
    ]


def places(sightings: tuple[Sighting, ...]) -> list[tuple[int, float]]:
    return [(sighting.frame, float(sighting.keypoints[0, 0])) for sighting in sightings]


def test_ids_are_followed_and_the_longest_seen_wins() -> None:
    found = follow(clip([(0, 1), (900, 2)], [(905, 2)], [(910, 2), (5, 1)]))
    assert found.tracked
    assert found.crowded == 2
    assert places(found.sightings) == [(0, 900), (1, 905), (2, 910)]


@pytest.mark.parametrize("identity", [None, 0])
def test_without_ids_that_are_ids_the_nearest_is_followed(identity: object) -> None:
    frames = [[(float(k), identity), (900.0 + k, identity)][:: 1 if k % 3 else -1] for k in range(12)]
    found = follow(clip(*frames))
    assert not found.tracked
    assert found.crowded == 12
    assert places(found.sightings) in ([(k, k) for k in range(12)], [(k, 900 + k) for k in range(12)])


def test_ids_that_change_persons_are_none() -> None:
    found = follow(clip(*([(0.0, k // 3 % 2), (300.0, 1 - k // 3 % 2)] for k in range(12))))
    assert not found.tracked
    assert len({place for _, place in places(found.sightings)}) == 1


def test_of_those_seen_nearly_as_long_the_surest_is_followed() -> None:
    near = [Sighting(k, body(k), 3.0) for k in range(19)]
    far = [Sighting(k, body(900 + k), 1.2) for k in range(20)]
    assert len(follow([*far, *near]).sightings) == 19
    assert len(follow([*far, *near[:10]]).sightings) == 20


def test_a_person_is_taken_up_again_at_the_same_place() -> None:
    frames: list[list[tuple[float, object]]] = [[(0, None), (900, None)] for _ in range(20)]
    for k in range(5, 9):
        frames[k] = [(900, None)]
    found = follow(clip(*frames))
    assert places(found.sightings) == [(k, 900) for k in range(20)]
    frames[3] = frames[4] = [(0, None)]
    frames[9] = [(900, None)]
    found = follow(clip(*frames))
    assert {place for _, place in places(found.sightings)} == {900}


def test_a_person_alone_is_followed_wherever_they_are() -> None:
    found = follow(clip([(0, None)], [], [(900, None)]))
    assert places(found.sightings) == [(0, 0), (2, 900)]
    assert found.crowded == 0


def test_nobody() -> None:
    assert follow([]).sightings == ()
    assert follow([Sighting(0, np.full((10, 2), np.nan, np.float32))]).sightings == ()


def test_the_longest_seen_of_arrays() -> None:
    person = np.ones((6, 4, 2), np.float32)
    nobody = np.zeros_like(person)
    brief = nobody.copy()
    brief[:3] = 1
    assert longest_seen(np.stack([nobody, person])) == (1, ("person 1 shows nobody, so person 2 of 2 was followed",))
    assert longest_seen(np.stack([person, person])) == (0, ())
    chosen, notes = longest_seen(np.stack([brief, person, person]))
    assert chosen == 1
    assert notes == ("person 1 is seen in 3 of 6 frames, so person 2 of 3 was followed",)
    assert longest_seen(np.stack([nobody, nobody])) == (0, ())
    assert longest_seen(np.stack([person * np.nan, person]))[0] == 1
    assert longest_seen(np.stack([person, person]), np.stack([np.zeros((6, 4)), np.ones((6, 4))]))[0] == 1
    hand = np.ones((6, 4, 2), np.float32)
    hand[:, 0] = 0  # one joint at the origin is a place like any other
    assert longest_seen(np.stack([hand, person]))[0] == 0


def test_three_joints_are_enough_to_see_a_jump() -> None:
    three = body(500)
    three[3:] = np.nan
    assert jumps(np.stack([body(0), three])) == (1,)


def test_a_small_step_to_where_another_stood_is_no_exchange() -> None:
    watch = IdentityWatch[int]()
    watch.jumped(0, {3: body(0), 8: body(5)})  # one body under two ids
    assert watch.jumped(0.1, {3: body(6), 8: body(5)}) == set()
    watch.jumped(5, {3: body(0), 8: body(70)})
    assert watch.jumped(5.1, {3: body(40), 8: body(70)}) == set(), "not twice as near to the other's place"


def test_a_body_that_was_tall_two_seconds_ago_counts_as_it_is_now() -> None:
    shown = [body(0, height=300)] * 60 + [body(0, height=50)] * 20 + [body(100, height=50)]
    assert jumps(np.stack(shown)) == (80,)


@pytest.mark.parametrize(("unseen", "expected"), [(20, 0), (40, 900)])
def test_a_person_without_an_id_is_remembered_for_a_second(unseen: int, expected: float) -> None:
    there = {*range(30), *range(30 + unseen, 60 + unseen)}
    frames: list[list[tuple[float, object]]] = [
        [*([(0.0, None)] if k in there else []), *([(900.0, None)] if k < 50 else [])] for k in range(60 + unseen)
    ]
    assert {place for _, place in places(follow(clip(*frames)).sightings)} == {expected}
