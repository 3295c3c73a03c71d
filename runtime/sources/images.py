"""Images in time order, from a video file or a camera, both read with OpenCV."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from mmn_edge.errors import SourceError
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CameraImages", "Image", "ImageArray", "ImageSource", "VideoImages"]

MAX_DAMAGED = 25
"""Images of a video in a row that may be damaged; after more the file is at its end."""

ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a stream.

    Attributes:
        time: Seconds; grows from image to image.
        pixels: Uint8 ``(H, W, 3)``, RGB, not mirrored.
        capture_ms: Milliseconds until the pixels were in memory, counted from asking for the image (video) or
            from its arrival (camera: waiting for the next exposure is no latency of that image).
    """

    time: float
    pixels: ImageArray
    capture_ms: float


class ImageSource(Protocol):
    """A stream of images: a context manager that yields :class:`Image` in time order."""

    def __enter__(self) -> Self:
        """Open the device or file; raises :class:`mmn_edge.errors.SourceError` where that fails."""

    def __exit__(self, *error: object) -> None:
        """Release what was opened."""

    def __iter__(self) -> Iterator[Image]:
        """Yield images in time order until the stream ends."""


class _Capture:
    """What a video and a camera share: one ``cv2.VideoCapture``, opened on entry and released on exit."""

    _cv2: Any
    _capture: Any = None

    def __enter__(self) -> Self:
        self._cv2 = _opencv()
        self._capture = self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self._capture.release()

    def _open(self) -> Any:
        """Return an opened ``cv2.VideoCapture``, or raise SourceError."""
        raise NotImplementedError

    def _retrieve(self) -> ImageArray | None:
        """Decode the image grabbed last; None where that fails."""
        decoded, bgr = self._capture.retrieve()
        return self._cv2.cvtColor(bgr, self._cv2.COLOR_BGR2RGB) if decoded else None


class VideoImages(_Capture):
    """The images of a video file, as fast as they can be read.

    An image's time is the container's time stamp where that is sane (later than the image before), else one
    frame period after the image before. A truncated video yields the images that can be read.

    Args:
        path: A video in any format that OpenCV reads.

    Raises:
        MissingDependencyError: On entry, if OpenCV is not installed.
        SourceError: On entry, if the file is missing or no video; on iteration, if it has no readable image.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

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
        return capture

    def __iter__(self) -> Iterator[Image]:
        """Yield the images of the file from the first to the last."""
        last: float | None = None
        damaged = 0
        while True:
            begin = time.perf_counter()
            pixels = self._retrieve() if self._capture.grab() else None
            if pixels is None:  # OpenCV does not say whether an image is damaged or the file at its end
                damaged += 1
                if damaged > MAX_DAMAGED:
                    break
                continue
            damaged = 0
            capture_ms = (time.perf_counter() - begin) * 1000
            last = self._time(last)
            yield Image(last, pixels, capture_ms)
        if last is None:
            raise SourceError(f"the video {self.path} has no readable image: it may be empty or damaged")

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


class CameraImages(_Capture):
    """The live images of a camera; images that arrive while the last one is in use are skipped.

    Time is that of the monotonic clock when the image arrived, from 0 at the first image.

    Args:
        index: The number of the device: 0 is the first camera, ``/dev/video0`` on Linux.

    Raises:
        MissingDependencyError: On entry, if OpenCV is not installed.
        SourceError: On entry, if the camera cannot be opened; on iteration, if it stops delivering.
    """

    def __init__(self, index: int = 0) -> None:
        self.index = index

    def _open(self) -> Any:
        capture = self._cv2.VideoCapture(self.index)
        if not capture.isOpened():
            raise SourceError(
                f"cannot open camera {self.index}: check that /dev/video{self.index} is there, "
                "that this user may read it (group video), and that no other program is using it"
            )
        # A longer queue would hand out the past whenever the pipeline is slower than the camera.
        capture.set(self._cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    def __iter__(self) -> Iterator[Image]:
        """Yield images as they arrive, for as long as the camera delivers."""
        start: float | None = None
        while True:
            grabbed = self._capture.grab()
            arrival = time.monotonic()
            pixels = self._retrieve() if grabbed else None
            if pixels is None:
                raise SourceError(
                    f"camera {self.index} stopped delivering images: "
                    "check its cable and power, and that no other program has taken it"
                )
            start = arrival if start is None else start
            yield Image(arrival - start, pixels, (time.monotonic() - arrival) * 1000)


def _opencv() -> ModuleType:
    """Import OpenCV with its own messages off, unless the user's environment asks for them.

    Whatever OpenCV or FFmpeg would print about a file or device is raised as one SourceError instead.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2 = require("cv2", extra="camera", purpose="Reading a video or camera")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.setLogLevel(0)  # LOG_LEVEL_SILENT
    return cv2
