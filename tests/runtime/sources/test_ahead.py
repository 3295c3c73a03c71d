from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from mmn_edge.errors import SourceError
from mmn_edge.runtime.sources.ahead import ReadAhead
from mmn_edge.runtime.sources.images import Image


class Numbers:
    """Images whose pixels are their number; the stream breaks off after ``count`` where ``breaks`` says so."""

    note = "one image was left out"
    live = False
    dropped = 0
    reconnects = 0

    def __init__(self, count: int, *, breaks: bool = False) -> None:
        self.count, self.breaks = count, breaks
        self.read = 0
        self.open = False

    @property
    def done(self) -> float:
        return self.read / self.count

    def __enter__(self) -> Numbers:
        self.open = True
        return self

    def __exit__(self, *error: object) -> None:
        self.open = False

    def stop(self) -> None:
        self.count = self.read

    def __iter__(self) -> Iterator[Image]:
        for number in range(self.count):
            assert self.open
            self.read += 1
            yield Image(number / 10, np.full((2, 2, 3), number, np.uint8), 0.0)
        if self.breaks:
            raise SourceError("it ends early")


def test_every_image_comes_in_order_with_what_is_done_of_it() -> None:
    with ReadAhead(Numbers(40), depth=3) as images:
        got = [(int(image.pixels[0, 0, 0]), images.done) for image in images]
        assert images.note == "one image was left out"
    assert got == [(number, (number + 1) / 40) for number in range(40)]


def test_an_error_comes_after_the_images_before_it() -> None:
    got = []
    with ReadAhead(Numbers(5, breaks=True)) as images, pytest.raises(SourceError, match="ends early"):
        got.extend(images)
    assert len(got) == 5


def test_it_reads_ahead_so_far_and_stops_when_it_is_left() -> None:
    inner = Numbers(10_000)
    before = threading.active_count()
    with ReadAhead(inner, depth=3) as images:
        next(iter(images))
    assert inner.read <= 1 + 3 + 1
    assert not inner.open
    assert threading.active_count() == before
