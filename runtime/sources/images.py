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
from mmn_edge.runtime.sources.source import Origin
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TURNS", "UPRIGHT", "CameraImages", "Image", "ImageArray", "ImageSource", "Orientation", "VideoImages"]

MAX_FAILED = 25
"""Images in a row that may fail where the container does not say how many there are; after more it is at its end."""

MAX_COUNT = 10_000_000
"""Images that a container is believed to hold; a damaged header may say anything."""

END_SLACK = 0.5
"""Seconds that may lack at the end of a whole video: its sound may be longer, and frame rates are rounded."""

TURNS = (0, 90, 180, 270)

UNDECODED = {"av01": "AV1"}
"""Codecs that pip's OpenCV opens and never decodes."""

ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a stream.

    Attributes:
        time: Seconds; grows from image to image.
        pixels: Uint8 ``(H, W, 3)``, RGB, not mirrored.
        capture_ms: Milliseconds until the pixels were in memory, counted from asking for the image (video) or
            from its arrival (camera: waiting for the next exposure is no latency of that image).
        captured: When it was captured or arrived, in seconds of :func:`time.monotonic`; None where it was read.
        origin: What ``captured`` is.
        sequence: The camera's number of the image; None where there is none.
    """

    time: float
    pixels: ImageArray
    capture_ms: float
    captured: float | None = None
    origin: Origin = "arrival"
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Orientation:
    """How images are turned before anything looks at them; for cameras that are not mounted upright.

    Attributes:
        rotate: Degrees clockwise, one of :data:`TURNS`. What a video file says of its own rotation comes before.
        mirror: Swap left and right, after the rotation: for cameras that deliver a mirrored image.
    """

    rotate: int = 0
    mirror: bool = False


UPRIGHT = Orientation()


class ImageSource(Protocol):
    """A stream of images: a context manager that yields :class:`Image` in time order.

    Attributes:
        done: What share of the stream was read, 0 to 1; None where that is not known.
        note: What is to be said of the stream once it was read, such as that images were left out; None for nothing.
        live: Whether a camera delivers them.
        dropped: Images that came and were never yielded, because newer ones had come.
        reconnects: How often the stream was lost and found again.
    """

    @property
    def live(self) -> bool:
        """Whether a camera delivers them."""

    @property
    def dropped(self) -> int:
        """Images that came and were never yielded."""

    @property
    def reconnects(self) -> int:
        """How often the stream was lost and found again."""

    def stop(self) -> None:
        """Have the iteration end soon, also where it waits for an image; called from another thread."""

    @property
    def done(self) -> float | None:
        """What share of the stream was read."""

    @property
    def note(self) -> str | None:
        """What is to be said of the stream at its end."""

    def __enter__(self) -> Self:
        """Open the device or file; raises :class:`mmn_edge.errors.SourceError` where that fails."""

    def __exit__(self, *error: object) -> None:
        """Release what was opened."""

    def __iter__(self) -> Iterator[Image]:
        """Yield images in time order until the stream ends."""


class _Capture:
    """What a video and a camera share: one ``cv2.VideoCapture``, opened on entry and released on exit."""

    live = False
    dropped = 0
    reconnects = 0

    _cv2: Any
    _capture: Any = None
    _orientation: Orientation

    def stop(self) -> None:
        """Nothing to do: no image takes long."""

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
        if not decoded:
            return None
        cv2 = self._cv2
        turn = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
        if self._orientation.rotate:
            bgr = cv2.rotate(bgr, turn[self._orientation.rotate])
        if self._orientation.mirror:
            bgr = cv2.flip(bgr, 1)
        rgb: ImageArray = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return rgb


class VideoImages(_Capture):
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

    def __init__(self, path: str | Path, orientation: Orientation = UPRIGHT) -> None:
        self.path = Path(path)
        self._orientation = orientation
        self._total = 0
        self._read = 0
        self._failed = 0

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


class CameraImages(_Capture):
    """The live images of a camera; images that arrive while the last one is in use are skipped.

    Time is that of the monotonic clock when the image arrived, from 0 at the first image.

    Args:
        index: The number of the device: 0 is the first camera, ``/dev/video0`` on Linux.
        orientation: How to turn the images.

    Raises:
        MissingDependencyError: On entry, if OpenCV is not installed.
        SourceError: On entry, if the camera cannot be opened; on iteration, if it stops delivering.
    """

    live = True
    done = None
    note = None

    def __init__(self, index: int = 0, orientation: Orientation = UPRIGHT) -> None:
        self.index = index
        self._orientation = orientation

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
            yield Image(arrival - start, pixels, (time.monotonic() - arrival) * 1000, captured=arrival)


def _opencv() -> ModuleType:
    """Import OpenCV with its own messages off, unless the user's environment asks for them.

    Whatever OpenCV or FFmpeg would print about a file or device is raised as one SourceError instead.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2 = require("cv2", extra="camera", purpose="Reading a video or camera")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.setLogLevel(0)  # LOG_LEVEL_SILENT
    return cv2
