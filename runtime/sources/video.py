"""The images of a video file, read with OpenCV."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmn_edge.errors import SourceError
from mmn_edge.runtime.sources.images import UPRIGHT, Image, ImageArray, Orientation, opencv

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["VideoImages"]

MAX_FAILED = 25
"""Images in a row that may fail where the container does not say how many there are; after more it is at its end."""

MAX_COUNT = 10_000_000
"""Images that a container is believed to hold; a damaged header may say anything."""

END_SLACK = 0.5
"""Seconds that may lack at the end of a whole video: its sound may be longer, and frame rates are rounded."""

UNDECODED = {"av01": "AV1"}
"""Codecs that pip's OpenCV opens and never decodes."""


class VideoImages:
    """The images of a video file, as fast as they can be read.

    They are upright: rotated as the file says that they are to be shown, then as ``orientation`` says. An image's time
    is the container's time stamp where that is sane (later than the image before), else one frame period after the
    image before. Images that cannot be read are left out, however many there are in a row, and :attr:`note` says so.

    Args:
        path: A video in any format that OpenCV reads.
        orientation: How to turn the images.

    Raises:
        MissingDependencyError: On entry, if OpenCV is not installed.
        SourceError: On entry, if the file is missing or no video; on iteration, if it has no readable image, and after
            the last image, if it ends before the end that its header states.
    """

    live = False
    dropped = 0
    reconnects = 0

    _cv2: Any
    _capture: Any = None

    def __init__(self, path: str | Path, orientation: Orientation = UPRIGHT) -> None:
        self.path = Path(path)
        self._orientation = orientation
        self._total = 0
        self._read = 0
        self._failed = 0

    def __enter__(self) -> Self:
        self._cv2 = opencv()
        self._capture = self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self._capture.release()

    def stop(self) -> None:
        """Nothing to do: no image takes long."""

    @property
    def done(self) -> float | None:
        """What share of the images was read."""
        return min((self._read + self._failed) / self._total, 1.0) if self._total else None

    @property
    def note(self) -> str | None:
        """How many images are damaged and were left out, known at the end."""
        return f"{self._images_read()}; the others are damaged and were left out" if self._failed else None

    def _images_read(self) -> str:
        return f"{self._read} of {self._read + self._failed} images of {self.path} were read"

    def _open(self) -> Any:
        try:
            self.path.open("rb").close()  # OpenCV does not tell a missing file from an unknown format.
        except OSError as error:
            raise SourceError(
                f"cannot read the video {self.path}: {error.strerror}; check the path and its permissions"
            ) from error
        capture = self._cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise SourceError(
                f"{self.path} is not a video that OpenCV can read: "
                "give an AVI, MP4 or MKV file, and check that it was copied completely"
            )
        # OpenCV's default differs between versions: on up to 4.10, off in 4.11.
        capture.set(self._cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        count = capture.get(self._cv2.CAP_PROP_FRAME_COUNT)
        self._total = int(count) if 0 < count <= MAX_COUNT else 0
        self._read = self._failed = 0
        return capture

    def __iter__(self) -> Iterator[Image]:
        """Yield the images of the file from the first to the last."""
        last: float | None = None
        failed = 0  # since the last image
        while failed <= max(MAX_FAILED, self._total - self._read - self._failed):
            begin = time.perf_counter()
            pixels = self._retrieve() if self._capture.grab() else None
            if pixels is None:  # OpenCV does not say whether an image is damaged or the file at its end
                failed += 1
                continue
            self._failed += failed
            failed = 0
            self._read += 1
            capture_ms = (time.perf_counter() - begin) * 1000
            last = self._time(last)
            yield Image(last, pixels, capture_ms)
        if last is None:
            raise SourceError(self._nothing())
        if self._lacks(last) > max(END_SLACK, 3 * self._period()):
            self._failed = max(self._total - self._read, 0)
            raise SourceError(
                f"{self._images_read()}: it ends early, and what was read is kept; check that it was copied completely"
            )

    def _retrieve(self) -> ImageArray | None:
        """Decode the image grabbed last; None where that fails."""
        decoded, bgr = self._capture.retrieve()
        return self._orientation.turned(bgr, self._cv2) if decoded else None

    def _nothing(self) -> str:
        """Why no image could be read."""
        code = int(self._capture.get(self._cv2.CAP_PROP_FOURCC))
        codec = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip("\0 ")
        if self._total and codec.lower() in UNDECODED:
            return (
                f"{self.path} is {UNDECODED[codec.lower()]} video, which this OpenCV cannot decode: convert it, as "
                f"with ffmpeg -i {self.path.name} -c:v libx264 out.mp4"
            )
        count = f"none of its {self._total} images can be read" if self._total else "it holds no images"
        return f"the video {self.path} has no readable image: {count}, so it may be empty or damaged"

    def _period(self) -> float:
        """Seconds from image to image, 0 where the container does not say."""
        rate = float(self._capture.get(self._cv2.CAP_PROP_FPS))
        return 1 / rate if math.isfinite(rate) and rate > 0 else 0.0

    def _lacks(self, last: float) -> float:
        """Seconds from the end of the last image to the end that the container states.

        Both the count and the time must lack: either is an estimate in some containers.
        """
        period = self._period()
        return min((self._total - self._read - self._failed) * period, (self._total - 1) * period - last)

    def _time(self, last: float | None) -> float:
        # Containers count in microseconds at best; the rest is noise of OpenCV's arithmetic.
        stamp = round(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000, 6)
        if 0 <= stamp < math.inf and (last is None or stamp > last):
            return float(stamp)
        if last is None:
            return 0.0
        rate = self._capture.get(self._cv2.CAP_PROP_FPS)
        if not (math.isfinite(rate) and rate > 0):
            raise SourceError(
                f"the video {self.path} gives neither time stamps nor a frame rate: "
                "convert it to a constant frame rate first"
            )
        return last + 1 / float(rate)
