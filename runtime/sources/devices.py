"""What live images come from: cameras and network video, opened with OpenCV, and anew after each failure."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Protocol

from mmn_edge.errors import SourceError
from mmn_edge.runtime.sources.images import opencv
from mmn_edge.runtime.sources.source import Origin

__all__ = ["Camera", "Device", "NetworkVideo", "Shot", "Size"]

OPEN_SECONDS = 10.0
"""How long a network camera may take to answer."""

READS = 3
"""How often OpenCV asks FFmpeg again where a read ran out of time, before it gives up."""

MAX_DELAY = 2.0
"""Seconds between a driver's stamp and the image's arrival; more, and it is not the monotonic clock's."""

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One image as it came.

    Attributes:
        bgr: Uint8 ``(H, W, 3)``, as OpenCV decodes it.
        captured: When it was captured, else when it arrived, in seconds of :func:`time.monotonic`.
        origin: Which of the two.
    """

    bgr: Any
    captured: float
    origin: Origin = "arrival"


class Device(Protocol):
    """A camera, or an address, that gives images; used by one thread, but for :meth:`interrupt`.

    Attributes:
        shown: What it is called, without secrets.
    """

    @property
    def shown(self) -> str:
        """What it is called, without secrets."""

    def open(self) -> None:
        """Open it; raises :class:`mmn_edge.errors.SourceError` where that fails."""

    def read(self) -> Shot:
        """Wait for the next image; raises :class:`mmn_edge.errors.SourceError` where there is none."""

    def close(self) -> None:
        """Release it; also after it failed to open, and more than once."""

    def interrupt(self) -> None:
        """Have a read that waits end soon, where that can be done; called from another thread."""


class _Capture:
    """A device that is a ``cv2.VideoCapture``."""

    _cv2: Any = None
    _capture: Any = None

    def close(self) -> None:
        """Release it."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def interrupt(self) -> None:
        """OpenCV has no way to; its own time-outs end a read."""

    def _shot(self) -> tuple[Any, float] | None:
        """The next image and when it arrived."""
        if not self._capture.grab():
            return None
        arrived = time.monotonic()
        decoded, bgr = self._capture.retrieve()
        return (bgr, arrived) if decoded else None


class Camera(_Capture):
    """A camera of this machine: USB or built in, on Linux anything of Video4Linux.

    An image's moment is the driver's stamp where that is of the monotonic clock, as UVC's are; else its arrival.

    Args:
        place: The number of the device, 0 for the first one, or its path.
        size: Width and height to ask for; None takes the camera's own.
        rate: Images a second to ask for; None takes the camera's own.
    """

    def __init__(self, place: int | str, size: Size | None = None, rate: float | None = None) -> None:
        self._place = place
        self._size = size
        self._rate = rate
        self.shown = f"camera:{place}"

    def open(self) -> None:
        """Open it and ask for size and rate.

        Raises:
            MissingDependencyError: OpenCV is not installed.
            SourceError: There is no such camera, or it gives another size.
        """
        cv2 = self._cv2 = opencv()
        path = self._place if isinstance(self._place, str) else f"/dev/video{self._place}"
        backend = (cv2.CAP_V4L2,) if isinstance(self._place, str) else ()
        self._capture = cv2.VideoCapture(self._place, *backend)
        if not self._capture.isOpened():
            raise SourceError(
                f"cannot open {self.shown.replace(':', ' ', 1)}: check that {path} is there, "
                "that this user may read it (group video), and that no other program is using it"
            )
        if self._size is not None or self._rate is not None:
            # Uncompressed, USB 2 has no room for more than 640x480 at 30 a second; refused where there is no MJPEG.
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))
        if self._size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            got = tuple(int(self._capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
            if got != self._size:
                raise SourceError(
                    f"{self.shown} has no images of {self._size[0]}x{self._size[1]}; the nearest are {got[0]}x{got[1]} "
                    "(v4l2-ctl --list-formats-ext names all)"
                )
        if self._rate is not None:
            self._capture.set(cv2.CAP_PROP_FPS, self._rate)

    def read(self) -> Shot:
        """Wait for the next image."""
        shot = self._shot()
        if shot is None:
            raise SourceError(
                f"{self.shown.replace(':', ' ', 1)} stopped delivering images: "
                "check its cable and power, and that no other program has taken it"
            )
        bgr, arrived = shot
        stamp = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
        if arrived - MAX_DELAY < stamp <= arrived:
            return Shot(bgr, stamp, "capture")
        return Shot(bgr, arrived)


class NetworkVideo(_Capture):
    """Live video from an address that FFmpeg reads: RTSP over TCP, MJPEG over HTTP.

    Args:
        url: The address, with user name and password.
        shown: The same without them.
        silence: Seconds without an image after which reading gives up.
    """

    def __init__(self, url: str, shown: str, silence: float) -> None:
        self._url = url
        self._silence = silence
        self.shown = shown

    def open(self) -> None:
        """Open the address.

        Raises:
            MissingDependencyError: OpenCV is not installed.
            SourceError: Nothing answers, or no live video does.
        """
        cv2 = self._cv2 = opencv()
        # UDP loses packets without a word, and half of the image is grey then.
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
        limits = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(OPEN_SECONDS * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, max(int(self._silence * 1000 / READS), 1)),
            # More would each hold back one more image.
            *(cv2.CAP_PROP_N_THREADS, 1),
        ]
        self._capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened():
            raise SourceError(
                f"cannot open {self.shown}: check that the camera is on, its address, and user name and password"
            )
        # An RTSP server paces what it plays; an HTTP server sends a file as fast as it can.
        if self._url.startswith("http") and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            raise SourceError(
                f"{self.shown} is a video with an end and no live stream: download it, and give the file as SOURCE"
            )

    def read(self) -> Shot:
        """Wait for the next image."""
        shot = self._shot()
        if shot is None:
            raise SourceError(f"{self.shown} has ended, or gave no image for {self._silence:g} s")
        return Shot(*shot)
