"""Whole recordings with the intervals in them: a folder of recordings (``.jsonl``) and annotations in any format.

.. code-block:: text

    set/talk.jsonl  set/walk.jsonl   the recordings
    set/events.csv                   the annotations: a table, or talk.eaf, walk.eaf ...
    set/recordings.csv               what was watched
    set/classes.txt                  the classes in order, one a line (optional)

Persons of a recording are those of its frames; annotations call them by their ids, or say nothing where there is one.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.formats.folder import CLASSES, LABELS, read_classes
from mmn_edge.errors import DataError
from mmn_edge.events import formats
from mmn_edge.events.formats.table import RECORDINGS
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.recording import read_frames
from mmn_edge.system.contents import GZIP
from mmn_edge.system.words import some

__all__ = ["AnnotatedRecording", "AnnotatedSet", "PersonTrack", "assign", "is_annotated", "open_annotated"]

SUFFIXES = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, eq=False)
class PersonTrack:
    """One person of a recording, in the frames that show them.

    Attributes:
        person: The id.
        times: ``(L,)``, seconds, never falling.
        keypoints: ``(L, V, C)``; NaN where a joint was not seen.
        scores: ``(L, V)``; 0 where a joint was not seen.
        intervals: What they did, in order of its start.
    """

    person: int
    times: npt.NDArray[np.float64]
    keypoints: FloatArray
    scores: FloatArray
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class AnnotatedRecording:
    """A recording that somebody watched.

    Attributes:
        name: What annotations call it.
        path: Its file.
        intervals: What happened in it, in order of its start.
        watched: From when to when it was watched, seconds; None where that is not known.
    """

    name: str
    path: Path
    intervals: tuple[Interval, ...]
    watched: tuple[float, float] | None

    def layout(self) -> str | None:
        """The layout of its first frame; None where it has none, or is damaged."""
        with suppress(DataError, UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile), self._text() as file:
            return next((frame.layout for frame in read_frames(file, origin=str(self.path))), None)
        return None

    def read(self) -> tuple[str, tuple[PersonTrack, ...]]:
        """The layout, and every person with what they did.

        Raises:
            DataError: The recording is broken or empty, changes its layout, or annotations name persons that it does
                not show.
        """
        layout = ""
        found: dict[int, list[tuple[float, FloatArray, FloatArray]]] = {}
        try:
            with self._text() as file:
                for frame in read_frames(file, origin=str(self.path)):
                    if layout and frame.layout != layout:
                        raise DataError(
                            f"{self.path} is in {layout} first and in {frame.layout} from {frame.time:g} s on"
                        )
                    layout = frame.layout
                    for person in frame.persons:
                        found.setdefault(person.id, []).append((frame.time, person.keypoints, person.scores))
        except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.path} is damaged ({error})") from None
        if not found:
            raise DataError(f"{self.path} shows nobody")
        try:
            owned = assign(self.intervals, found)
        except DataError as error:
            raise DataError(f"recording {self.name}: {error}") from None
        tracks = []
        for identity, seen in sorted(found.items()):
            if len({points.shape for _, points, _ in seen}) > 1:
                raise DataError(f"{self.path}: person {identity} has keypoints with 2 coordinates and with 3")
            times, keypoints, scores = zip(*seen, strict=True)
            tracks.append(
                PersonTrack(identity, np.array(times), np.stack(keypoints), np.stack(scores), owned.get(identity, ()))
            )
        return layout, tuple(tracks)

    def _text(self) -> TextIO:
        with self.path.open("rb") as head:
            packed = head.read(len(GZIP)) == GZIP
        if packed:
            return cast(TextIO, gzip.open(self.path, "rt", encoding="utf-8"))
        return self.path.open(encoding="utf-8")


@dataclass(frozen=True)
class AnnotatedSet:
    """Recordings with intervals.

    Attributes:
        path: The folder.
        recordings: Those that are annotated and there.
        annotations: All annotations, also of recordings that are not there.
        class_names: The classes in order: those of ``classes.txt``, else those that occur, sorted.
        named: Whether ``classes.txt`` named them.
        unannotated: Recordings that are there and that nobody annotated.
        absent: Annotated recordings that are not there.
    """

    path: Path
    recordings: tuple[AnnotatedRecording, ...]
    annotations: AnnotationSet
    class_names: tuple[str, ...]
    named: bool
    unannotated: tuple[str, ...]
    absent: tuple[str, ...]


def is_annotated(path: Path) -> bool:
    """Whether this is a file of annotations, or a folder with such files that is no data set of clips."""
    if path.is_file():
        return path.suffix.lower() in formats.FOLDER_SUFFIXES
    if not path.is_dir() or (path / LABELS).is_file():
        return False
    return any(entry.suffix.lower() in formats.FOLDER_SUFFIXES and entry.is_file() for entry in path.iterdir())


def open_annotated(path: Path) -> AnnotatedSet:
    """Open a folder of recordings with annotations, or a file of annotations with recordings beside it.

    The recordings are read later, one by one.

    Raises:
        DataError: The annotations are broken, or two recordings have one name.
    """
    folder = path if path.is_dir() else path.parent
    annotations = formats.read(path)
    files: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        suffix = next((one for one in reversed(SUFFIXES) if entry.name.endswith(one)), None)
        if suffix is not None and entry.is_file():
            name = entry.name.removesuffix(suffix)
            if name in files:
                raise DataError(f"{files[name]} and {entry} are both called {name!r}: rename one of them")
            files[name] = entry
    by_recording = annotations.by_recording()
    recordings = tuple(
        AnnotatedRecording(name, files[name], intervals, annotations.watched(name))
        for name, intervals in by_recording.items()
        if name in files
    )
    listed = folder / CLASSES
    names = read_classes(listed) if listed.is_file() else annotations.labels
    return AnnotatedSet(
        path,
        recordings,
        annotations,
        names,
        listed.is_file(),
        tuple(sorted(set(files) - set(by_recording))) if path.is_dir() or (folder / RECORDINGS).is_file() else (),
        tuple(sorted(set(by_recording) - set(files))),
    )


def assign(intervals: Iterable[Interval], persons: Iterable[int]) -> Mapping[int, tuple[Interval, ...]]:
    """Whose intervals are whose: by id, or of the only person there is.

    Raises:
        DataError: An interval is of nobody who is there, or does not say whose it is.
    """
    ids = sorted(persons)
    by_name: dict[str, list[Interval]] = {}
    for entry in intervals:
        by_name.setdefault(entry.person, []).append(entry)
    known = {str(person): person for person in ids}
    if len(ids) == 1 and len(by_name) == 1:
        return {ids[0]: tuple(*by_name.values())}
    strangers = [name for name in by_name if name not in known]
    if strangers and strangers != [""]:
        name = next(name for name in strangers if name)
        raise DataError(f"annotations are of person {name!r}, and the recording shows {some(known)}: use its ids")
    if strangers:
        raise DataError(f"annotations do not say whose they are, and the recording shows {some(known)}")
    return {known[name]: tuple(entries) for name, entries in by_name.items()}
