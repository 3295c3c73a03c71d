"""Files of annotations: which format a file is in, reading and writing it, and what a format cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmn_edge.errors import DataError, UsageError
from mmn_edge.events.formats.boris import is_boris, read_boris
from mmn_edge.events.formats.elan import read_elan, write_elan
from mmn_edge.events.formats.lines import read_lines
from mmn_edge.events.formats.mma52 import is_mma52, read_mma52, write_mma52
from mmn_edge.events.formats.options import Reading, Writing
from mmn_edge.events.formats.praat import read_textgrid, write_textgrid
from mmn_edge.events.formats.subtitles import read_subrip, read_webvtt, write_subrip, write_webvtt
from mmn_edge.events.formats.table import (
    RECORDINGS,
    is_table,
    read_recordings,
    read_table,
    write_recordings,
    write_table,
)
from mmn_edge.events.formats.text import read_text, rows
from mmn_edge.events.interval import AnnotationSet
from mmn_edge.events.naming import fit_labels
from mmn_edge.model.labels import Labels
from mmn_edge.system.files import atomic_folder
from mmn_edge.system.words import some

__all__ = ["FOLDER_SUFFIXES", "FORMATS", "Format", "format_for", "format_of", "losses", "read", "write"]

Reader = Callable[[Path, Reading], AnnotationSet]
Writer = Callable[[Path, AnnotationSet, Writing], None]


@dataclass(frozen=True)
class Format:
    """A format of files of annotations.

    Attributes:
        name: What ``--to`` takes.
        title: In words.
        suffixes: Of its files, the usual one first.
        reader: Reads a file.
        writer: Writes a file; None where we only read it.
        many: Whether a file holds several recordings.
        holds: Which of ``person``, ``score``, ``annotator``, ``columns`` (further ones) and ``groups`` (events of which
            only the body-level group is known) it holds.
        milliseconds: Whether its times are whole milliseconds.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    reader: Reader
    writer: Writer | None = None
    many: bool = False
    holds: frozenset[str] = frozenset()
    milliseconds: bool = False


def _path_only(function: Callable[[Path], AnnotationSet]) -> Reader:
    return lambda path, _: function(path)


def _plain(function: Callable[[Path, AnnotationSet], None]) -> Writer:
    return lambda path, annotations, _: function(path, annotations)


ALL = frozenset({"person", "score", "annotator", "columns", "groups"})

FORMATS = {
    entry.name: entry
    for entry in (
        Format("csv", "table", (".csv",), _path_only(read_table), _plain(write_table), many=True, holds=ALL),
        Format(
            "elan",
            "ELAN",
            (".eaf",),
            read_elan,
            write_elan,
            holds=frozenset({"person", "annotator", "groups"}),
            milliseconds=True,
        ),
        Format(
            "praat",
            "Praat TextGrid",
            (".TextGrid",),
            read_textgrid,
            _plain(write_textgrid),
            holds=frozenset({"person", "groups"}),
        ),
        Format(
            "webvtt",
            "WebVTT subtitles",
            (".vtt",),
            _path_only(read_webvtt),
            _plain(write_webvtt),
            holds=frozenset({"person", "groups"}),
            milliseconds=True,
        ),
        Format(
            "srt",
            "SubRip subtitles",
            (".srt",),
            _path_only(read_subrip),
            _plain(write_subrip),
            holds=frozenset({"person", "groups"}),
            milliseconds=True,
        ),
        Format(
            "mma52", "MMA-52 table", (".zip", ".csv"), read_mma52, write_mma52, many=True, holds=frozenset({"score"})
        ),
        Format("boris", "BORIS table", (".tsv", ".csv", ".txt"), _path_only(read_boris), many=True),
        Format("events", "events of mmn-edge run", (".jsonl",), _path_only(read_lines), many=True),
    )
}
"""All formats by name; of two with one suffix, the first is written unless another is asked for."""


FOLDER_SUFFIXES = frozenset(
    suffix.lower() for entry in FORMATS.values() for suffix in entry.suffixes if suffix not in (".txt", ".jsonl")
)
"""Of files of annotations in a folder, where texts are notes and JSON Lines are recordings."""


def format_of(path: Path) -> Format:
    """The format of a file that is there: by its suffix, and a table by its header.

    Raises:
        DataError: It is none that can be read.
    """
    suffix = path.suffix.lower()
    fitting = [entry for entry in FORMATS.values() if suffix in map(str.lower, entry.suffixes)]
    if not fitting:
        raise DataError(f"{path} is no file of annotations: {_known()} are read")
    if len(fitting) == 1 and suffix not in (".tsv", ".txt"):
        return fitting[0]
    text = read_text(path)
    first = next(rows(path, text.partition("\n")[0]), (0, [""]))[1]
    if is_table(first):
        return FORMATS["csv"]
    if is_mma52(first):
        return FORMATS["mma52"]
    if is_boris(first) or suffix != ".csv" or "Observation id" in text[:2000] or "\t" in text.partition("\n")[0]:
        return FORMATS["boris"]
    return FORMATS["csv"]  # which says what is missing


def format_for(path: Path, named: str | None = None) -> Format:
    """The format in which to write a file: the named one, or that of its suffix.

    Raises:
        UsageError: There is no such format, it is only read, or the suffix is none.
    """
    if named is not None:
        if named not in FORMATS:
            raise UsageError(f"unknown format {named!r}: choose one of {', '.join(FORMATS)}")
        found = FORMATS[named]
        if path.suffix and path.suffix.lower() not in map(str.lower, found.suffixes):
            raise UsageError(f"{path} cannot be {found.title}, whose files end in {' or '.join(found.suffixes)}")
    else:
        suffix = path.suffix.lower()
        fitting = [entry for entry in FORMATS.values() if suffix in map(str.lower, entry.suffixes) and entry.writer]
        if not fitting:
            raise UsageError(f"{path} does not end as a file of annotations does: {_known(written=True)} are written")
        found = fitting[0]
    if found.writer is None:
        raise UsageError(f"{found.title} is read and not written")
    return found


def read(
    path: Path, *, labels: Labels | None = None, tiers: Sequence[str] = (), recordings: Path | None = None
) -> AnnotationSet:
    """Read a file of annotations, or all of a folder.

    A ``recordings.csv`` in the folder, or beside the file, says what was watched.

    Args:
        path: The file or folder.
        labels: The classes that may occur; their names are taken where labels differ in case or punctuation only.
        tiers: Patterns of the tiers of ELAN and Praat to read; all where empty.
        recordings: Another ``recordings.csv``.

    Raises:
        DataError: A file is broken, holds unknown labels, or two of them hold the same recording.
        MissingDependencyError: A format needs a package that is not installed.
    """
    options = Reading(labels, tuple(tiers))
    if path.is_dir():
        files = sorted(
            f for f in path.iterdir() if f.suffix.lower() in FOLDER_SUFFIXES and f.name != RECORDINGS and f.is_file()
        )
        listed = recordings or path / RECORDINGS
        if not files and not listed.is_file():
            raise DataError(f"{path} holds no files of annotations: {_known()} are read")
    else:
        files, listed = [path], recordings or path.parent / RECORDINGS
    found = [(file, format_of(file)) for file in files]
    sets = [(file, kind, kind.reader(file, options)) for file, kind in found]
    owners: dict[str, Path] = {}
    for file, kind, one in sets:
        for name in one.annotated:
            if name in owners and not (kind.many and not one.intervals):
                raise DataError(f"{owners[name]} and {file} both annotate recording {name!r}: take one of them away")
            owners[name] = file
    known = read_recordings(listed) if recordings is not None or listed.is_file() else ()
    if known:
        inside = {entry.name for entry in known}
        # A table without rows is called as no recording where recordings.csv says what was watched.
        sets = [(f, k, replace(one, empty=one.empty & inside) if k.many else one) for f, k, one in sets]
    if known and not path.is_dir():
        (_, kind, one) = sets[0]
        names = set(one.annotated) | ({path.stem} & inside)
        if not kind.many or names == {path.stem}:  # a file of one recording says nothing of the others
            known = tuple(entry for entry in known if entry.name in names)
            if not known:
                raise DataError(f"{listed} does not list recording {min(names)!r} of {path}")
    try:
        joined = AnnotationSet.joined([one for _, _, one in sets], known)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return fit_labels(joined, labels, origin=path) if labels is not None else joined


def write(
    annotations: AnnotationSet,
    path: Path,
    *,
    to: str | None = None,
    labels: Labels | None = None,
    media: Path | None = None,
) -> tuple[str, ...]:
    """Write a set to one file, whole or not at all; returns what the format could not hold, in sentences.

    Args:
        annotations: What to write.
        path: The file; its suffix chooses the format.
        to: The format's name, where the suffix is not enough.
        labels: The classes, where a format holds their numbers; MA-52's where None.
        media: The video that the file is to be opened with (ELAN).

    Raises:
        UsageError: The format is none, or it holds one recording and there are several.
        DataError: A label has no number.
        MissingDependencyError: The format needs a package that is not installed.
    """
    kind = format_for(path, to)
    if kind.writer is None:
        raise AssertionError("format_for names formats that are written")
    names = annotations.annotated
    if not kind.many and len(names) != 1:
        raise UsageError(
            f"{path} holds one recording, and there are {len(names)}: name a folder, with --to {kind.name}"
        )
    kind.writer(path, annotations, Writing(labels, media))
    lost = losses(annotations, kind)
    if not kind.many and names != (path.stem,) and kind.name != "elan":
        lost = (*lost, f"recording {names[0]} is called {path.stem} where {path.name} is read")
    if kind.name == "elan" and media is None and names != (path.stem,):
        lost = (
            *lost,
            f"recording {names[0]} is called {path.stem} where {path.name} is read, unless a video is linked",
        )
    if annotations.recordings:
        lost = (*lost, f"what was watched is not in {path.name}: keep {RECORDINGS} beside it")
    elif kind.many and annotations.intervals and annotations.empty:
        quiet = some(sorted(annotations.empty))
        lost = (*lost, f"{path.name} says nothing of {quiet}, where nothing happened: {RECORDINGS} can")
    return lost


def write_folder(annotations: AnnotationSet, folder: Path, *, to: str, labels: Labels | None = None) -> tuple[str, ...]:
    """Write a file for each recording and a ``recordings.csv``, all or nothing; returns what was lost, in sentences.

    Raises:
        UsageError: The format is none, or a recording's name is no name of a file.
        DataError: A label has no number.
    """
    kind = format_for(folder.with_suffix(""), to)
    if kind.writer is None:
        raise AssertionError("format_for names formats that are written")
    by_recording = annotations.by_recording()
    for name in by_recording:
        if Path(name).name != name or name.startswith(".") or name == Path(RECORDINGS).stem:
            raise UsageError(f"recording {name!r} cannot be the name of a file: rename it, or write a table (.csv)")
    with atomic_folder(folder) as partial:
        for name, intervals in by_recording.items():
            entry = annotations.recordings.get(name)
            one = AnnotationSet(intervals, {name: entry} if entry else {}, frozenset() if entry else frozenset({name}))
            kind.writer(partial / f"{name}{kind.suffixes[0]}", one, Writing(labels))
        if annotations.recordings:
            write_recordings(partial / RECORDINGS, annotations.recordings.values())
    return losses(annotations, kind)


def losses(annotations: AnnotationSet, kind: Format) -> tuple[str, ...]:
    """What of a set a format cannot hold, in sentences."""
    lost = []
    entries = annotations.intervals
    people = {entry.person for entry in entries} - {""}
    if people and "person" not in kind.holds:
        lost.append(f"{kind.title} holds no persons: {_count(len(people), 'name')} lost")
    scored = sum(entry.score is not None for entry in entries)
    if scored and "score" not in kind.holds:
        lost.append(f"{kind.title} holds no scores: {_count(scored, 'score')} lost")
    annotators = {entry.annotator for entry in entries} - {""}
    if annotators and "annotator" not in kind.holds:
        lost.append(f"{kind.title} holds no annotators: {_count(len(annotators), 'name')} lost")
    if annotations.columns and "columns" not in kind.holds:
        lost.append(f"{kind.title} holds no further columns: {', '.join(annotations.columns)} lost")
    groups = sum(entry.group is not None for entry in entries)
    if groups and "groups" not in kind.holds:
        lost.append(f"{kind.title} holds no body-level groups: {_count(groups, 'event')} lost")
    if kind.milliseconds and any(entry.duration < 0.001 for entry in entries):
        short = sum(entry.duration < 0.001 for entry in entries)
        lost.append(f"{kind.title} holds whole milliseconds: {_count(short, 'shorter event')} lengthened to one")
    if kind.name == "mma52" and len(annotations.annotated) > len({entry.recording for entry in entries}):
        lost.append(f"{kind.title} holds no recordings in which nothing happened")
    return tuple(lost)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'} {'is' if number == 1 else 'are'}"


def _known(*, written: bool = False) -> str:
    kinds = [entry for entry in FORMATS.values() if entry.writer or not written]
    return ", ".join(dict.fromkeys(suffix for entry in kinds for suffix in entry.suffixes))
