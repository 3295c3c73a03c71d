from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.datasets.synthetic.body import Body, Posture, hand_vector, joints, rotation, two_bone
from mmn_edge.skeleton import layouts

LAYOUT = layouts.get("ma52")


def at(points: np.ndarray, joint: str) -> np.ndarray:
    return points[:, LAYOUT.index(joint)]


def length(points: np.ndarray, one: str, other: str) -> np.ndarray:
    return np.linalg.norm(at(points, one) - at(points, other), axis=-1)


@pytest.mark.parametrize(
    ("angles", "vector", "turned"),
    [
        ((np.pi / 2, 0, 0), (0, 1, 0), (0, 0, 1)),  # pitch: up becomes forward
        ((0, np.pi / 2, 0), (0, 0, 1), (1, 0, 0)),  # yaw: forward becomes the own left
        ((0, 0, np.pi / 2), (0, 1, 0), (-1, 0, 0)),  # roll: up becomes the own right
    ],
)
def test_rotation_turns_as_documented(angles, vector, turned):
    np.testing.assert_allclose(rotation(np.array(angles)) @ vector, turned, atol=1e-12)


def test_rotations_are_orthogonal():
    matrices = rotation(np.random.default_rng(0).normal(size=(50, 3)))
    np.testing.assert_allclose(matrices @ matrices.swapaxes(1, 2), np.broadcast_to(np.eye(3), (50, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0)


def test_two_bone_keeps_lengths_reaches_what_it_can_and_bends_to_the_pole():
    rng = np.random.default_rng(0)
    root, target, pole = rng.normal(size=(3, 200, 3)) * 0.25
    upper, lower = np.full(200, 0.3), np.full(200, 0.25)
    middle, end = two_bone(root, target, upper, lower, pole)
    np.testing.assert_allclose(np.linalg.norm(middle - root, axis=-1), 0.3)
    np.testing.assert_allclose(np.linalg.norm(end - middle, axis=-1), 0.25)
    distance = np.linalg.norm(target - root, axis=-1)
    reachable = (distance > 0.08) & (distance < 0.54)
    assert 50 < reachable.sum() < 200
    np.testing.assert_allclose(end[reachable], target[reachable], atol=1e-6)
    far = distance > 0.56
    assert far.any()
    axis = ((target - root) / distance[:, None])[far]
    reached = np.linalg.norm(end - root, axis=-1)[far]
    assert ((reached > 0.53) & (reached < 0.55)).all()
    np.testing.assert_allclose((end - root)[far], axis * reached[:, None], atol=1e-6)
    assert (((middle - root) - (end - root) * 0.5) * pole).sum(-1).mean() > 0


@pytest.mark.parametrize("seed", range(8))
def test_a_person_is_anatomically_in_order(seed):
    rng = np.random.default_rng(seed)
    body = Body.random(rng)
    posture = Posture.random(body, rng)
    points = joints(body, posture.hold(2))
    assert points.shape == (2, 44, 3)
    assert np.isfinite(points).all()
    for one, other in LAYOUT.pairs:
        if LAYOUT.joints[one].endswith(("wrist", "root", "tip")):
            continue  # hands may lie across each other
        left, right = (one, other) if LAYOUT.joints[one].startswith("left") else (other, one)
        assert (points[:, left, 0] > points[:, right, 0]).all(), LAYOUT.joints[left]
    top_down = (
        "head",
        "left_eye",
        "nose",
        "lower_lip_bottom_mid",
        "left_shoulder",
        "left_elbow",
        "left_hip",
        "left_heel",
    )
    heights = [at(points, name)[0, 1] for name in top_down]
    assert heights == sorted(heights, reverse=True)
    assert (at(points, "nose")[:, 2] > at(points, "left_ear")[:, 2]).all()
    np.testing.assert_allclose(length(points, "left_shoulder", "left_elbow"), body.upper_arm)
    np.testing.assert_allclose(length(points, "right_hip", "right_knee"), body.thigh)
    np.testing.assert_allclose(length(points, "neck", "left_shoulder"), body.clavicle)


def test_thumbs_point_inwards_with_palms_down():
    rng = np.random.default_rng(0)
    body = Body.random(rng)
    pose = Posture.random(body, rng).hold(1)
    for side in (0, 1):
        pose.anchor[0, side] = hand_vector(side, (0.2, 0.2, 0.3), (0, 0, 1), (0, -1, 0), (0.5, -1, 0))
    points = joints(body, pose)
    assert at(points, "left_thumb_tip")[0, 0] < at(points, "left_pinky_tip")[0, 0]
    assert at(points, "right_thumb_tip")[0, 0] > at(points, "right_pinky_tip")[0, 0]
    # Curled fingers bend towards the palm.
    pose.curl[:] = 0.0
    straight = joints(body, pose)
    pose.curl[:] = 0.6
    curled = joints(body, pose)
    for name in ("left_index_tip", "right_ring_tip"):
        assert at(curled, name)[0, 1] < at(straight, name)[0, 1] - 0.03
