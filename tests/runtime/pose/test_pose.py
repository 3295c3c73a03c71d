from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Any

import numpy as np
import pytest

from mmn_edge.errors import SourceError
from mmn_edge.runtime.pose.pose import PoseSource
from mmn_edge.runtime.sources.images import Image, ImageArray
from mmn_edge.runtime.sources.source import Source
from mmn_edge.runtime.sources.video import VideoImages
from mmn_edge.skeleton.frame import Person


class Opened:
    """A context manager that counts how often it was entered and left."""

    def __init__(self) -> None:
        self.entered = 0
        self.left = 0

    def __enter__(self) -> Any:
        self.entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.left += 1


class Ramp(Opened):
    """Three images, the next one always brighter."""

    def __iter__(self) -> Iterator[Image]:
        for index in range(3):
            yield Image(index / 10, np.full((4, 6, 3), index, np.uint8), capture_ms=1.5)


class Brightness(Opened):
    """Sees one joint at (brightness, time) in every image but a black one."""

    layout = "dot"

    def estimate(self, image: ImageArray, time: float) -> tuple[Person, ...]:
        sleep(0.002)
        if not image.any():
            return ()
        return (Person(0, np.array([[image.max(), time]], np.float32), np.ones(1, np.float32)),)


class Broken(Brightness):
    def __enter__(self) -> Any:
        raise SourceError("no model")


def test_observations_carry_image_time_layout_persons_and_latency() -> None:
    images, estimator = Ramp(), Brightness()
    source: Source = PoseSource(images, estimator)
    assert source.layout == "dot"
    with source:
        observations = list(source)
    assert [o.frame.time for o in observations] == [0.0, 0.1, 0.2]
    assert {o.frame.layout for o in observations} == {"dot"}
    assert observations[0].frame.persons == ()
    np.testing.assert_array_equal(observations[2].frame.persons[0].keypoints, np.float32([[2, 0.2]]))
    for observation in observations:
        assert observation.latency_ms["capture"] == 1.5
        assert observation.latency_ms["pose"] >= 2
        assert set(observation.latency_ms) == {"capture", "pose"}
    assert (images.entered, images.left, estimator.entered, estimator.left) == (1, 1, 1, 1)


def test_images_are_released_when_the_estimator_cannot_start() -> None:
    images = Ramp()
    with pytest.raises(SourceError, match="no model"), PoseSource(images, Broken()):
        pass
    assert (images.entered, images.left) == (1, 1)


def test_missing_video_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")
    estimator = Brightness()
    source = PoseSource(VideoImages(tmp_path / "none.avi"), estimator)
    with pytest.raises(SourceError, match="No such file"), source:
        pass
    assert estimator.entered == 0


def fail(source: PoseSource) -> None:
    with source:
        next(iter(source))
        raise ZeroDivisionError


def test_everything_is_released_when_the_consumer_fails() -> None:
    images, estimator = Ramp(), Brightness()
    with pytest.raises(ZeroDivisionError):
        fail(PoseSource(images, estimator))
    assert (images.left, estimator.left) == (1, 1)


class Interrupted(Opened):
    """Six images; the stream was lost before the third and the fifth."""

    def __iter__(self) -> Iterator[Image]:
        for index in range(6):
            pixels = np.full((4, 6, 3), index + 1, np.uint8)
            yield Image(index / 10, pixels, capture_ms=0.0, connection=index // 2)


class Counting(Brightness):
    def __init__(self) -> None:
        super().__init__()
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1


def test_persons_are_others_after_the_stream_was_lost() -> None:
    estimator = Counting()
    with PoseSource(Interrupted(), estimator) as source:
        ids = [observation.frame.persons[0].id for observation in source]
    assert ids == [0, 0, 1, 1, 2, 2]
    assert estimator.resets == 2
