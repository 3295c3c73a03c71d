from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.errors import MissingDependencyError, SourceError
from mmn_edge.runtime.sources.images import Orientation
from mmn_edge.runtime.sources.video import VideoImages

cv2 = pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")

VIDEOS = Path(__file__).resolve().parents[4] / "shared" / "video"
RATE = 20.0
COUNT = 12


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve images at 20 per second, each all red and brighter than the one before."""
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (64, 48))
    assert writer.isOpened()
    for index in range(COUNT):
        writer.write(np.full((48, 64, 3), (0, 0, 20 * (index + 1)), np.uint8))  # BGR
    writer.release()
    return path


def lie(monkeypatch: pytest.MonkeyPatch, properties: dict[int, float]) -> None:
    """Make every capture report these properties instead of its own."""

    real = cv2.VideoCapture

    class Liar:
        def __init__(self, path: str) -> None:
            self._capture = real(path)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._capture, name)

        def get(self, key: int) -> float:
            return properties[key] if key in properties else float(self._capture.get(key))

    monkeypatch.setattr(cv2, "VideoCapture", Liar)


def test_video_yields_rgb_images_in_order(video: Path) -> None:
    with VideoImages(video) as source:
        images = list(source)
    assert len(images) == COUNT
    for index, image in enumerate(images):
        assert image.pixels.shape == (48, 64, 3)
        assert image.pixels.dtype == np.uint8
        # JPEG and its colour space are off by a few steps.
        np.testing.assert_allclose(image.pixels[24, 32], (20 * (index + 1), 0, 0), atol=6)
        assert image.time == pytest.approx(index / RATE, abs=1e-6)
        assert image.capture_ms > 0


@pytest.mark.parametrize("stamp", [0.0, -1.0, math.nan, math.inf])
def test_video_time_without_sane_stamps_is_the_frame_count(
    video: Path, monkeypatch: pytest.MonkeyPatch, stamp: float
) -> None:
    lie(monkeypatch, {cv2.CAP_PROP_POS_MSEC: stamp})
    with VideoImages(video) as source:
        assert [image.time for image in source] == pytest.approx([i / RATE for i in range(COUNT)])


@pytest.mark.parametrize("rate", [0.0, math.nan])
def test_video_without_stamps_and_rate_is_refused(video: Path, monkeypatch: pytest.MonkeyPatch, rate: float) -> None:
    lie(monkeypatch, {cv2.CAP_PROP_POS_MSEC: 0.0, cv2.CAP_PROP_FPS: rate})
    with (
        VideoImages(video) as source,
        pytest.raises(SourceError, match="neither time stamps nor a frame rate"),
    ):
        list(source)


def test_missing_video(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.avi: No such file"), VideoImages(tmp_path / "none.avi"):
        pass


def test_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Is a directory"), VideoImages(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 500], ids=["empty", "text"])
def test_not_a_video(tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"clip\.avi is not a video"), VideoImages(path):
        pass
    assert capfd.readouterr().err == ""


def test_truncated_video_yields_its_readable_images(tmp_path: Path) -> None:
    whole = VIDEOS / "hello.avi"
    if not whole.exists():
        pytest.skip("needs shared/video beside the checkout")
    path = tmp_path / "truncated.avi"
    path.write_bytes(whole.read_bytes()[:200_000])
    with VideoImages(path) as source, VideoImages(whole) as expected:
        images = []
        with pytest.raises(SourceError, match=r"of 81 images of .* were read: it ends early"):
            images.extend(source)
        originals = [original for _, original in zip(images, expected, strict=False)]
    assert 5 <= len(images) < 81
    assert [image.time for image in images] == [original.time for original in originals]
    for image, original in zip(images[:-1], originals[:-1], strict=True):  # The last one is cut in the middle.
        np.testing.assert_array_equal(image.pixels, original.pixels)


def test_a_damaged_image_is_left_out(video: Path) -> None:
    content = bytearray(video.read_bytes())
    starts = [found.end() for found in re.finditer(rb"00dc....", bytes(content), re.DOTALL)]
    first = starts[6]  # the header has the same letters
    length = int.from_bytes(content[first - 4 : first], "little")
    content[first : first + length] = bytes(length)
    video.write_bytes(content)
    with VideoImages(video) as source:
        images = list(source)
    assert len(images) == COUNT - 1
    assert images[-1].time == pytest.approx((COUNT - 1) / RATE, abs=1e-6)
    assert source.note is not None
    assert source.note.startswith(f"{COUNT - 1} of {COUNT} images of {video} were read")


def test_done_is_the_share_of_images_read(video: Path) -> None:
    with VideoImages(video) as source:
        shares = [source.done for _ in source]
    assert shares == pytest.approx([(index + 1) / COUNT for index in range(COUNT)])
    assert source.note is None


@pytest.mark.parametrize(
    ("rotate", "mirror", "expected"),
    [
        (0, False, ["red", "green", "blue", "white"]),
        (90, False, ["blue", "red", "white", "green"]),
        (180, False, ["white", "blue", "green", "red"]),
        (270, False, ["green", "white", "red", "blue"]),
        (0, True, ["green", "red", "white", "blue"]),
        (90, True, ["red", "blue", "green", "white"]),  # rotated first
    ],
)
def test_images_are_turned_as_asked(rotate: int, mirror: bool, expected: list[str], tmp_path: Path) -> None:
    """Clockwise; the corners are named from the upper left one to the lower right one."""
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32], image[24:, 32:] = colours.values()
    path = tmp_path / "corners.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (64, 48))
    writer.write(image[..., ::-1])
    writer.release()
    with VideoImages(path, Orientation(rotate, mirror)) as source:
        pixels = next(iter(source)).pixels
    height, width = pixels.shape[:2]
    assert (height, width) == ((64, 48) if rotate in (90, 270) else (48, 64))
    corners = [pixels[y, x] for y in (6, height - 7) for x in (6, width - 7)]
    for corner, name in zip(corners, expected, strict=True):
        np.testing.assert_allclose(corner.astype(int), colours[name], atol=40, err_msg=name)


def test_a_codec_that_opencv_cannot_decode_is_named(tmp_path: Path) -> None:
    path = tmp_path / "av1.mp4"
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("needs ffmpeg to make an AV1 video")
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1"]
    made = subprocess.run(
        [ffmpeg, "-v", "error", *source, "-c:v", "libaom-av1", "-cpu-used", "8", "-pix_fmt", "yuv420p", path],
        check=False,
    )
    if made.returncode:
        pytest.skip("this ffmpeg has no libaom")
    with VideoImages(path) as video, pytest.raises(SourceError, match=r"is AV1 video, which this OpenCV cannot decode"):
        list(video)


def test_video_without_a_readable_image(video: Path) -> None:
    header = video.read_bytes()
    video.write_bytes(header[: header.index(b"movi") + 4])
    with pytest.raises(SourceError, match="no readable image"), VideoImages(video) as source:
        list(source)


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match=r"needs cv2.*mmn-edge\[camera\]"), VideoImages("clip.avi"):
        pass
