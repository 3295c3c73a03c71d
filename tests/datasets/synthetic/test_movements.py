from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.datasets.synthetic.body import Body, Posture, joints
from mmn_edge.datasets.synthetic.movements import CLASS_GROUPS, CLASSES, FIDGETS, GROUPS, Performance, perform
from mmn_edge.model import labels
from mmn_edge.skeleton import layouts

LAYOUT = layouts.get("ma52")
TIMES = np.arange(180) / 60.0
BONES = (
    ("left_shoulder", "left_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_hip", "left_knee"),
    ("right_knee", "right_ankle"),
    ("right_big_toe", "right_heel"),
    ("neck", "hip"),
    ("neck", "right_shoulder"),
    ("nose", "head"),
    ("left_wrist", "left_hand_root"),
)


def act(movement: str, seed: int, start: float = 0.5, end: float = 2.5) -> tuple[np.ndarray, Performance]:
    rng = np.random.default_rng(seed)
    body = Body.random(rng)
    posture = Posture.random(body, rng)
    performance = Performance.random(movement, start, end, rng)
    pose = posture.hold(len(TIMES))
    perform(performance, pose, TIMES, body, posture)
    return joints(body, pose), performance


def travel(points: np.ndarray, joint: str) -> np.ndarray:
    """Peak-to-peak travel (3,) of a joint in metres."""
    return np.ptp(points[:, LAYOUT.index(joint)], axis=0)


def test_the_label_set_is_that_of_the_classes():
    shipped = labels.get("synthetic")
    assert (shipped.classes, shipped.groups, shipped.class_groups) == (CLASSES, GROUPS, CLASS_GROUPS)
    assert CLASSES[0] == "rest"
    ma52 = labels.get("ma52")
    for name, group in zip(CLASSES[1:], CLASS_GROUPS[1:], strict=True):
        if name in ma52.classes:
            assert GROUPS[group] == ma52.group_of(ma52.classes.index(name)), name


@pytest.mark.parametrize("movement", [*CLASSES[1:], *FIDGETS])
def test_movements_keep_bones_and_leave_the_posture_and_return_to_it_smoothly(movement):
    for seed in range(4):
        points, _ = act(movement, seed)
        assert np.isfinite(points).all()
        for one, other in BONES:
            lengths = np.linalg.norm(points[:, LAYOUT.index(one)] - points[:, LAYOUT.index(other)], axis=-1)
            np.testing.assert_allclose(lengths, lengths[0], rtol=1e-6)
        np.testing.assert_array_equal(points[:30], points[:1].repeat(30, 0))
        np.testing.assert_array_equal(points[151:], points[:1].repeat(29, 0))
        assert np.ptp(points[30:150], axis=0).max() > 0.01
        assert np.abs(np.diff(points, axis=0)).max() < 0.12  # at most 7 m/s: nothing jumps


def test_nodding_shaking_and_tilting_move_the_face_in_their_own_directions():
    for seed in range(5):
        nod, shake, tilt = (act(name, seed)[0] for name in ("nodding", "shaking head", "tilting head"))
        assert travel(nod, "nose")[1] > 0.01 > 1e-4 > travel(nod, "neck").max()
        assert travel(nod, "nose")[1] > 2 * travel(nod, "nose")[0]
        assert travel(shake, "nose")[0] > 0.03
        assert travel(shake, "head").max() < 0.01
        assert travel(tilt, "head")[0] > 0.025


def test_hands_reach_what_the_class_says():
    for seed in range(10):
        points, performance = act("touching nose", seed)
        side, other = (("left", "right"), ("right", "left"))[performance.side]
        gap = points[90, LAYOUT.index(f"{side}_index_tip")] - points[90, LAYOUT.index("nose")]
        assert np.linalg.norm(gap) < 0.08
        assert travel(points, f"{other}_wrist").max() < 1e-9

        points, performance = act("scratching or touching neck", seed)
        side = ("left", "right")[performance.side]
        gap = points[90, LAYOUT.index(f"{side}_middle_tip")] - points[90, LAYOUT.index("neck")]
        assert np.linalg.norm(gap) < 0.18

        points, _ = act("crossing arms", seed)
        assert points[90, LAYOUT.index("left_wrist"), 0] < points[90, LAYOUT.index("right_wrist"), 0]

        points, _ = act("rubbing hands", seed)
        hands = points[70:110, [LAYOUT.index("left_hand_root"), LAYOUT.index("right_hand_root")]]
        assert np.linalg.norm(hands[:, 0] - hands[:, 1], axis=-1).max() < 0.25


def test_legs_shoulders_and_trunk_move_only_where_they_should():
    for seed in range(5):
        legs, _ = act("shaking legs", seed)
        assert max(travel(legs, f"{side}_knee").max() for side in ("left", "right")) > 0.005
        assert travel(legs, "nose").max() == travel(legs, "left_wrist").max() == 0
        shrug, _ = act("shrugging", seed)
        assert min(travel(shrug, f"{side}_shoulder")[1] for side in ("left", "right")) > 0.03
        assert travel(shrug, "neck").max() == 0
        body, _ = act("shaking body", seed)
        assert travel(body, "neck").max() > 0.03
        assert travel(body, "left_knee").max() == 0


def test_a_performance_outside_the_frames_changes_nothing():
    points, _ = act("waving", 0, start=5.0, end=7.0)
    np.testing.assert_array_equal(points, points[:1].repeat(len(points), 0))
