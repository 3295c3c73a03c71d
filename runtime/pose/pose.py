"""Skeletons from images: a pose estimator over an image source is a source of skeletons."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mmn_edge.runtime.sources.images import ImageArray, ImageSource
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.skeleton.frame import Frame, Person

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PoseEstimator", "PoseSource"]


class PoseEstimator(Protocol):
    """Finds persons in images; a context manager, because a model has to be loaded and freed.

    Attributes:
        layout: The skeleton layout of the persons it returns.
    """

    @property
    def layout(self) -> str:
        """The name of the skeleton layout of every person returned."""

    def __enter__(self) -> Self:
        """Load the model."""

    def __exit__(self, *error: object) -> None:
        """Free the model."""

    def estimate(self, image: ImageArray, time: float) -> tuple[Person, ...]:
        """Find the persons in the next image of the stream.

        Args:
            image: Uint8 ``(H, W, 3)``, RGB, not mirrored.
            time: Seconds; later than that of the image before.

        Returns:
            The persons with keypoints in pixels; none if nobody is seen.
        """

    def reset(self) -> None:
        """Forget the images before: the next one does not go on from them."""


class PoseSource:
    """The skeletons that an estimator finds in the images of a source; follows ``Source``.

    Where the images' source was lost and found again nobody knows who is who: persons get ids that were not given
    before.

    Args:
        images: Where the images come from; entered and left together with this source.
        estimator: What finds the persons; entered and left likewise.
    """

    def __init__(self, images: ImageSource, estimator: PoseEstimator) -> None:
        self._images = images
        self._estimator = estimator
        self._opened = ExitStack()

    @property
    def layout(self) -> str:
        """The layout of the estimator."""
        return self._estimator.layout

    @property
    def done(self) -> float | None:
        """What share of the images was read, where that is known."""
        return self._images.done

    @property
    def note(self) -> str | None:
        """What the images' source says of them at the end."""
        return self._images.note

    @property
    def live(self) -> bool:
        """Whether the images are a camera's."""
        return self._images.live

    @property
    def dropped(self) -> int:
        """Images that were left out for newer ones."""
        return self._images.dropped

    @property
    def reconnects(self) -> int:
        """How often the images' source was lost and found again."""
        return self._images.reconnects

    def stop(self) -> None:
        """Have the iteration end soon."""
        self._images.stop()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Images first: a missing file or camera should be told before seconds go into loading a model.
            stack.enter_context(self._images)
            stack.enter_context(self._estimator)
            self._opened = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def __iter__(self) -> Iterator[Observation]:
        """Yield one observation per image, with the stages ``capture`` and ``pose`` in its latency."""
        connection = first_id = next_id = 0
        for image in self._images:
            if image.connection != connection:
                connection, first_id = image.connection, next_id
                self._estimator.reset()
            begin = time.perf_counter()
            persons = self._estimator.estimate(image.pixels, image.time)
            if first_id:
                persons = tuple(replace(person, id=person.id + first_id) for person in persons)
            next_id = max((next_id, *(person.id + 1 for person in persons)))
            pose_ms = (time.perf_counter() - begin) * 1000
            yield Observation(
                frame=Frame(image.time, self._estimator.layout, persons),
                latency_ms={"capture": image.capture_ms, "pose": pose_ms},
                captured=image.captured,
                origin=image.origin,
                sequence=image.sequence,
            )
