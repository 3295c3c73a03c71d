"""Images of a GStreamer pipeline, run by ``gst-launch-1.0`` as a child: CSI cameras, and all that GStreamer reads.

OpenCV's wheels are built without GStreamer. The child sends Matroska, which keeps the time stamps, through a pipe of
its own, and FFmpeg inside OpenCV reads it. What the child says is kept for errors.

Sources: https://gstreamer.freedesktop.org/documentation/tools/gst-launch.html, and for CSI cameras NVIDIA's
Accelerated GStreamer guide (``nvarguscamerasrc``).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from mmn_edge.errors import MissingDependencyError, SourceError, UsageError
from mmn_edge.runtime.sources.address import without_secrets
from mmn_edge.runtime.sources.devices import Shot, Size
from mmn_edge.runtime.sources.images import opencv

__all__ = ["GStreamer", "csi_pipeline", "pipeline_words"]

LAUNCH = "gst-launch-1.0"

TAIL = ("!", "videoconvert", "!", "video/x-raw,format=I420", "!", "matroskamux", "streamable=true", "!", "fdsink")
"""What follows the user's pipeline."""

LIVE = "is live"
"""What gst-launch says of a pipeline with a live source."""

ENDING = 2.0
"""Seconds that the child may take to end before it is killed."""

LINES_KEPT = 50
"""Of what the child says; drivers are talkative, and it may run for months."""

CSI_SIZE: Size = (1280, 720)
CSI_RATE = 30.0


def csi_pipeline(sensor: int, size: Size | None, rate: float | None) -> str:
    """The pipeline of a CSI camera on a Jetson, whose images the ISP scales and converts."""
    width, height = size or CSI_SIZE
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={_fraction(rate or CSI_RATE)} ! "
        "nvvidconv ! video/x-raw,format=I420"
    )


def _fraction(rate: float) -> str:
    """A frame rate as GStreamer writes it."""
    return f"{rate:.0f}/1" if rate == int(rate) else f"{round(rate * 1001)}/1001"


def pipeline_words(text: str) -> list[str]:
    """A pipeline as the words that gst-launch takes.

    Raises:
        UsageError: It is empty, a quote is not closed, or it has a sink of its own.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the pipeline {without_secrets(text)!r} is malformed: {error}") from error
    if not words:
        raise UsageError("gst: names no pipeline: write one, such as gst:'v4l2src device=/dev/video0 ! jpegdec'")
    last = words[len(words) - 1 - words[::-1].index("!") + 1 :] if "!" in words else words
    if not last:
        raise UsageError(f"the pipeline {without_secrets(text)!r} ends in !: leave it out")
    if re.fullmatch(r"\w*sink", last[0]):
        raise UsageError(f"images are taken where the pipeline ends: leave {last[0]} out")
    return words


class GStreamer:
    """A device that is a child process; ends with it, and the child with the device.

    Args:
        words: The pipeline, up to where it gives raw or decoded video, see :func:`pipeline_words`.
        shown: What it is called, without secrets.
    """

    def __init__(self, words: list[str], shown: str) -> None:
        self._words = words
        self.shown = shown
        self._cv2: Any = None
        self._capture: Any = None
        self._child: subprocess.Popen[bytes] | None = None
        self._said: deque[str] = deque(maxlen=LINES_KEPT)
        self._listener: threading.Thread | None = None
        self._live = False
        self._read_end = -1
        self._interrupted = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Start the child, and wait for the first of its video.

        Raises:
            MissingDependencyError: ``gst-launch-1.0`` or OpenCV is not installed.
            SourceError: The pipeline does not run, or is not live.
        """
        self._cv2 = opencv()
        program = shutil.which(LAUNCH)
        if program is None:
            raise MissingDependencyError(
                f"{self.shown} needs {LAUNCH}: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-good"
            )
        self._read_end, write_end = os.pipe()
        try:
            with self._lock:
                if self._interrupted:
                    raise SourceError(f"{self.shown} was interrupted")
                self._child = subprocess.Popen(
                    [program, *self._words, *TAIL, f"fd={write_end}", "sync=false"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(write_end,),
                    env={**os.environ, "LC_ALL": "C"},
                    start_new_session=True,  # Ctrl-C is ours to hear
                )
        finally:
            os.close(write_end)
        self._listener = threading.Thread(target=self._listen, args=(self._child,), name="gst-launch", daemon=True)
        self._listener.start()
        self._capture = self._cv2.VideoCapture(
            f"pipe:{self._read_end}", self._cv2.CAP_FFMPEG, [self._cv2.CAP_PROP_N_THREADS, 1]
        )
        if not self._capture.isOpened():
            raise SourceError(f"the pipeline {self.shown} does not run: {self._reason()}")
        if not self._live:
            raise SourceError(
                f"the pipeline {self.shown} is not live, so most of its images would be lost: read a file by giving it "
                "as SOURCE, and a test source with is-live=true"
            )

    def read(self) -> Shot:
        """Wait for the next image."""
        if not self._capture.grab():
            raise SourceError(f"the pipeline {self.shown} has ended: {self._reason()}")
        arrived = time.monotonic()
        decoded, bgr = self._capture.retrieve()
        if not decoded:
            raise SourceError(f"the pipeline {self.shown} gave something that is no image")
        return Shot(bgr, arrived)

    def interrupt(self) -> None:
        """Kill the child: whoever reads from it is at the end."""
        with self._lock:
            self._interrupted = True
            if self._child is not None:
                self._child.kill()

    def close(self) -> None:
        """End the child, and release what it took."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1
        with self._lock:
            child, self._child = self._child, None
        if child is None:
            return
        child.terminate()  # lets the driver go
        try:
            child.wait(ENDING)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if self._listener is not None:
            self._listener.join(ENDING)
        if child.stdout is not None:
            child.stdout.close()

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        """Keep the last lines that the child says."""
        stream = child.stdout
        if stream is None:
            raise AssertionError("it was asked for")
        with suppress(OSError, ValueError):
            while block := stream.readline(4096):
                line = block.decode(errors="replace").strip()
                self._live = self._live or LIVE in line
                self._said.append(line)

    def _reason(self) -> str:
        """What the child says went wrong, as one line."""
        child = self._child
        if child is not None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(ENDING)
        if self._listener is not None:
            self._listener.join(ENDING)
        code = None if child is None else child.poll()
        for line in tuple(self._said):
            found = re.search(
                r"(?:ERROR: (?:pipeline could not be constructed|from element \S+)|erroneous pipeline): (.*)", line
            )
            if found is not None:
                words = found[1].strip().rstrip(".")
                jetson = " (csi: is for Jetsons)" if "nvarguscamerasrc" in words and "no element" in words else ""
                return without_secrets(words) + jetson
        if code is not None and code < 0:
            return f"{LAUNCH} was killed by signal {-code}"
        return f"{LAUNCH} ended" + (f" with code {code}" if code else " by itself")
