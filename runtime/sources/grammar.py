"""The one grammar in which sources are named on the command line.

===========================  ==================================================================
``FILE.jsonl[.gz]``          a skeleton recording
``-``                        the same on standard input
``FILE.avi`` (any video)     a video, through a pose estimator
``camera:0``                 a camera, through a pose estimator; also ``camera:/dev/video2``
``csi:0``                    a CSI camera of a Jetson
``gst:PIPELINE``             what a GStreamer pipeline gives, up to where it is decoded or raw video
``rtsp://HOST/PATH``         a network camera, over TCP; also ``rtsps://``
``http://HOST/PATH``         MJPEG, or what else FFmpeg reads as it comes; also ``https://``
``tcp://:9000``              skeletons that a sensor sends; also ``udp://``, ``ws://``, ``wss://``, and to dial it
                             ``tcp+connect://HOST:PORT``, ``ws+connect://``, ``wss+connect://``
``synthetic``                a synthetic person; ``synthetic:seconds=60,seed=3,fps=30``
``synthetic-scenes``         people who do several things at once; also ``persons=2,activity=0.5``
===========================  ==================================================================

``NAME=`` before it is what a source is called among several. ``${PASSWORD}`` in a network address is replaced by that
variable of the environment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmn_edge.datasets.synthetic.clips import script
from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.errors import SourceError, UsageError
from mmn_edge.runtime.pose.mediapipe import MediaPipeHolistic
from mmn_edge.runtime.pose.pose import PoseSource
from mmn_edge.runtime.sources.address import Address
from mmn_edge.runtime.sources.ahead import ReadAhead
from mmn_edge.runtime.sources.devices import Camera, Device, NetworkVideo, Size
from mmn_edge.runtime.sources.gstreamer import GStreamer, csi_pipeline, pipeline_words
from mmn_edge.runtime.sources.images import TURNS, UPRIGHT, ImageSource, Orientation
from mmn_edge.runtime.sources.live import SILENCE, LiveImages
from mmn_edge.runtime.sources.recordings import PacedSource, RecordingSource, SyntheticSource
from mmn_edge.runtime.sources.source import Source
from mmn_edge.runtime.sources.video import VideoImages
from mmn_edge.runtime.streams.endpoint import SCHEMES, Endpoint
from mmn_edge.system.contents import contents

__all__ = ["LiveOptions", "open_source"]

log = logging.getLogger(__name__)

FORMS = (
    "a recording (.jsonl), a video, camera:0, csi:0, gst:PIPELINE, rtsp://HOST/PATH, http://HOST/PATH, tcp://:9000, "
    "synthetic, synthetic-scenes, or - for standard input"
)

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


@dataclass(frozen=True)
class LiveOptions:
    """What is asked of a camera, or of network video.

    Attributes:
        size: Width and height in pixels; None takes the camera's own. For ``camera:`` and ``csi:``.
        rate: Images a second; likewise.
        silence: Seconds without an image after which it counts as lost, and is opened again.
        patient: Wait for a camera, or a sender that is dialled, that is not there at the start, rather than fail.
        on_note: Told in a sentence that it was lost, and that it is back; and what a sender of skeletons does wrong.
    """

    size: Size | None = None
    rate: float | None = None
    silence: float = SILENCE
    patient: bool = False
    on_note: Callable[[str], None] = log.warning


AS_IT_COMES = LiveOptions()


def open_source(
    name: str,
    *,
    speed: float | None = None,
    orientation: Orientation = UPRIGHT,
    live: LiveOptions = AS_IT_COMES,
) -> Source:
    """Make the source that ``name`` stands for, not yet opened.

    Args:
        name: See the module's table.
        speed: Replay at this multiple of real time; None means as fast as it can be read (a camera has its own pace).
        orientation: How to turn the images of a video or camera.
        live: What is asked of a camera, or of network video.

    Raises:
        UsageError: A malformed name, an option that does not fit it, or something that is no source, such as a bundle.
        SourceError: A file that is not there.
    """
    if orientation.rotate not in TURNS:
        raise UsageError(f"images are rotated by {', '.join(map(str, TURNS))} degrees, not by {orientation.rotate}")
    if speed is not None and not speed > 0:
        raise UsageError(f"the speed of a replay must be positive, not {speed}")
    address = Address.parse(name)
    if (live.size is not None or live.rate is not None) and address.scheme not in ("camera", "csi"):
        raise UsageError(
            f"size and rate are asked of camera: and csi:, and {address.shown} has its own: leave --size and --fps out"
            + (", or set them in the pipeline" if address.scheme == "gst" else "")
        )
    if address.has_images:
        if speed is not None:
            raise UsageError("a camera has its own pace: leave the speed out")
        make = _device(address, live)
        images = LiveImages(make, orientation, silence=live.silence, patient=live.patient, on_note=live.on_note)
        return _with_pose(images)
    if address.scheme in SCHEMES and address.rest.startswith("//"):
        if speed is not None or orientation != UPRIGHT:
            raise UsageError(
                f"{address.scheme}:// has its own pace and no images: leave --speed, --rotate and --mirror out"
            )
        from mmn_edge.runtime.streams.source import StreamSource  # asyncio takes its time to import

        return StreamSource(Endpoint.parse(address.text), patient=live.patient, on_note=live.on_note)
    source = _replay(address, orientation)
    return PacedSource(source, speed) if speed is not None else source


def _device(address: Address, live: LiveOptions) -> Callable[[], Device]:
    """What makes the device of an address."""
    scheme, rest, shown = address.scheme, address.rest, address.shown
    if scheme in ("camera", "csi"):
        place = _number(address) if scheme == "csi" or not rest.startswith("/") else rest
        if scheme == "camera":
            return lambda: Camera(place, live.size, live.rate)
        words = pipeline_words(csi_pipeline(int(place), live.size, live.rate))
        return lambda: GStreamer(words, shown)
    if scheme == "gst":
        words = pipeline_words(rest)
        return lambda: GStreamer(words, shown)
    host, _, path = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not host:
        raise UsageError(f"{shown!r} names no host: write {scheme}://HOST/PATH")
    if path.partition("?")[0].endswith(".m3u8"):
        raise UsageError(
            f"{shown} is HLS, which comes in bursts, seconds late: ask the camera for rtsp:// or MJPEG, or save it "
            "first, as with ffmpeg -i ADDRESS -c copy talk.mkv"
        )
    url = address.resolved()
    return lambda: NetworkVideo(url, shown, live.silence)


def _number(address: Address) -> int:
    if not (address.rest.isascii() and address.rest.isdecimal()) or int(address.rest) > MAX_CAMERA:
        path = ", or camera:/dev/video2" if address.scheme == "camera" else ""
        raise UsageError(f"{address.text!r} names no camera: write {address.scheme}:0 for the first one{path}")
    return int(address.rest)


def _replay(address: Address, orientation: Orientation) -> Source:
    name, path = address.text, Path(address.text)
    scheme, colon, rest = name.partition(":")
    if colon and rest.startswith("//") and not path.exists():
        raise UsageError(
            f"{scheme}:// is no address that is read: a source is {FORMS}; or save the stream first, as with "
            "ffmpeg -i ADDRESS -c copy talk.mkv"
        )
    is_synthetic, kind = address.scheme.startswith("synthetic"), contents(path)
    if orientation != UPRIGHT and (name == "-" or is_synthetic or kind == "recording"):
        raise UsageError(f"images are rotated and mirrored, and {name} has none: leave --rotate and --mirror out")
    if name == "-":
        return RecordingSource(None)
    if is_synthetic:
        make = _synthetic if address.scheme == "synthetic" else _scenes
        return make(name, address.rest)
    if kind in ELSEWHERE:
        raise UsageError(f"{name} {ELSEWHERE[kind]}")
    if not path.is_file():
        reason = "is not a file" if path.exists() else "does not exist"
        raise SourceError(f"source {address.shown} {reason}: give {FORMS}")
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
