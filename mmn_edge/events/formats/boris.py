"""Tables that BORIS exports (https://boris.readthedocs.io, "Export events"): tabular and aggregated events.

Tabular events have one line for each START and STOP of a behaviour; aggregated events have one line for both. Versions
before 8 write some lines about the observation above the header, and call some columns otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath

from mmn_edge.errors import DataError
from mmn_edge.events.formats.text import parse_number, placed, read_text, rows
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.system.words import some

__all__ = ["is_boris", "read_boris"]

NOBODY = ("No focal subject", "No subject")
HEADER_LINES = 100
"""In which the header must come; above it older versions describe the observation."""

Row = tuple[int, dict[str, str]]


def is_boris(header: Sequence[str]) -> bool:
    """Whether this is the header of one of the two tables."""
    names = set(header)
    aggregated = {"Behavior", "Start (s)", "Stop (s)"} <= names
    return aggregated or ({"Behavior", "Time"} <= names and bool({"Behavior type", "Status"} & names))


def read_boris(path: Path) -> AnnotationSet:
    """Read either table, separated by commas or tabs.

    A recording is called as its video, where there is one, and else as the observation. POINT events have no length:
    they are left out, and counted in a note.

    Raises:
        DataError: It is neither table, a number is none, or a behaviour stops that did not start, or the reverse.
    """
    text = read_text(path)
    delimiter = "\t" if text.count("\t") > text.count(",") else ","
    lines = rows(path, text, delimiter)
    about: dict[str, str] = {}
    for number, header in lines:
        if is_boris(header):
            break
        about.setdefault(header[0], " ".join(header[1:]).strip())
        if number > HEADER_LINES:
            raise DataError(f"{path} is no table of events as BORIS exports it: no column is called Behavior")
    else:
        raise DataError(f"{path} is no table of events as BORIS exports it: no column is called Behavior")
    body = [(line, dict(zip(header, fields, strict=False))) for line, fields in lines]
    videos: dict[str, set[str]] = {}
    for _, row in body:
        videos.setdefault(_observation(row, about, path), set()).update(_videos(row))
    entries = _aggregated(path, body) if "Start (s)" in header else _paired(path, body)
    intervals: list[Interval] = []
    names: dict[str, set[str]] = {}
    points, shifted = 0, False
    for line, row, start, end in entries:
        shifted = shifted or bool(row.get("Time offset (s)", "").strip("0. "))
        if end is None:
            points += 1
            continue
        observation = _observation(row, about, path)
        subject = row.get("Subject", "")
        extra = (
            ("observation", observation),
            ("category", row.get("Behavioral category", "")),
            ("modifiers", _modifiers(row)),
            ("comment", row.get("Comment") or row.get("Comment start") or ""),
        )
        with placed(f"{path}, line {line}"):
            name = min(videos[observation]) if len(videos[observation]) == 1 else observation
            names.setdefault(name, set()).add(observation)
            intervals.append(
                Interval(
                    name,
                    start,
                    end,
                    row.get("Behavior", ""),
                    "" if subject in NOBODY else subject,
                    extra=tuple((key, " ".join(value.split())) for key, value in extra if value),
                )
            )
    notes = []
    if points:
        notes.append(f"{path}: {points} POINT events have no length and were left out")
    for name, observations in names.items():
        if len(observations) > 1:
            notes.append(f"{path}: recording {name} was observed {len(observations)} times; all of them count")
    if shifted:
        notes.append(f"{path}: observations have a time offset; times were taken as they stand in the table")
    for observation, several in videos.items():
        if len(several) > 1:
            notes.append(
                f"{path}: observation {observation} is of several videos ({some(sorted(several))}): its times count "
                "from the beginning of the first, and it is one recording"
            )
    if "Source" not in header and any(len(several) == 1 for several in videos.values()):
        notes.append(
            f"{path}: a table of an older BORIS: where an observation has several videos, times count from the first"
        )
    empty = frozenset() if intervals else frozenset({path.stem})
    return AnnotationSet(tuple(intervals), empty=empty, notes=tuple(notes))


Entry = tuple[int, dict[str, str], float, "float | None"]


def _aggregated(path: Path, body: Sequence[Row]) -> Iterator[Entry]:
    for line, row in body:
        first, last = row.get("Start (s)", ""), row.get("Stop (s)", "")
        with placed(f"{path}, line {line}"):
            start = parse_number("start", first)
            end = None
            if row.get("Behavior type", "").upper() != "POINT" and first != last:
                end = parse_number("stop", last)
        yield line, row, start, end


def _paired(path: Path, body: Sequence[Row]) -> Iterator[Entry]:
    running: dict[tuple[str, ...], tuple[int, dict[str, str], float]] = {}
    for line, row in body:
        kind = (row.get("Behavior type") or row.get("Status") or "").upper()
        key = (row.get("Observation id", ""), row.get("Subject", ""), row.get("Behavior", ""), _modifiers(row))
        with placed(f"{path}, line {line}"):
            time = parse_number("time", row.get("Time", ""))
        if kind == "POINT":
            yield line, row, time, None
        elif kind == "START":
            if key in running:
                raise DataError(f"{path}, line {line}: {key[2]!r} starts, and it runs since line {running[key][0]}")
            running[key] = (line, row, time)
        elif kind == "STOP":
            if key not in running:
                raise DataError(f"{path}, line {line}: {key[2]!r} stops and did not start: repair the events in BORIS")
            first, begun, start = running.pop(key)
            yield first, begun, start, time
        else:
            raise DataError(f"{path}, line {line}: the behavior type must be START, STOP or POINT, not {kind!r}")
    for (_, _, behaviour, _), (line, _, _) in running.items():
        raise DataError(f"{path}, line {line}: {behaviour!r} starts and never stops: repair the events in BORIS")


def _modifiers(row: dict[str, str]) -> str:
    names = [name for name in row if re.fullmatch(r"Modifiers?( #?\d+)?", name)]
    return "|".join(row[name] for name in names if row[name] and row[name] != "NA")


def _observation(row: dict[str, str], about: dict[str, str], path: Path) -> str:
    return row.get("Observation id") or about.get("Observation id") or path.stem


def _videos(row: dict[str, str]) -> list[str]:
    """Names of the videos that a row speaks of, without folders and suffixes: the observation's, or the event's."""
    if (row.get("Observation type") or "Media").startswith(("Live", "From")):
        return []
    source = (
        row.get("Source") or row.get("Media file") or row.get("Media file path") or row.get("Media file name") or ""
    )
    first = re.sub(r"^player #\d+:", "", source.partition("|")[0].strip())  # other players show the same time
    # A Windows path knows both kinds of slashes.
    return [PureWindowsPath(name).stem for name in first.split(";") if name and name not in ("NA", "Not found")]
