"""Predictions of the MMAD challenge: ``,video_id,t_start,t_end,class,score``, in a zip or not.

The format is that of the track's page (https://github.com/VUT-HFUT/Micro-Action): a running index without a name,
seconds, and class numbers counted from 0, MA-52's. Truth has no score.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from mmn_edge.errors import DataError
from mmn_edge.events.formats.options import Reading, Writing
from mmn_edge.events.formats.text import MAX_BYTES, parse_number, placed, read_text, rows
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.events.naming import match_names
from mmn_edge.model import labels as label_sets
from mmn_edge.model.labels import Labels
from mmn_edge.system.files import atomic_file

__all__ = ["is_mma52", "read_mma52", "write_mma52"]

MEMBER = "prediction.csv"
NEEDED = ("video_id", "t_start", "t_end", "class")
LABELS = "ma52"


def is_mma52(header: Sequence[str]) -> bool:
    """Whether this is the header of a table in the challenge's format."""
    return set(NEEDED) <= set(header)


def read_mma52(path: Path, options: Reading) -> AnnotationSet:
    """Read a table, or a zip with one.

    Raises:
        DataError: It is neither, or a line is broken.
    """
    labels = options.labels or label_sets.get(LABELS)
    text = _unzipped(path) if zipfile.is_zipfile(path) else read_text(path)
    lines = rows(path, text)
    _, header = next(lines, (0, []))
    absent = [name for name in NEEDED if name not in header]
    if absent:
        raise DataError(f"{path} lacks the column{'s' if len(absent) > 1 else ''} {', '.join(absent)}")
    intervals = []
    for line, fields in lines:
        if len(fields) != len(header):
            raise DataError(f"{path}, line {line} has {len(fields)} fields, and there are {len(header)} columns")
        values = dict(zip(header, fields, strict=True))
        with placed(f"{path}, line {line}"):
            score = parse_number("score", values["score"]) if values.get("score") else None
            start, end = (parse_number(name, values[name]) for name in ("t_start", "t_end"))
            intervals.append(Interval(values["video_id"], start, end, _class(values["class"], labels), score=score))
    return AnnotationSet(tuple(intervals), empty=frozenset() if intervals else frozenset({path.stem}))


def write_mma52(path: Path, annotations: AnnotationSet, options: Writing) -> None:
    """Write a table, in a zip where the file's name ends so; whole or not at all.

    Events of body-level groups are left out. The column ``score`` is left out where no interval has one.

    Raises:
        DataError: A label is no class, or some intervals have a score and others none.
    """
    labels = options.labels or label_sets.get(LABELS)
    entries = [entry for entry in annotations.intervals if entry.group is None]
    found = match_names({entry.label for entry in entries}, labels.classes, origin=path)
    unknown = next((entry for entry in entries if entry.label not in found), None)
    if unknown is not None:
        raise DataError(
            f"{unknown.label!r} (recording {unknown.recording}, {unknown.start:g} s) has no number: this format holds "
            "class numbers, MA-52's unless a label set is named"
        )
    scored = sum(entry.score is not None for entry in entries)
    if scored not in (0, len(entries)):
        raise DataError(f"{len(entries) - scored} of {len(entries)} intervals have no score, and this format needs all")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *NEEDED, *(["score"] if scored or not entries else [])])
    for index, entry in enumerate(entries):
        fields = [index, entry.recording, entry.start, entry.end, labels.classes.index(found[entry.label])]
        writer.writerow([*fields, *([entry.score] if scored else [])])
    with atomic_file(path) as partial:
        if path.suffix.lower() != ".zip":
            partial.write_text(text.getvalue(), encoding="utf-8")
            return
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(MEMBER), text.getvalue(), zipfile.ZIP_DEFLATED)


def _class(text: str, labels: Labels) -> str:
    if not text.isdecimal():
        raise DataError(f"the class must be a number counted from 0, not {text[:40]!r}")
    index = int(text[:9])
    if index >= len(labels):
        raise DataError(f"class {text} is not there: the label set has {len(labels)} classes, counted from 0")
    return labels.classes[index]


def _unzipped(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            tables = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".csv")]
            if len(tables) != 1:
                raise DataError(f"{path} holds {len(tables)} tables (.csv), and must hold one, {MEMBER}")
            with archive.open(tables[0]) as file:
                data = file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be unpacked ({error})") from None
    if len(data) > MAX_BYTES:
        raise DataError(f"{path} unpacks to more than {MAX_BYTES // 2**20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} holds a table that is no UTF-8 text") from None
