"""Videos whose pixels lie on their side, and whose container says how to turn them back, as phones write them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.runtime.sources.images import ImageArray
from mmn_edge.runtime.sources.video import VideoImages

SHOWN = 8

pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")


def images(path: Path) -> list[ImageArray]:
    with VideoImages(path) as source:
        return [image.pixels for image in islice(source, SHOWN)]


def test_a_turned_video_is_read_upright(situation: Callable[[str], Path]) -> None:
    folder = situation("phone_rotation")
    upright = images(folder / "upright.mp4")
    assert len(upright) == SHOWN
    assert upright[0].shape == (480, 640, 3)
    for name in ("left", "right", "over"):
        turned = images(folder / f"turned_{name}.mp4")
        assert len(turned) == len(upright)
        for one, other in zip(turned, upright, strict=True):
            assert one.shape == other.shape, name
            # Recompression makes about 1; the same picture turned makes over 50.
            assert np.abs(one.astype(int) - other).mean() < 3, name
