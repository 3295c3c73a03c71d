"""Our tables: intervals as ``recording,person,start,end,label,score,annotator``, and ``recordings.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmn_edge.errors import DataError
from mmn_edge.events.formats.text import parse_number, placed, read_text, rows
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.system.files import atomic_file

__all__ = ["COLUMNS", "RECORDINGS", "is_table", "read_recordings", "read_table", "write_recordings", "write_table"]

COLUMNS = ("recording", "person", "start", "end", "label", "score", "annotator")
NEEDED = ("recording", "start", "end", "label")

RECORDINGS = "recordings.csv"
RECORDING_COLUMNS = ("recording", "duration_s", "fps", "watched_from", "watched_to")
RECORDING_NEEDED = ("recording", "watched_from", "watched_to")


def is_table(header: Sequence[str]) -> bool:
    """Whether this is the header of a table of intervals."""
    return set(NEEDED) <= set(header)


def read_table(path: Path) -> AnnotationSet:
    """Read intervals; further columns are kept, and ``person``, ``score`` and ``annotator`` may be empty or absent.

    A table without rows says that the recording of the file's name was watched and nothing happened.

    Raises:
        DataError: It is no such table, or a line of it is no interval.
    """
    header, body = _read(path, NEEDED)
    extra = [name for name in header if name not in COLUMNS]
    intervals = []
    for line, values in body:
        with placed(f"{path}, line {line}"):
            intervals.append(
                Interval(
                    values["recording"],
                    parse_number("start", values["start"]),
                    parse_number("end", values["end"]),
                    values["label"],
                    values.get("person", ""),
                    parse_number("score", values["score"]) if values.get("score") else None,
                    values.get("annotator", ""),
                    tuple((name, values[name]) for name in extra if values[name]),
                )
            )
    return AnnotationSet(tuple(intervals), empty=frozenset() if intervals else frozenset({path.stem}))


def write_table(path: Path, annotations: AnnotationSet) -> None:
    """Write intervals, whole or not at all; numbers come back bit for bit.

    Raises:
        DataError: There are none, and the file's name is not that of the recording that was watched.
    """
    if not annotations.intervals and not annotations.recordings and annotations.annotated not in ((), (path.stem,)):
        name = ", ".join(annotations.annotated[:5])
        raise DataError(
            f"a table without rows stands for the recording of its name, and nothing happened in {name}: call it "
            f"{annotations.annotated[0]}.csv, or give the set a recordings.csv"
        )
    columns = annotations.columns
    lines: list[Sequence[str]] = [(*COLUMNS, *columns)]
    for entry in annotations.intervals:
        extra = dict(entry.extra)
        lines.append(
            (
                entry.recording,
                entry.person,
                _text(entry.start),
                _text(entry.end),
                entry.label,
                _text(entry.score),
                entry.annotator,
                *(extra.get(name, "") for name in columns),
            )
        )
    _write(path, lines)


def read_recordings(path: Path) -> tuple[Recording, ...]:
    """Read a ``recordings.csv``; a line with ``watched_from`` and ``watched_to`` empty was not annotated.

    Raises:
        DataError: It is no such table, a line is broken, or a recording comes twice.
    """
    header, body = _read(path, RECORDING_NEEDED)
    found: dict[str, Recording] = {}
    for line, values in body:
        with placed(f"{path}, line {line}"):
            numbers = {
                name: parse_number(name, values[name]) if values[name] else None
                for name in RECORDING_COLUMNS[1:]
                if name in header
            }
            watched = (numbers["watched_from"], numbers["watched_to"])
            if (watched[0] is None) != (watched[1] is None):
                raise DataError("watched_from and watched_to are given both, or neither where nobody annotated it")
            span = None if watched[0] is None or watched[1] is None else (watched[0], watched[1])
            duration, fps = numbers.get("duration_s"), numbers.get("fps")
            entry = Recording(values["recording"], duration, fps, span, values.get("split", ""))
            if entry.name in found:
                raise DataError(f"recording {entry.name!r} is there already")
        found[entry.name] = entry
    if not found:
        raise DataError(f"{path} lists no recordings")
    return tuple(found.values())


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write a ``recordings.csv``, whole or not at all."""
    listed = list(recordings)
    splits = any(entry.split for entry in listed)
    lines: list[Sequence[str]] = [(*RECORDING_COLUMNS, *(["split"] if splits else []))]
    for entry in listed:
        start, end = entry.watched or (None, None)
        split = [entry.split] if splits else []
        lines.append((entry.name, _text(entry.duration_s), _text(entry.fps), _text(start), _text(end), *split))
    _write(path, lines)


def _read(path: Path, needed: Sequence[str]) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    lines = rows(path, read_text(path))
    _, header = next(lines, (0, []))
    absent = [name for name in needed if name not in header]
    if absent:
        hint = ""
        if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
            hint = ", and its fields must be separated by commas"
        raise DataError(
            f"{path} lacks the column{'s' if len(absent) > 1 else ''} {', '.join(absent)}: its first line is "
            f"{','.join(header)[:120]!r}{hint}"
        )
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns called {twice!r}")
    body = []
    for line, fields in lines:
        if len(fields) > len(header):
            raise DataError(f"{path}, line {line} has {len(fields)} fields, and there are {len(header)} columns")
        body.append((line, dict(zip(header, [*fields, *[""] * (len(header) - len(fields))], strict=True))))
    return header, body


def _text(number: float | None) -> str:
    return "" if number is None else repr(float(number)).removesuffix(".0")


def _write(path: Path, lines: Iterable[Sequence[str]]) -> None:
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
