"""Videos with a stretch of images that cannot be decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmn_edge.errors import SourceError
from mmn_edge.runtime.sources.video import VideoImages

pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")


@pytest.fixture(scope="module")
def videos(situation: Callable[[str], Path]) -> Path:
    return situation("damaged_stretch")


@pytest.mark.parametrize(("name", "dead"), [("dead0", 0), ("dead25", 25), ("dead26", 26), ("dead40", 40)])
def test_reading_goes_on_after_a_damaged_stretch(name: str, dead: int, videos: Path) -> None:
    with VideoImages(videos / f"{name}.avi") as source:
        times = [image.time for image in source]
    assert times == pytest.approx([index / 10 for index in (*range(25), *range(25 + dead, 81))])
    if dead:
        assert source.note is not None
        assert source.note.startswith(f"{81 - dead} of 81 images of ")
    else:
        assert source.note is None


def test_a_damaged_beginning_is_passed(videos: Path) -> None:
    with VideoImages(videos / "first30dead.avi") as source:
        times = [image.time for image in source]
    assert (len(times), times[0]) == (51, pytest.approx(3.0))


def test_a_damaged_end_is_an_early_end(videos: Path, tmp_path: Path) -> None:
    content = bytearray((videos / "dead0.avi").read_bytes())
    start = content.index(b"00dc", content.index(b"movi") + len(content) // 2)
    content[start : content.rindex(b"idx1")] = bytes(content.rindex(b"idx1") - start)
    path = tmp_path / "deadend.avi"
    path.write_bytes(content)
    times = []
    with VideoImages(path) as source, pytest.raises(SourceError, match=r"\d+ of 81 images of .* were read: it ends"):
        times.extend(image.time for image in source)
    assert 30 < len(times) < 50
