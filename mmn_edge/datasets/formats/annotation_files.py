"""Data sets in pickles: the annotation files of PYSKL and MMAction2, and the authors' label/data pairs.

Formats: https://github.com/kennymckormick/pyskl (data/README) and ``docs/reference/data-formats.md``.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmn_edge.datasets.clip import Clip, ClipEntry, ClipSource, are_withheld, make_clip, withheld_note
from mmn_edge.datasets.formats.pickles import load_pickle
from mmn_edge.datasets.splits import GROUPS
from mmn_edge.errors import DataError
from mmn_edge.skeleton.missing import ScoreScale, check_score_names

__all__ = ["PAIRS", "open_pairs", "open_pickle", "pairs", "total_frames"]

PAIRS = "label/data pairs in the authors' format"


def pairs(path: Path) -> tuple[str, ...]:
    """The splits that a folder in the authors' format holds."""
    return tuple(split for split in ("train", "val", "test") if (path / f"{split}_data.pkl").is_file())


def open_pairs(path: Path, split: str | None = None) -> ClipSource:
    """Open a folder of ``{train,val,test}_{data,label}.pkl``: clips joined by name, in the label files' order.

    The scores are not used, as published. The files name no classes.

    Args:
        path: The folder.
        split: The one split to read; all that are there where None.

    Raises:
        DataError: A file is missing or broken.
    """
    entries: list[ClipEntry] = []
    listed: dict[str, tuple[str, ...]] = {}
    notes = []
    there = pairs(path)
    for name in (split,) if split else there or ("val",):
        if split is None and len(there) > 1 and _holds_no_labels(path / f"{name}_label.pkl"):
            notes.append(withheld_note(name))
            continue
        data, labels, twice = _pair(path, name)
        if twice:
            notes.append(
                f"{name}_data.pkl holds {len(twice)} clips more than once, such as {twice[0]}: the last one is used"
            )
        listed[name] = tuple(clip for clip, _ in labels)
        for clip, label in labels:
            if clip in data:
                read = partial(_read_pair, path / f"{name}_data.pkl", clip, data[clip], label)
                entries.append(ClipEntry(clip, (name,), read, *_extent(data[clip])))
        unlabelled = set(data) - set(listed[name])
        if unlabelled:
            notes.append(
                f"{name}_data.pkl holds {len(unlabelled)} clips that {name}_label.pkl does not name, such as "
                f"{min(unlabelled)}: they are not used"
            )
    return ClipSource(path, PAIRS, tuple(entries), listed, notes=tuple(notes))


def _holds_no_labels(path: Path) -> bool:
    """Whether a label file is absent, or names clips without saying what most of them are."""
    if not path.exists():
        return True
    labels = load_pickle(path)
    return (
        isinstance(labels, list)
        and all(isinstance(entry, dict) and "file_name" in entry for entry in labels)
        and are_withheld([entry.get("label") for entry in labels])
    )


def _pair(path: Path, split: str) -> tuple[dict[str, dict[str, Any]], list[tuple[str, Any]], list[str]]:
    """Annotations by name, names with labels, and the names that more than one annotation has."""
    try:
        data = load_pickle(path / f"{split}_data.pkl")
        labels = load_pickle(path / f"{split}_label.pkl")
    except DataError as error:
        if pairs(path):
            raise
        raise DataError(
            f"{error}: a folder is a data set with a labels.csv, or with {{train,val,test}}_{{data,label}}.pkl"
        ) from None
    try:
        count = Counter(str(entry["frame_dir"]) for entry in data["annotations"])
        by_name = {str(entry["frame_dir"]): dict(entry) for entry in data["annotations"]}
        listed = [(str(entry["file_name"]), entry["label"]) for entry in labels]
        return by_name, listed, [name for name, times in count.items() if times > 1]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise DataError(f"{path}/{split}_*.pkl are not in the authors' format ({error!r})") from error


def _read_pair(path: Path, name: str, entry: dict[str, Any], label: Any) -> Clip:
    where = f"{path}: clip {name}"
    return make_clip(where, name, label, entry.get("keypoint"), frames=total_frames(entry, where))


def open_pickle(path: Path, scale: ScoreScale | None = None) -> ClipSource:
    """Open an annotation pickle.

    It is ``{"annotations": [{"frame_dir", "label", "keypoint" (M, T, V, C), optional "keypoint_score" (M, T, V)}],
    optional "split": {name: [frame_dir]}, "class_names", "layout", "score_scale"}``, or the bare list of annotations,
    as older files of PYSKL have it. A label is an index or a name; where no classes are named and labels are text, the
    names in sorted order are the classes.

    Args:
        path: The pickle.
        scale: What its scores mean, where it does not say so.

    Raises:
        DataError: The file is missing, refused or broken as a whole.
    """
    content = load_pickle(path)
    if isinstance(content, list) and content and all(isinstance(e, dict) and "keypoint" in e for e in content):
        content = {"annotations": content}
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise DataError(f'{path} is no annotation pickle: it needs "annotations", as in PYSKL and MMAction2')
    found = content["annotations"]
    if not all(isinstance(entry, dict) for entry in found):
        raise DataError(f'{path} is no annotation pickle: "annotations" must be a list of mappings')
    layout = content.get("layout")
    if layout is not None and not isinstance(layout, str):
        raise DataError(f'{path}: "layout" must name a skeleton layout, not {layout!r}')
    if "score_scale" in content:
        scale = ScoreScale.declared(content["score_scale"], str(path))
    listed = _splits(path, content.get("split"))
    withheld = _withheld(listed, found)
    member: dict[str, list[str]] = {}
    for split, names in listed.items():
        for name in dict.fromkeys(names):
            member.setdefault(name, []).append(split)
    classes = _class_names(path, content.get("class_names"), found)
    entries = []
    for number, entry in enumerate(found):
        name = str(entry.get("frame_dir", f"annotation {number}"))
        named_by = tuple(split for split in member.get(name, ()) if split not in withheld)
        if name in member and not named_by:
            continue
        read = partial(_read_annotation, path, name, entry, classes, layout, scale)
        entries.append(ClipEntry(name, named_by, read, *_extent(entry), _groups(entry)))
    labelled = {split: names for split, names in listed.items() if split not in withheld}
    unlabelled = tuple(split for split in listed if split in withheld)
    notes = tuple(map(withheld_note, unlabelled))
    return ClipSource(path, "annotation pickle", tuple(entries), labelled, classes, notes, unlabelled)


def _withheld(listed: dict[str, tuple[str, ...]], entries: Sequence[dict[str, Any]]) -> set[str]:
    """The splits of which most clips have no label, where others have some; a stray one does not make them labelled."""
    labels = {str(entry.get("frame_dir")): entry.get("label") for entry in entries}
    withheld = {
        split
        for split, names in listed.items()
        if labels.keys() & names and are_withheld([labels[name] for name in names if name in labels])
    }
    return withheld if len(withheld) < len(listed) else set()


def _read_annotation(
    path: Path,
    name: str,
    entry: dict[str, Any],
    classes: tuple[str, ...] | None,
    layout: str | None,
    scale: ScoreScale | None,
) -> Clip:
    where = f"{path}: clip {name}"
    check_score_names(entry, "keypoint_score", where)
    return make_clip(
        where,
        name,
        entry.get("label"),
        entry.get("keypoint"),
        entry.get("keypoint_score"),
        class_names=classes,
        layout=layout,
        frames=total_frames(entry, where),
        scale=scale,
        times=entry.get("time"),
    )


def _groups(entry: dict[str, Any]) -> dict[str, str]:
    return {key: str(entry[key]) for key in GROUPS if isinstance(entry.get(key), str | int)}


def _extent(entry: dict[str, Any]) -> tuple[int | None, tuple[int, ...] | None, bool]:
    """The last fields of a :class:`ClipEntry`: how long it says that it is, how it is stored, and what lies beyond."""
    frames, keypoint = total_frames(entry), entry.get("keypoint")
    if not isinstance(keypoint, np.ndarray):
        return frames, None, False
    beyond = keypoint[:, frames:] if frames is not None and keypoint.ndim == 4 else keypoint[:0]
    return frames, keypoint.shape, bool(beyond.size) and beyond.dtype.kind in "iuf" and not beyond.any()


def total_frames(entry: dict[str, Any], where: str | None = None) -> int | None:
    """How many frames an annotation says that its clip has; those beyond are padding, as in PYSKL and MMAction2.

    Raises:
        DataError: It says something that is no whole number, and ``where`` says how to name the place; else None.
    """
    frames = entry.get("total_frames")
    if isinstance(frames, str) and frames.strip().isdecimal():
        return int(frames)
    if isinstance(frames, int | float | np.number) and not isinstance(frames, bool) and float(frames).is_integer():
        return int(frames)
    if frames is not None and where is not None:
        raise DataError(f'{where} has "total_frames" {reprlib.repr(frames)}: it must be a whole number')
    return None


def _splits(path: Path, values: Any) -> dict[str, tuple[str, ...]]:
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise DataError(f'{path}: "split" must map names of splits to lists of clip names')
    listed = {}
    for split, names in values.items():
        texts = _texts(sorted(names, key=str) if isinstance(names, set | frozenset) else names)
        if texts is None:
            raise DataError(f"{path}: split {split} must be a list of clip names")
        listed[str(split)] = texts
    return listed


def _texts(values: Any) -> tuple[str, ...] | None:
    """A list or array of texts as such; None where it is something else."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        return None
    return tuple(values)


def _class_names(path: Path, names: Any, entries: Sequence[dict[str, Any]]) -> tuple[str, ...] | None:
    if names is not None:
        texts = _texts(names)
        if texts is None:
            raise DataError(f'{path}: "class_names" must be a list of names, not {names!r}')
        if len(set(texts)) != len(texts):
            raise DataError(f'{path}: "class_names" names a class twice')
        return texts
    labels = {label for entry in entries if isinstance(label := entry.get("label"), str)}
    if labels and not all(label.isdecimal() for label in labels):
        return tuple(sorted(labels))
    return None
