from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mmn_edge.datasets.synthetic import scenes
from mmn_edge.datasets.synthetic.scenes import CLASSES, PARTS, scene
from mmn_edge.errors import UsageError
from mmn_edge.model import labels


def test_the_label_set_is_that_of_the_scenes() -> None:
    assert sorted(labels.get("synthetic-scenes").classes) == sorted(CLASSES)


def test_a_scene_follows_from_its_seed() -> None:
    first, again, other = scene(20.0, 3), scene(20.0, 3), scene(20.0, 4)
    assert first.movements == again.movements != other.movements
    for one, two in zip(first.frames(), again.frames(), strict=True):
        assert one.time == two.time
        np.testing.assert_array_equal(one.persons[0].keypoints, two.persons[0].keypoints)


def test_one_part_does_one_thing_at_a_time_and_parts_overlap() -> None:
    part_of = {label: part for part, names in PARTS.items() for label in names}
    overlaps = 0
    for movement, other in combinations(scene(300.0, 1).movements[0], 2):
        if min(movement.end, other.end) > max(movement.start, other.start):
            assert part_of[movement.label] != part_of[other.label]
            overlaps += 1
    assert overlaps > 10


def test_durations_and_overlaps_are_as_counted() -> None:
    """Within a fifth of the counts of ``../shared/spec/detection.md``; shares of frames within four points."""
    lengths, at_once = [], np.zeros(4)
    clock = np.arange(0.0, 600.0, 0.1)
    for seed in range(12):
        movements = scene(600.0, seed).movements[0]
        lengths += [movement.end - movement.start for movement in movements]
        busy = sum(((clock >= m.start) & (clock < m.end)).astype(int) for m in movements)
        at_once += np.bincount(np.minimum(busy, 3), minlength=4) / (12 * len(clock))
    quantiles = np.percentile(lengths, [5, 25, 50, 75, 95])
    np.testing.assert_allclose(quantiles, np.array([20, 42, 79, 172, 360]) / 30, rtol=0.2)
    np.testing.assert_allclose(at_once, [0.152, 0.516, 0.290, 0.042], atol=0.04)


def test_persons_stand_side_by_side_and_do_things_of_their_own() -> None:
    play = scene(12.0, 2, persons=3, fps=15.0)
    assert len(play.movements) == 3
    assert len(set(play.movements)) == 3
    frame = next(play.frames())
    assert [person.id for person in frame.persons] == [0, 1, 2]
    left = [float(np.nanmean(person.keypoints[:, 0])) for person in frame.persons]
    assert left == sorted(left)


def test_without_activity_people_only_fidget() -> None:
    still = scene(60.0, 5, activity=0.0, fidgets=0.0)
    fidgeting = scene(60.0, 5, activity=0.0, fidgets=0.5)
    assert still.movements == fidgeting.movements == ((),)

    def path(play: scenes.Scene) -> float:
        points = np.stack([frame.persons[0].keypoints for frame in play.frames()])
        return float(np.nanstd(points, axis=0).mean())

    assert path(fidgeting) > 1.5 * path(still)


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"seconds": 0}, {"persons": 0}, {"persons": 99}, {"activity": -1}])
def test_scenes_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        scene(**{"seconds": 10.0, "seed": 0, **wrong})  # type: ignore[arg-type]
