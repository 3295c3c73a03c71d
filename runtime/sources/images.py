"""Images in time order: what every source of them yields, and how they are turned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from mmn_edge.runtime.sources.source import Origin
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TURNS", "UPRIGHT", "Image", "ImageArray", "ImageSource", "Orientation", "opencv"]

TURNS = (0, 90, 180, 270)

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
        connection: How often the stream had been lost before it: where this grows, nothing goes on from before.
    """

    time: float
    pixels: ImageArray
    capture_ms: float
    captured: float | None = None
    origin: Origin = "arrival"
    sequence: int | None = None
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Orientation:
    """How images are turned before anything looks at them; for cameras that are not mounted upright.

    Attributes:
        rotate: Degrees clockwise, one of :data:`TURNS`. What a video file says of its own rotation comes before.
        mirror: Swap left and right, after the rotation: for cameras that deliver a mirrored image.
    """

    rotate: int = 0
    mirror: bool = False

    def turned(self, bgr: Any, cv2: Any) -> ImageArray:
        """An image of OpenCV, ``(H, W, 3)`` BGR, as it is to be looked at: turned, and RGB."""
        turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
        if self.rotate:
            bgr = cv2.rotate(bgr, turns[self.rotate])
        if self.mirror:
            bgr = cv2.flip(bgr, 1)
        rgb: ImageArray = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return rgb


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


def opencv() -> ModuleType:
    """Import OpenCV with its own messages off, unless the user's environment asks for them.

    Whatever OpenCV or FFmpeg would print about a file or device is raised as one SourceError instead.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2 = require("cv2", extra="camera", purpose="Reading a video or camera")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.setLogLevel(0)  # LOG_LEVEL_SILENT
    return cv2
