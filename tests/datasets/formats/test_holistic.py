from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.formats import holistic
from mmn_edge.errors import DataError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.missing import MIN_SCORE


def arrays(clips: int = 2, frames: int = 3, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def part(*shape: int) -> np.ndarray[Any, Any]:
        return rng.uniform(0.1, 0.9, (clips, frames, *shape)).astype(np.float32)

    return {
        "pose": part(33, 4),
        "left_hand": part(21, 3),
        "right_hand": part(21, 3),
        "face": part(2, 3),
        "face_index": np.array([17, 6]),
        "label": np.arange(clips) % 2,
        "sequence": np.arange(clips) + 10,
        "class_names": np.array(["How are you", "I"]),
        **changes,
    }


def test_landmarks_take_the_places_of_the_live_estimator() -> None:
    values = arrays()
    values["left_hand"][1, 0] = 0
    found = holistic.sequence(values, 1, (640, 480))
    joints = layouts.get(holistic.LAYOUT).joints
    size = np.array([640, 480], np.float32)
    assert found.layout == "mediapipe-holistic"
    assert found.keypoints.shape == (3, 543, 2)
    for joint, part, index in (
        ("nose", "pose", 0),
        ("right_foot_index", "pose", 32),
        ("left_thumb_tip", "left_hand", 4),
        ("right_pinky_tip", "right_hand", 20),
        ("face_17", "face", 0),
        ("face_6", "face", 1),
    ):
        place = joints.index(joint)
        assert found.keypoints[1, place].tolist() == (values[part][1, 1, index, :2] * size).tolist()
        visibility = values["pose"][1, 1, index, 3]
        assert visibility >= MIN_SCORE
        assert found.scores[1, place] == (visibility if part == "pose" else 1)
    hand = slice(joints.index("left_hand_root"), joints.index("left_hand_root") + 21)
    assert np.isnan(found.keypoints[0, hand]).all()
    assert (found.scores[0, hand] == 0).all()
    guessed = (values["pose"][1, ..., 3] < MIN_SCORE).sum()
    assert guessed
    assert (found.scores > 0).sum() == 3 * (33 + 42 + 2) - 21 - guessed
    assert (np.isnan(found.keypoints).any(axis=-1) == (found.scores == 0)).all()


def test_clips_are_named_by_file_class_and_number() -> None:
    assert holistic.names(arrays(), "isl") == ("isl/How are you/10", "isl/I/11")
    values = arrays()
    del values["sequence"], values["class_names"]
    assert holistic.names(values, "isl") == ("isl/0/0", "isl/1/1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": np.ones((2, 2), int)}, '"label" must hold a class index'),
        ({"label": np.array([], int)}, '"label" must hold a class index'),
        ({"label": np.array([0.0, 1.0])}, '"label" must hold a class index'),
        ({"label": np.array([0, 2])}, "runs from 0 to 2, which are not all classes"),
        ({"label": np.array([0, -1])}, "runs from -1"),
        ({"pose": np.ones((2, 3, 33, 3), np.float32)}, r'"pose" must be floats of shape \(2, 3, 33, 4\)'),
        ({"left_hand": np.ones((2, 3, 20, 3), np.float32)}, r'"left_hand" must be floats of shape \(2, 3, 21, 3\)'),
        ({"face": np.ones((2, 3, 5, 3), np.float32)}, r'"face" must be floats of shape \(2, 3, 2, 3\)'),
        ({"face_index": np.array([1, 468])}, "within 0..467"),
        ({"face_index": np.array([1, 1])}, "different whole numbers"),
        ({"sequence": np.arange(3)}, '"sequence" must have shape'),
        ({"class_names": np.array(["I", "I"])}, "names a class twice"),
    ],
)
def test_arrays_of_another_form(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        holistic.check(arrays(**changes), Path("a.npz"))


def test_the_form_is_known_by_its_names() -> None:
    assert holistic.is_holistic(arrays())
    assert not holistic.is_holistic({"keypoints": np.ones(1)})
