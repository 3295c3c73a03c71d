from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.errors import LayoutError
from mmn_edge.skeleton import layouts, mappings
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.mappings import MappedJoint, Mapping
from mmn_edge.skeleton.missing import ENOUGH_SEEN, MIN_SCORE, share_seen

LABELS = Path(__file__).resolve().parents[3] / "shared" / "labels"
WHOLE_BODY = ("coco-wholebody133", "halpe136", "mediapipe-holistic", "openpose")
SOURCES = (
    "azure-kinect",
    "coco-wholebody133",
    "coco17",
    "h36m17",
    "halpe136",
    "kinect-v2",
    "mediapipe-holistic",
    "mediapipe-pose",
    "openpose",
    "zed-body18",
    "zed-body34",
    "zed-body38",
)
TARGETS = ("imigue", "jhmdb", "ma52")
# Where the parts of a compound layout begin, in the notation of the published joint lists.
OFFSETS = {
    "openpose": {"body25": 0, "face70": 25, "hand_left": 95, "hand_right": 116},
    "mediapipe-holistic": {"pose": 0, "left_hand": 33, "right_hand": 54, "face_mesh": 75},
}


def person(layout: str) -> tuple[FloatArray, FloatArray]:
    """Joint j at (j, 1000 + j) with a score of its own."""
    count = layouts.get(layout).num_joints
    index = np.arange(count, dtype=np.float32)
    return np.stack([index, 1000 + index], axis=-1), (0.2 + index / 1000).astype(np.float32)


def hide(scores: FloatArray, layout: str, *joints: str) -> None:
    scores[[layouts.get(layout).index(joint) for joint in joints]] = 0


def test_names() -> None:
    assert mappings.names() == tuple((source, target) for source in SOURCES for target in TARGETS)


@pytest.mark.parametrize(("source", "target"), mappings.names())
def test_every_joint_that_is_not_missing_can_be_made_when_all_are_seen(source: str, target: str) -> None:
    mapping = mappings.get(source, target)
    assert tuple(joint.name for joint in mapping.joints) == layouts.get(target).joints
    missing = np.array([joint.status == "missing" for joint in mapping.joints])
    assert missing.any() == (source not in WHOLE_BODY and target != "jhmdb")
    assert mapping.reach == pytest.approx(1 - missing.mean())
    for joint in mapping.joints:
        assert bool(joint.alternatives) == (joint.status != "missing")
        assert all(sum(combination.values()) == pytest.approx(1) for combination in joint.alternatives)
        if joint.status == "exact":
            assert list(joint.alternatives[0].values()) == [1]
    keypoints, scores = mapping.apply(*person(source))
    assert keypoints.dtype == scores.dtype == np.float32
    assert (np.isfinite(keypoints).all(axis=-1) == ~missing).all()
    assert ((scores > 0) == ~missing).all()


def test_coco17_shows_half_of_ma52_and_enough_of_it() -> None:
    assert mappings.get("coco17", "ma52").reach == 22 / 44
    assert mappings.get("coco17", "imigue").reach == 12 / 22
    keypoints, scores = person("coco17")
    hide(scores, "coco17", *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")))
    hide(scores, "coco17", "left_elbow", "left_wrist")  # a person at a desk, one arm out of the image
    assert share_seen(mappings.get("coco17", "ma52").apply(keypoints, scores)[0]) > ENOUGH_SEEN


@pytest.mark.parametrize(("source", "target"), mappings.names())
def test_canonical_poses_agree(source: str, target: str) -> None:
    """The drawn poses of both layouts show one person, so that a left-right or index slip is seen."""
    keypoints = np.array(layouts.get(source).pose, dtype=np.float32)
    mapped, _ = mappings.get(source, target).apply(keypoints, np.ones(len(keypoints)))
    # Within a few hundredths of the picture: the poses are drawn, not measured; the head top is extrapolated.
    apart = np.abs(np.nan_to_num(mapped - np.array(layouts.get(target).pose))).max(axis=-1)
    assert {layouts.get(target).joints[joint] for joint in np.flatnonzero(apart > 0.045)} <= {"head"}


@pytest.mark.parametrize("target", [("ma52", "ma52_joints44.json"), ("imigue", "imigue_joints22.json")])
@pytest.mark.parametrize("source", WHOLE_BODY)
def test_first_choice_is_the_published_correspondence(source: str, target: tuple[str, str]) -> None:
    path = LABELS / target[1]
    if not path.exists():
        pytest.skip(f"the published joint list {path} is not here")
    facts: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["joints"]
    keypoints, _ = mappings.get(source, target[0]).apply(*person(source))
    compared = 0
    for joint, fact in enumerate(facts):
        value = str(fact[re.sub(r"-?wholebody", "_wholebody", source).replace("-", "_")])
        if value.startswith("none"):
            continue
        first = re.split(r" \(", value)[0]
        terms = re.findall(r"(?:(\w+)\[)?(\d+)\]?", first)
        picks = [int(index) + (OFFSETS[source][part] if part else 0) for part, index in terms]
        assert keypoints[joint, 0] == pytest.approx(np.mean(picks)), fact["name"]
        compared += 1
    assert compared >= len(facts) - 1


def test_halpe_to_ma52_is_a_pick_by_index() -> None:
    picks = [*range(26), 54, 59, 62, 71, 77, 83]
    picks += [94, 98, 102, 106, 110, 114, 115, 119, 123, 127, 131, 135]
    keypoints, scores = person("halpe136")
    mapping = mappings.get("halpe136", "ma52")
    mapped, mapped_scores = mapping.apply(keypoints, scores)
    np.testing.assert_array_equal(mapped, keypoints[picks])
    np.testing.assert_array_equal(mapped_scores, scores[picks])
    assert {joint.status for joint in mapping.joints} == {"exact"}


def test_mean_takes_the_lower_score() -> None:
    keypoints, scores = person("coco-wholebody133")
    mapping = mappings.get("coco-wholebody133", "ma52")
    mapped, mapped_scores = mapping.apply(keypoints, scores)
    neck = layouts.get("ma52").index("neck")
    np.testing.assert_array_equal(mapped[neck], (keypoints[5] + keypoints[6]) / 2)
    assert mapped_scores[neck] == scores[5] < scores[6]
    assert mapping.joints[neck].status == "derived"
    assert mapping.joints[neck].expression == "mean(left_shoulder[5], right_shoulder[6])"


def test_head_is_extrapolated_from_the_ears_else_from_the_nose() -> None:
    mapping, head = mappings.get("openpose", "ma52"), layouts.get("ma52").index("head")
    keypoints, scores = person("openpose")
    assert mapping.apply(keypoints, scores)[0][head, 0] == 17 + 18 - 1
    hide(scores, "openpose", "left_ear")
    assert mapping.apply(keypoints, scores)[0][head, 0] == 2 * 0 - 1
    assert mapping.joints[head].expression == ("left_ear[18] + right_ear[17] - neck[1], else 2*nose[0] - neck[1]")


def test_unseen_hand_falls_back_to_the_pose_landmarks() -> None:
    layout, ma52 = "mediapipe-holistic", layouts.get("ma52")
    keypoints, scores = person(layout)
    scores[33:54] = 0
    keypoints[33:54] = np.nan
    mapped, mapped_scores = mappings.get(layout, "ma52").apply(keypoints, scores)
    fallback = {"hand_root": 15, "thumb_tip": 21, "index_tip": 19, "pinky_tip": 17}
    for name, pose in fallback.items():
        joint = ma52.index(f"left_{name}")
        np.testing.assert_array_equal(mapped[joint], keypoints[pose])
        assert mapped_scores[joint] == scores[pose]
    for name in ("left_middle_tip", "left_ring_tip"):
        assert np.isnan(mapped[ma52.index(name)]).all()
        assert mapped_scores[ma52.index(name)] == 0
    assert mapped[ma52.index("right_thumb_tip"), 0] == 54 + 4


def test_unseen_face_mesh_falls_back_to_the_pose_landmarks() -> None:
    ma52 = layouts.get("ma52")
    keypoints, scores = person("mediapipe-holistic")
    scores[75:] = 0
    mapped, _ = mappings.get("mediapipe-holistic", "ma52").apply(keypoints, scores)
    assert mapped[ma52.index("nose_bridge"), 0] == (1 + 4) / 2
    assert mapped[ma52.index("nose_base"), 0] == 0
    assert mapped[ma52.index("right_eye_outer_corner"), 0] == 6
    assert mapped[ma52.index("left_eye_outer_corner"), 0] == 3
    assert mapped[ma52.index("upper_lip_top_mid"), 0] == (9 + 10) / 2


def test_small_toe_copies_the_big_toe() -> None:
    mapping = mappings.get("mediapipe-holistic", "ma52")
    toe = layouts.get("ma52").index("left_small_toe")
    assert mapping.joints[toe].status == "derived"
    assert mapping.apply(*person("mediapipe-holistic"))[0][toe, 0] == 31


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_joint_without_finite_coordinates_is_not_seen(bad: float) -> None:
    keypoints, scores = person("halpe136")
    keypoints[9, 1] = bad
    mapped, mapped_scores = mappings.get("halpe136", "ma52").apply(keypoints, scores)
    assert np.isnan(mapped[9]).all()
    assert mapped_scores[9] == 0
    assert np.isfinite(np.delete(mapped, 9, axis=0)).all()


def test_joint_that_nothing_can_make_is_missing() -> None:
    joints = (MappedJoint("nose", "exact", "nose[0]", ({0: 1.0},)), MappedJoint("tail", "missing", "", ()))
    mapped, scores = Mapping("imigue", "imigue", joints).apply(*person("imigue"))
    np.testing.assert_array_equal(mapped[0], [0, 1000])
    assert np.isnan(mapped[1]).all()
    assert scores[1] == 0


def test_same_layout_is_the_identity() -> None:
    keypoints, scores = person("ma52")
    scores[3] = 0
    mapped, mapped_scores = mappings.get("ma52", "ma52").apply(keypoints, scores)
    np.testing.assert_array_equal(np.delete(mapped, 3, axis=0), np.delete(keypoints, 3, axis=0))
    np.testing.assert_array_equal(mapped_scores, scores)
    assert np.isnan(mapped[3]).all()


@pytest.mark.parametrize("lead", [(), (5,), (2, 5), (0,)])
@pytest.mark.parametrize("channels", [2, 3])
def test_many_frames_equal_frame_by_frame(lead: tuple[int, ...], channels: int) -> None:
    rng = np.random.default_rng(1)
    keypoints = rng.normal(size=(*lead, 543, channels)).astype(np.float32)
    scores = np.where(rng.random((*lead, 543)) < 0.4, 0, rng.random((*lead, 543))).astype(np.float32)
    mapping = mappings.get("mediapipe-holistic", "ma52")
    mapped, mapped_scores = mapping.apply(keypoints, scores)
    assert mapped.shape == (*lead, 44, channels)
    for at in np.ndindex(*lead):
        one, one_scores = mapping.apply(keypoints[at], scores[at])
        np.testing.assert_array_equal(mapped[at], one)
        np.testing.assert_array_equal(mapped_scores[at], one_scores)


@pytest.mark.parametrize(
    ("keypoints", "scores"), [((25, 2), (25,)), ((137, 2), (25,)), ((2, 137, 2), (137,)), ((137,), ())]
)
def test_wrong_number_of_joints(keypoints: tuple[int, ...], scores: tuple[int, ...]) -> None:
    with pytest.raises(LayoutError, match="layout openpose has 137 joints, but keypoints of shape"):
        mappings.get("openpose", "ma52").apply(np.zeros(keypoints), np.zeros(scores))


def test_no_mapping_says_what_would_fit() -> None:
    with pytest.raises(LayoutError, match=r"stream has layout nw-ucla \(20 joints\).*model needs ma52 .*halpe136"):
        mappings.get("nw-ucla", "ma52")


def test_unknown_layout() -> None:
    with pytest.raises(LayoutError, match="unknown skeleton layout 'halpe'"):
        mappings.get("halpe", "ma52")


def test_a_joint_that_was_only_guessed_does_not_count_as_seen() -> None:
    keypoints, scores = person("mediapipe-holistic")
    knee = layouts.get("mediapipe-holistic").index("left_knee")
    target = layouts.get("ma52").index("left_knee")
    mapping = mappings.get("mediapipe-holistic", "ma52")
    for score, seen in ((0.0, False), (0.01, False), (MIN_SCORE, True), (0.9, True)):
        scores[knee] = score
        mapped, mapped_scores = mapping.apply(keypoints, scores)
        assert np.isfinite(mapped[target]).all() == seen
        assert (mapped_scores[target] > 0) == seen


def test_a_score_of_a_fifth_is_what_being_seen_takes() -> None:
    keypoints, scores = person("mediapipe-holistic")
    knee = layouts.get("mediapipe-holistic").index("left_knee")
    mapping = mappings.get("mediapipe-holistic", "ma52")
    for score, seen in ((0.06, False), (0.19, False), (0.2, True), (0.21, True)):
        scores[knee] = score
        mapped, _ = mapping.apply(keypoints, scores)
        assert np.isfinite(mapped[layouts.get("ma52").index("left_knee")]).all() == seen


def in_space(layout: str, raised: str) -> FloatArray:
    """The drawn person in the layout's own axes, 2 m before the camera, one wrist an arm's length above the head."""
    facts = layouts.get(layout)
    x, y = np.array(facts.pose, dtype=np.float32).T
    for name in (f"{raised}_wrist", f"{raised}_hand", f"{raised}_hand_tip"):
        if name in facts.joints:
            y[facts.index(name)] = -0.3
    places = {"right": x - 0.5, "left": 0.5 - x, "down": y - 0.5, "up": 0.5 - y, "away": x * 0 + 2, "toward": x * 0 - 2}
    return np.stack([places[direction] for direction in facts.axes], axis=-1).astype(np.float32)


@pytest.mark.parametrize("raised", ["left", "right"])
@pytest.mark.parametrize(("source", "target"), mappings.names())
def test_raised_hand_is_above_the_head_on_the_persons_own_side(source: str, target: str, raised: str) -> None:
    joints = layouts.get(target)
    keypoints = in_space(source, raised)
    mapped, scores = mappings.get(source, target).apply(keypoints, np.ones(len(keypoints)))
    assert mapped.shape == (joints.num_joints, 2)
    top = joints.index("face" if target == "jhmdb" else "nose")
    wrist, other = joints.index(f"{raised}_wrist"), joints.index(f"{'right' if raised == 'left' else 'left'}_wrist")
    assert mapped[wrist, 1] < mapped[top, 1] < mapped[other, 1]
    # The person faces the camera: their left is on the image's right.
    assert mapped[joints.index("left_shoulder"), 0] > mapped[joints.index("right_shoulder"), 0]
    assert scores[wrist] == 1


@pytest.mark.parametrize("source", ["kinect-v2", "zed-body38", "azure-kinect"])
def test_places_in_the_image_are_not_turned(source: str) -> None:
    keypoints, scores = person(source)
    mapped, _ = mappings.get(source, "ma52").apply(keypoints, scores)
    ma52 = layouts.get("ma52")
    np.testing.assert_array_equal(mapped[ma52.index("left_wrist")], keypoints[layouts.get(source).index("left_wrist")])
