"""How long recordings and videos are."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import median

from mmn_edge.errors import DataError, SourceError
from mmn_edge.events.interval import Recording
from mmn_edge.skeleton.recording import read_frames
from mmn_edge.system.contents import GZIP, contents
from mmn_edge.system.extras import require

__all__ = ["measure", "recording_name"]


def measure(paths: Iterable[Path]) -> list[Recording]:
    """What ``recordings.csv`` says of recordings and videos, all of them taken as watched; folders are searched.

    Raises:
        DataError: None is there, two have one name, or one is broken.
        SourceError: A video cannot be opened.
        MissingDependencyError: There are videos, and OpenCV is not installed.
    """
    found: dict[str, Recording] = {}
    for path in paths:
        inside = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
        kinds = [(entry, contents(entry)) for entry in inside]
        for entry, kind in kinds:
            if kind not in ("recording", "video"):
                if path.is_dir():
                    continue
                raise DataError(f"{entry} is no recording (.jsonl) and no video")
            one = _recording(entry) if kind == "recording" else _video(entry)
            if one.name in found:
                raise DataError(f"{entry}: another recording is called {one.name!r}: rename one of them")
            found[one.name] = one
    if not found:
        raise DataError("no recordings (.jsonl) and no videos were found")
    return list(found.values())


def recording_name(path: Path) -> str:
    """What annotations call a file: its name without folder and suffix."""
    name = path.name.removesuffix(".gz") if path.suffixes[-2:-1] == [".jsonl"] else path.name
    return Path(name).stem


def _recording(path: Path) -> Recording:
    with path.open("rb") as head:
        packed = head.read(len(GZIP)) == GZIP
    times: list[float] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as file:
            times = [frame.time for frame in read_frames(file, origin=str(path))]
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged ({error})") from None
    if len(times) < 2 or times[-1] <= times[0]:
        raise DataError(f"{path} has {len(times)} frames and no duration")
    step = median(
        after - before for before, after in pairwise(times) if after > before
    )  # the last frame lasts as long as others do
    start, end = round(times[0], 6), round(times[-1] + step, 6)
    if start < 0:
        raise DataError(f"{path} begins before 0 s: annotations cannot")
    return Recording(recording_name(path), round(end - start, 6), round(1 / step, 3), (start, end))


def _video(path: Path) -> Recording:
    cv2 = require("cv2", extra="camera", purpose="Reading videos")
    capture = cv2.VideoCapture(str(path))
    try:
        rate, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    if not (rate > 0 and frames > 0):
        raise SourceError(f"{path} cannot be opened as a video, or does not say how long it is")
    duration = round(frames / rate, 6)
    return Recording(recording_name(path), duration, round(rate, 3), (0.0, duration))
