from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.errors import MissingDependencyError, UsageError
from mmn_edge.runtime.pose.mediapipe import LAYOUT, MediaPipeHolistic
from mmn_edge.runtime.sources.images import ImageArray
from mmn_edge.runtime.sources.video import VideoImages
from mmn_edge.skeleton.frame import Person

HELLO = Path(__file__).resolve().parents[4] / "shared" / "video" / "hello.avi"

needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="needs MediaPipe (the camera extra)"
)
needs_video = pytest.mark.skipif(not HELLO.exists(), reason="needs shared/video beside the checkout")

POSE, LEFT_HAND, RIGHT_HAND, FACE = slice(0, 33), slice(33, 54), slice(54, 75), slice(75, 543)
LEFT_EYE, RIGHT_EYE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_WRIST, RIGHT_WRIST = 2, 5, 11, 12, 15, 16

# In hello.avi a man faces the camera (the print on his shirt reads the right way round) and raises
# his right hand to his brow, in view from frame 31 to frame 48.
DOWN, RAISED = 5, 40


@pytest.fixture(scope="module")
def images() -> list[ImageArray]:
    with VideoImages(HELLO) as source:
        return [image.pixels for image in islice(source, 42)]


def estimate(images: list[ImageArray]) -> list[Person]:
    """The one person of every image."""
    with MediaPipeHolistic() as estimator:
        found = [estimator.estimate(image, index / 10) for index, image in enumerate(images)]
    assert [len(persons) for persons in found] == [1] * len(images)
    return [persons[0] for persons in found]


@pytest.fixture(scope="module")
def persons(images: list[ImageArray]) -> list[Person]:
    return estimate(images)


def seen(person: Person, part: slice) -> bool:
    """Whether the part is there; fails where it is there by half."""
    missing = np.isnan(person.keypoints[part])
    assert missing.all() or not missing.any()
    assert ((person.scores[part] == 0) == missing.all()).all()
    return not missing.any()


def distance(person: Person, one: int, other: int) -> float:
    return float(np.linalg.norm(person.keypoints[one] - person.keypoints[other]))


@needs_mediapipe
@needs_video
def test_persons_have_543_joints_in_pixels(persons: list[Person]) -> None:
    for person in persons:
        assert person.id == 0
        assert person.keypoints.shape == (543, 2)
        assert person.scores.shape == (543,)
        assert person.keypoints.dtype == person.scores.dtype == np.float32
        assert seen(person, POSE)
        assert seen(person, FACE)
        assert not seen(person, LEFT_HAND)
        assert ((person.scores >= 0) & (person.scores <= 1)).all()
        assert (person.scores[FACE] == 1).all()
        assert (np.abs(person.keypoints[FACE].mean(axis=0) - (290, 195)) < 40).all()  # 640 x 480 pixels
    assert not seen(persons[DOWN], RIGHT_HAND)
    assert seen(persons[RAISED], RIGHT_HAND)


@needs_mediapipe
@needs_video
def test_left_and_right_are_the_persons_own(persons: list[Person]) -> None:
    x = persons[DOWN].keypoints[:, 0]
    assert x[RIGHT_SHOULDER] + 150 < x[LEFT_SHOULDER]
    assert x[RIGHT_EYE] + 20 < x[LEFT_EYE]
    # The first joint of a hand is its wrist.
    raised = persons[RAISED]
    assert distance(raised, RIGHT_HAND.start, RIGHT_WRIST) < 40
    assert distance(raised, RIGHT_HAND.start, LEFT_WRIST) > 150


@needs_mediapipe
@needs_video
def test_a_mirrored_image_swaps_the_hands(images: list[ImageArray]) -> None:
    raised = estimate([image[:, ::-1] for image in images[RAISED - 6 :]])[-1]
    assert seen(raised, LEFT_HAND)
    assert not seen(raised, RIGHT_HAND)
    assert distance(raised, LEFT_HAND.start, LEFT_WRIST) < 40


@needs_mediapipe
@needs_video
def test_the_same_images_give_the_same_bits(images: list[ImageArray], persons: list[Person]) -> None:
    for person, again in zip(persons, estimate(images), strict=True):
        assert person.keypoints.tobytes() == again.keypoints.tobytes()
        assert person.scores.tobytes() == again.scores.tobytes()


@needs_mediapipe
@needs_video
def test_keypoints_survive_two_decimals(persons: list[Person]) -> None:
    for person in persons:
        text = [f"{value:.2f}" for value in person.keypoints.ravel().tolist()]
        replayed = np.array([float(value) for value in text], np.float32).reshape(person.keypoints.shape)
        np.testing.assert_array_equal(replayed, person.keypoints)


@needs_mediapipe
def test_nobody_in_the_image() -> None:
    with MediaPipeHolistic() as estimator:
        assert estimator.layout == LAYOUT
        assert estimator.estimate(np.full((120, 160, 3), 90, np.uint8), 0.0) == ()


@needs_mediapipe
@needs_video
def test_a_fresh_process_prints_nothing() -> None:
    script = f"""
from itertools import islice
import os
from mmn_edge.runtime.sources.video import VideoImages
from mmn_edge.runtime.pose.mediapipe import MediaPipeHolistic
from mmn_edge.runtime.pose.pose import PoseSource
with PoseSource(VideoImages({str(HELLO)!r}), MediaPipeHolistic()) as source:
    assert all(observation.frame.persons for observation in islice(source, 3))
os.write(2, b"open again")
"""
    deprecated = "ignore:Type google._upb._message:DeprecationWarning"  # by Python 3.12, see pyproject.toml
    command = [sys.executable, "-W", "error", "-W", deprecated, "-c", script]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"open again")


@pytest.mark.parametrize("complexity", [0, 2])
def test_a_model_that_would_be_downloaded_is_refused(complexity: int) -> None:
    with pytest.raises(UsageError, match=f"complexity {complexity} is not inside the mediapipe package"):
        MediaPipeHolistic(model_complexity=complexity)


def test_without_mediapipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with (
        pytest.raises(MissingDependencyError, match=r"needs mediapipe.*mmn-edge\[camera\]"),
        MediaPipeHolistic(),
    ):
        pass
