"""The one grammar in which sources are named on the command line.

===========================  ==================================================================
``FILE.jsonl[.gz]``          a skeleton recording
``-``                        the same on standard input
``FILE.avi`` (any video)     a video, through a pose estimator
``camera:0``                 a camera, through a pose estimator
``tcp://:9000``              skeletons that a sensor sends; also ``udp://``, ``ws://``, ``wss://``, and to dial it
                             ``tcp+connect://HOST:PORT``, ``ws+connect://``, ``wss+connect://``
``synthetic``                a synthetic person; ``synthetic:seconds=60,seed=3,fps=30``
``synthetic-scenes``         people who do several things at once; also ``persons=2,activity=0.5``
===========================  ==================================================================
"""

from __future__ import annotations

from pathlib import Path

from mmn_edge.datasets.synthetic.clips import script
from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.errors import SourceError, UsageError
from mmn_edge.runtime.pose.mediapipe import MediaPipeHolistic
from mmn_edge.runtime.pose.pose import PoseSource
from mmn_edge.runtime.sources.ahead import ReadAhead
from mmn_edge.runtime.sources.images import TURNS, UPRIGHT, CameraImages, ImageSource, Orientation, VideoImages
from mmn_edge.runtime.sources.recordings import PacedSource, RecordingSource, SyntheticSource
from mmn_edge.runtime.sources.source import Source
from mmn_edge.runtime.streams.endpoint import SCHEMES, Endpoint
from mmn_edge.system.contents import contents

__all__ = ["open_source"]

FORMS = "a recording (.jsonl), a video, camera:0, tcp://:9000, synthetic, synthetic-scenes, or - for standard input"

ELSEWHERE = {
    "bundle": "is a bundle, what recognises: give it with --model, and as SOURCE what is to be recognised",
    "folder": "is a folder: as SOURCE give one file. The clips of a folder are measured by mmn-edge evaluate, and made "
    "a data set by mmn-edge data import",
    "checkpoint": "is a checkpoint: make a bundle of it with mmn-edge convert, and give that with --model",
    "ONNX model": "is a model: give its bundle with --model, and as SOURCE what is to be recognised",
    "data set": "is a data set: mmn-edge evaluate measures a model on it",
    "JSON file": "is JSON, but no recording, which has a frame with time, layout and persons on each line: results of "
    "AlphaPose or OpenPose are made clips by mmn-edge data import",
}
"""What is no source, and where it belongs."""

MAX_SYNTHETIC = 1e6
"""Largest number that a synthetic source takes: 11 days of seconds."""

WHOLE = ("seed", "persons")
"""What is no fraction among them."""

MAX_CAMERA = 2**31 - 1
"""Largest number that OpenCV takes."""


def open_source(name: str, *, speed: float | None = None, orientation: Orientation = UPRIGHT) -> Source:
    """Make the source that ``name`` stands for, not yet opened.

    Args:
        name: See the module's table.
        speed: Replay at this multiple of real time; None means as fast as it can be read (a camera has its own pace).
        orientation: How to turn the images of a video or camera.

    Raises:
        UsageError: A malformed name, or something that is no source, such as a bundle.
        SourceError: A file that is not there.
    """
    if orientation.rotate not in TURNS:
        raise UsageError(f"images are rotated by {', '.join(map(str, TURNS))} degrees, not by {orientation.rotate}")
    if speed is not None and not speed > 0:
        raise UsageError(f"the speed of a replay must be positive, not {speed}")
    scheme, _, rest = name.partition(":")
    if scheme == "camera":
        if speed is not None:
            raise UsageError("a camera has its own pace: leave the speed out")
        if not rest.isdecimal() or int(rest) > MAX_CAMERA:
            raise UsageError(f"{name!r} names no camera: write camera:0 for the first one")
        return _with_pose(CameraImages(int(rest), orientation))
    if scheme in SCHEMES and rest.startswith("//"):
        if speed is not None or orientation != UPRIGHT:
            raise UsageError(f"{scheme}:// has its own pace and no images: leave --speed, --rotate and --mirror out")
        from mmn_edge.runtime.streams.source import StreamSource  # asyncio takes its time to import

        return StreamSource(Endpoint.parse(name))
    source = _replay(name, scheme, rest, orientation)
    return PacedSource(source, speed) if speed is not None else source


def _replay(name: str, scheme: str, rest: str, orientation: Orientation) -> Source:
    path = Path(name)
    if rest.startswith("//") and not path.exists():
        raise UsageError(
            f"{scheme}:// is a network address, and a source is {FORMS}: save the stream first, as with "
            "ffmpeg -i ADDRESS -c copy talk.mkv"
        )
    is_synthetic, kind = scheme in ("synthetic", "synthetic-scenes"), contents(path)
    if orientation != UPRIGHT and (name == "-" or is_synthetic or kind == "recording"):
        raise UsageError(f"images are rotated and mirrored, and {name} has none: leave --rotate and --mirror out")
    if name == "-":
        return RecordingSource(None)
    if is_synthetic:
        return _synthetic(name, rest) if scheme == "synthetic" else _scenes(name, rest)
    if kind in ELSEWHERE:
        raise UsageError(f"{name} {ELSEWHERE[kind]}")
    if not path.is_file():
        reason = "is not a file" if path.exists() else "does not exist"
        raise SourceError(f"source {name} {reason}: give {FORMS}")
    if kind == "recording":
        return RecordingSource(path)
    return _with_pose(ReadAhead(VideoImages(path, orientation)))


def _with_pose(images: ImageSource) -> Source:
    return PoseSource(images, MediaPipeHolistic())


def _synthetic(name: str, rest: str) -> SyntheticSource:
    values = _numbers(name, rest, {"seconds": 60.0, "seed": 0.0, "fps": 30.0}, "synthetic:seconds=60,seed=3,fps=30")
    return SyntheticSource(script(values["seconds"], int(values["seed"]), values["fps"]))


def _scenes(name: str, rest: str) -> SyntheticSource:
    defaults = {"seconds": 60.0, "seed": 0.0, "fps": 30.0, "persons": 1.0, "activity": 1.0, "fidgets": 0.12}
    values = _numbers(name, rest, defaults, "synthetic-scenes:seconds=60,seed=3,persons=2")
    return SyntheticSource(
        scene(
            values["seconds"],
            int(values["seed"]),
            fps=values["fps"],
            persons=int(values["persons"]),
            activity=values["activity"],
            fidgets=values["fidgets"],
        )
    )


def _numbers(name: str, rest: str, defaults: dict[str, float], example: str) -> dict[str, float]:
    """``key=value,...`` as numbers; what is left out is as in ``defaults``."""
    values = dict(defaults)
    malformed = UsageError(f"{name!r} is malformed: write {example}")
    for pair in filter(None, rest.split(",")):
        key, _, text = pair.partition("=")
        try:
            number = float(text)
        except ValueError:
            raise malformed from None
        if key not in values or not 0 <= number <= MAX_SYNTHETIC or (key in WHOLE and number % 1):
            raise malformed
        values[key] = number
    return values
