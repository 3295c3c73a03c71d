from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.errors import LayoutError
from mmn_edge.skeleton import layouts

LABELS = Path(__file__).resolve().parents[3] / "shared" / "labels"
COUNTS = {
    "azure-kinect": 32,
    "coco-wholebody133": 133,
    "coco17": 17,
    "h36m17": 17,
    "halpe136": 136,
    "imigue": 22,
    "jhmdb": 15,
    "kinect-v2": 25,
    "ma52": 44,
    "mediapipe-holistic": 543,
    "mediapipe-pose": 33,
    "nw-ucla": 20,
    "openpose": 137,
    "zed-body18": 18,
    "zed-body34": 34,
    "zed-body38": 38,
}
AXES = {
    "azure-kinect": ("right", "down", "away"),
    "h36m17": ("right", "down", "away"),
    "kinect-v2": ("left", "up", "away"),
    "nw-ucla": ("left", "up", "away"),
    "zed-body18": ("right", "up", "toward"),
    "zed-body34": ("right", "up", "toward"),
    "zed-body38": ("right", "up", "toward"),
}
every_layout = pytest.mark.parametrize("layout", [layouts.get(name) for name in COUNTS], ids=list(COUNTS))


def published(name: str) -> dict[str, Any]:
    path = LABELS / name
    if not path.exists():
        pytest.skip(f"the published joint list {path} is not here")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def snake_case(name: str) -> str:
    """``LShoulder`` and ``L_hand_root (note)`` in the spelling of the layouts."""
    name = re.split(r" \(|/", name)[0]
    name = re.sub(r"^L_?(?=[A-Zh-t])", "left_", re.sub(r"^R_?(?=[A-Zh-t])", "right_", name))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def test_names_and_joint_counts() -> None:
    assert {name: layouts.get(name).num_joints for name in layouts.names()} == COUNTS


@every_layout
def test_layout_is_sound(layout: layouts.Layout) -> None:
    joints = range(layout.num_joints)
    assert len(set(layout.joints)) == layout.num_joints
    assert sorted(layout.order) == list(joints)
    assert {joint for bone in layout.bones for joint in bone} <= set(joints)
    assert all(start != end for start, end in layout.bones)
    assert len(set(layout.bones)) == len(layout.bones)
    assert layout.centre is None or layout.centre in joints
    assert layout.axes == AXES.get(layout.name, ("right", "down"))
    assert layout.channels == len(layout.axes)
    assert layout.title
    assert layout.source


@every_layout
def test_pairs_are_left_and_right(layout: layouts.Layout) -> None:
    paired = [joint for pair in layout.pairs for joint in pair]
    assert len(set(paired)) == len(paired)
    sided = {joint for joint, name in enumerate(layout.joints) if "left" in name or "right" in name}
    assert sided <= set(paired)
    for one, other in layout.pairs:
        if one in sided:
            name = layout.joints[one]
            swapped = name.replace("left", "right") if "left" in name else name.replace("right", "left")
            assert layout.joints[other] == swapped


@every_layout
def test_pose_is_a_mirror_image_with_the_persons_left_on_the_right(layout: layouts.Layout) -> None:
    mirror = list(range(layout.num_joints))
    for one, other in layout.pairs:
        mirror[one], mirror[other] = other, one
    assert len(layout.pose) == layout.num_joints
    for joint, (x, y) in enumerate(layout.pose):
        assert 0 < x < 1
        assert 0 < y < 1
        assert layout.pose[mirror[joint]] == pytest.approx((1 - x, y), abs=0.002), layout.joints[joint]
        if "left" in layout.joints[joint]:
            assert x > 0.5


@pytest.mark.parametrize(
    ("name", "file", "centre"),
    [("ma52", "ma52_joints44.json", "centre_joint"), ("imigue", "imigue_joints22.json", "centre_joint_mmn")],
)
def test_equals_the_published_layout(name: str, file: str, centre: str) -> None:
    layout, facts = layouts.get(name), published(file)
    assert list(layout.joints) == [snake_case(joint["name"]) for joint in facts["joints"]]
    assert list(layout.bones) == [tuple(bone) for bone in facts["bones_mmn"]]
    assert {part: list(joints) for part, joints in layout.parts.items()} == facts["parts_mmn"]
    assert list(layout.parts) == list(facts["parts_mmn"])
    assert list(layout.pairs) == [tuple(pair) for pair in facts["left_right_pairs"]]
    assert layout.centre == facts[centre]


def test_order_of_imigue_is_the_published_one() -> None:
    assert layouts.get("imigue").order == (
        4,
        *range(12, 17),
        7,
        *range(17, 22),
        0,
        8,
        9,
        10,
        11,
        1,
        2,
        5,
        3,
        6,
    )


@pytest.mark.parametrize("name", ["jhmdb", "nw-ucla"])
def test_bones_of_own_design_are_a_tree(name: str) -> None:
    """Every joint but the root starts exactly one bone, and following the bones leads to the root."""
    layout = layouts.get(name)
    parent = dict(layout.bones)
    assert len(parent) == len(layout.bones) == layout.num_joints - 1
    (root,) = set(range(layout.num_joints)) - set(parent)
    for joint in range(layout.num_joints):
        steps = 0
        while joint != root:
            joint, steps = parent[joint], steps + 1
            assert steps < layout.num_joints


@pytest.mark.parametrize(
    ("name", "joint", "index"),
    [
        ("halpe136", "left_big_toe", 20),
        ("halpe136", "face_28", 54),
        ("halpe136", "right_pinky_tip", 135),
        ("coco-wholebody133", "right_heel", 22),
        ("coco-wholebody133", "face_0", 23),
        ("coco-wholebody133", "right_hand_root", 112),
        ("openpose", "hip", 8),
        ("openpose", "left_ear", 18),
        ("openpose", "face_69", 94),
        ("openpose", "right_hand_root", 116),
        ("mediapipe-holistic", "left_wrist", 15),
        ("mediapipe-holistic", "right_hand_root", 54),
        ("mediapipe-holistic", "face_467", 542),
        ("nw-ucla", "right_shoulder", 8),
        ("jhmdb", "left_ankle", 14),
        ("kinect-v2", "left_wrist", 6),
        ("kinect-v2", "spine_shoulder", 20),
        ("kinect-v2", "right_thumb", 24),
        ("azure-kinect", "left_thumb", 10),
        ("azure-kinect", "left_ear", 29),
        ("azure-kinect", "right_ear", 31),
        ("zed-body18", "left_hip", 11),
        ("zed-body18", "right_eye", 14),
        ("zed-body34", "left_hand_tip", 9),
        ("zed-body34", "right_heel", 33),
        ("zed-body38", "left_clavicle", 10),
        ("zed-body38", "right_heel", 29),
        ("zed-body38", "right_pinky", 37),
        ("h36m17", "left_hip", 4),
        ("h36m17", "right_wrist", 16),
        ("mediapipe-pose", "right_foot_index", 32),
    ],
)
def test_index_of_landmark_joints(name: str, joint: str, index: int) -> None:
    assert layouts.get(name).index(joint) == index


def test_unknown_layout_names_the_known_ones() -> None:
    with pytest.raises(LayoutError, match=r"'ma25'.*halpe136.*ma52"):
        layouts.get("ma25")


def test_unknown_joint() -> None:
    with pytest.raises(LayoutError, match=r"imigue has no joint 'left_knee'"):
        layouts.get("imigue").index("left_knee")
