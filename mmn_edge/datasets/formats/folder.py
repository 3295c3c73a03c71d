"""A data set as a folder: ``labels.csv`` beside one file a clip.

.. code-block:: text

    file,label,split
    wave_01.jsonl,wave,train
    wave_02.npz,wave,val

``split`` may be left out. ``recording``, ``person`` and ``session`` are optional columns: what clips have in common. A
label is the name of a class or its index. ``classes.txt``, one name a line, gives the order of the classes; without it
they are the sorted names. The files are those of :mod:`mmn_edge.datasets.formats.pose_files`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mmn_edge.datasets.clip import Clip, ClipEntry, ClipSource, make_clip
from mmn_edge.datasets.formats.pose_files import read_pose_file
from mmn_edge.datasets.splits import GROUPS
from mmn_edge.errors import DataError
from mmn_edge.skeleton.missing import ScoreScale

__all__ = ["CLASSES", "LABELS", "Row", "open_folder", "read_classes", "read_labels"]

LABELS = "labels.csv"
CLASSES = "classes.txt"


@dataclass(frozen=True)
class Row:
    """One line of a ``labels.csv``.

    Attributes:
        line: Its number in the file, from 1.
        file: The clip's file, relative to the folder; empty where the line has none.
        label: A class name, or an index as text; empty where the line has none.
        split: The split; None where the file has no such column, or the field is empty.
        groups: Of ``recording``, ``person`` and ``session`` those that the line names.
    """

    line: int
    file: str
    label: str
    split: str | None
    groups: Mapping[str, str] = field(default_factory=dict)


def read_labels(path: Path) -> tuple[Row, ...]:
    """The lines of a ``labels.csv``; empty ones are skipped.

    Raises:
        DataError: It is missing, no UTF-8 text, or lacks the columns ``file`` and ``label``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [column.strip() for column in reader.fieldnames or ()]
            if not {"file", "label"} <= set(columns):
                raise DataError(
                    f'{path} needs the columns "file" and "label" (and "split" if you like) in its first line, which '
                    f"has {', '.join(columns) or 'nothing'}"
                )
            reader.fieldnames = columns
            rows = []
            for values in reader:
                if None in values:
                    raise DataError(f"{path}, line {reader.line_num} has more fields than there are columns")
                text = {key: (value or "").strip() for key, value in values.items()}
                groups = {key: text[key] for key in GROUPS if text.get(key)}
                rows.append(Row(reader.line_num, text["file"], text["label"], text.get("split") or None, groups))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no UTF-8 text with commas between its fields ({error})") from error
    if not rows:
        raise DataError(f"{path} names no clips")
    return tuple(rows)


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names from a text file, one a line.

    Raises:
        DataError: It is no UTF-8 text, is empty, or names a class twice.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text ({error.reason})") from error
    while names and not names[-1]:
        names.pop()
    if not names or "" in names:
        raise DataError(f"{path} must hold one class name a line" + (", and none empty" if names else ""))
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise DataError(f"{path} names the class {twice!r} twice")
    return tuple(names)


def class_names(path: Path, rows: tuple[Row, ...]) -> tuple[str, ...] | None:
    """The classes of a folder: those of ``classes.txt``, else the sorted labels, else None where all are indices."""
    if (path / CLASSES).is_file():
        return read_classes(path / CLASSES)
    labels = {row.label for row in rows if row.label}
    return None if all(label.isdecimal() for label in labels) else tuple(sorted(labels))


def open_folder(path: Path, scale: ScoreScale | None = None) -> ClipSource:
    """Open a folder with a ``labels.csv``; its clips are read later, one by one.

    Args:
        path: The folder.
        scale: What the scores mean in files that do not say so.

    Raises:
        DataError: ``labels.csv`` or ``classes.txt`` is broken as a whole.
    """
    rows = read_labels(path / LABELS)
    classes = class_names(path, rows)
    splits: dict[str, list[str]] = {}
    entries = []
    for row in rows:
        name = row.file or f"{LABELS}, line {row.line}"
        if row.split is not None:
            splits.setdefault(row.split, []).append(name)
        read = partial(_read, path, row, classes, scale)
        entries.append(ClipEntry(name, (row.split,) if row.split else (), read, groups=row.groups))
    listed = {split: tuple(names) for split, names in splits.items()}
    return ClipSource(path, f"folder with {LABELS}", tuple(entries), listed, classes)


def _read(path: Path, row: Row, classes: tuple[str, ...] | None, scale: ScoreScale | None) -> Clip:
    where = f"{path / LABELS}, line {row.line}"
    if not row.file or not row.label:
        raise DataError(f"{where} lacks its {'label' if row.file else 'file'}")
    try:
        sequence = read_pose_file(path / row.file, scale)
    except DataError as error:
        raise type(error)(f"{where}: {error}") from None
    return make_clip(
        f"{where}, {row.file}",
        row.file,
        row.label,
        sequence.keypoints[None],
        sequence.scores[None],
        class_names=classes,
        layout=sequence.layout,
        times=sequence.times,
        placeholders=sequence.placeholders,
        notes=sequence.notes,
    )
