"""The one grammar in which sources are named on the command line.

===========================  ==================================================================
``FILE.jsonl``               a skeleton recording
``-``                        the same on standard input
``FILE.avi`` (any video)     a video, through a pose estimator
``camera:0``                 a camera, through a pose estimator
``synthetic``                a synthetic person; ``synthetic:seconds=60,seed=3,fps=30``
===========================  ==================================================================
"""

from __future__ import annotations

from pathlib import Path

from mmn_edge.errors import SourceError, UsageError
from mmn_edge.runtime.pose.mediapipe import MediaPipeHolistic
from mmn_edge.runtime.pose.pose import PoseSource
from mmn_edge.runtime.sources.images import CameraImages, ImageSource, VideoImages
from mmn_edge.runtime.sources.recordings import PacedSource, RecordingSource, SyntheticSource
from mmn_edge.runtime.sources.source import Source

__all__ = ["open_source"]

RECORDING_SUFFIXES = (".jsonl", ".ndjson")
MAX_SYNTHETIC = 1e6
"""Largest number that a synthetic source takes: 11 days of seconds."""

MAX_CAMERA = 2**31 - 1
"""Largest number that OpenCV takes."""


def open_source(name: str, *, speed: float | None = None) -> Source:
    """Make the source that ``name`` stands for, not yet opened.

    Args:
        name: See the module's table.
        speed: Replay at this multiple of real time; None means as fast as it can be read (a camera has its own pace).

    Raises:
        UsageError: A malformed name.
        SourceError: A file that is not there.
    """
    if speed is not None and not speed > 0:
        raise UsageError(f"the speed of a replay must be positive, not {speed}")
    scheme, _, rest = name.partition(":")
    if scheme == "camera":
        if speed is not None:
            raise UsageError("a camera has its own pace: leave the speed out")
        if not rest.isdecimal() or int(rest) > MAX_CAMERA:
            raise UsageError(f"{name!r} names no camera: write camera:0 for the first one")
        return _with_pose(CameraImages(int(rest)))
    source = _replay(name, scheme, rest)
    return PacedSource(source, speed) if speed is not None else source


def _replay(name: str, scheme: str, rest: str) -> Source:
    if name == "-":
        return RecordingSource(None)
    if scheme == "synthetic":
        return _synthetic(name, rest)
    path = Path(name)
    if not path.is_file():
        reason = "is not a file" if path.exists() else "does not exist"
        raise SourceError(
            f"source {name} {reason}: give a recording (.jsonl), a video, camera:0, synthetic, or - for standard input"
        )
    if path.suffix.lower() in RECORDING_SUFFIXES:
        return RecordingSource(path)
    return _with_pose(VideoImages(path))


def _with_pose(images: ImageSource) -> Source:
    return PoseSource(images, MediaPipeHolistic())


def _synthetic(name: str, rest: str) -> SyntheticSource:
    values = {"seconds": 60.0, "seed": 0.0, "fps": 30.0}
    malformed = UsageError(f"{name!r} is malformed: write synthetic:seconds=60,seed=3,fps=30")
    for pair in filter(None, rest.split(",")):
        key, _, text = pair.partition("=")
        try:
            number = float(text)
        except ValueError:
            raise malformed from None
        if key not in values or not 0 <= number <= MAX_SYNTHETIC or (key == "seed" and number % 1):
            raise malformed
        values[key] = number
    return SyntheticSource(seconds=values["seconds"], seed=int(values["seed"]), fps=values["fps"])
