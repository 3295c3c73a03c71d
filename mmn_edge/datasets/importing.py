"""Data sets out of pose estimators' output, in the layout of a model: joints mapped, classes named, splits drawn."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmn_edge.datasets import reading, splits
from mmn_edge.datasets.check import findings
from mmn_edge.datasets.clip import Clip, ClipEntry, check_coordinates, class_index
from mmn_edge.datasets.facts import ClipFacts, facts_of
from mmn_edge.datasets.findings import Finding, grouped
from mmn_edge.datasets.formats import holistic
from mmn_edge.datasets.formats.arrays import load_arrays
from mmn_edge.datasets.formats.folder import LABELS, read_labels
from mmn_edge.datasets.formats.folder import class_names as folder_classes
from mmn_edge.datasets.formats.pose_files import PoseSequence, is_pose_file, read_pose_file
from mmn_edge.errors import DataError, LayoutError, UsageError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.inputs import ModelInputs
from mmn_edge.skeleton.missing import ScoreScale
from mmn_edge.system.files import atomic_file

__all__ = ["ImportedSet", "Inputs", "convert", "open_inputs", "splits_of", "write"]

DEFAULT_SIZE = (640, 480)
"""Width and height in pixels."""


@dataclass(frozen=True)
class _Item:
    """One clip of an input, not read yet; ``label`` is a class name, or an index where no names are known.

    ``source`` is its entry where the input is a data set.
    """

    name: str
    label: str | int
    splits: tuple[str, ...]
    read: Callable[[], PoseSequence]
    source: ClipEntry | None = None
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """What is to be imported: lists, no clips yet.

    Attributes:
        items: The clips.
        class_names: The classes in the order of their indices; None where nobody names them.
        notes: What was left out before any clip was read, in sentences.
    """

    items: tuple[_Item, ...]
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedSet:
    """A data set in one layout.

    Attributes:
        layout: Its name.
        annotations: ``frame_dir``, ``label``, ``total_frames``, ``keypoint (1, T, V, C)`` and ``keypoint_score
            (1, T, V)``, zeros where a joint was not seen; ``time (T,)`` and groups where they are known.
        class_names: The classes, or None.
        splits: The splits of the inputs, or none.
        left_out: Clips in which no joint of the layout was ever seen.
        findings: Clips that are broken, which are left out too, and what is odd about those that are not.
    """

    layout: str
    annotations: tuple[dict[str, Any], ...]
    class_names: tuple[str, ...] | None
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def open_inputs(
    paths: Sequence[Path],
    *,
    size: tuple[int, int] = DEFAULT_SIZE,
    class_names: tuple[str, ...] | None = None,
    scale: ScoreScale | None = None,
) -> Inputs:
    """Find the clips of some inputs and number their classes.

    A single input keeps its classes and their numbers exactly; further inputs add the classes that are new at the end.

    Args:
        paths: Each a ``.npz`` of :mod:`mmn_edge.datasets.formats.holistic`; a folder with ``labels.csv``, or with
        one subfolder a class,
            of clips that :func:`mmn_edge.datasets.formats.pose_files.read_pose_file` reads; or a data set that
            :func:`mmn_edge.datasets.reading.read_clips` reads.
        size: Width and height of the images that fractions refer to.
        class_names: The classes and their numbers; every clip must be of one of them.
        scale: What the scores mean, where the inputs do not say so; of landmarks it is known.

    Raises:
        DataError: An input is none of these, is broken, or has a class that is not among ``class_names``.
    """
    opened = [_open(path, size, scale) for path in paths]
    items = [item for inputs in opened for item in inputs.items]
    if class_names is None:
        named = [inputs.class_names for inputs in opened]
        if any(names is None for names in named) and any(names is not None for names in named):
            without = paths[named.index(None)]
            raise DataError(f"{without} names no classes, and other inputs do: give the order of its classes")
        merged = dict.fromkeys(name for names in named for name in names or ())
        class_names = tuple(merged) if merged else None
    else:
        for item in items:
            if isinstance(item.label, str) and item.label not in class_names:
                raise DataError(f"clip {item.name} is of class {item.label!r}, which is not among the given classes")
            if isinstance(item.label, int) and item.label >= len(class_names):
                raise DataError(f"clip {item.name} has label {item.label}, and {len(class_names)} classes are given")
    taken: set[str] = set()
    for item in items:
        if item.name in taken:
            raise DataError(f"two clips are named {item.name}: rename one of the inputs")
        taken.add(item.name)
    return Inputs(tuple(items), class_names, tuple(note for inputs in opened for note in inputs.notes))


def _open(path: Path, size: tuple[int, int], scale: ScoreScale | None) -> Inputs:
    if path.suffix == ".npz":
        arrays = load_arrays(path)
        if not holistic.is_holistic(arrays):
            raise DataError(
                f'{path} is no file of MediaPipe Holistic landmarks: it needs "pose", "left_hand", "right_hand" and '
                f'"label", and has {", ".join(arrays) or "nothing"}'
            )
        holistic.check(arrays, path)
        known = holistic.class_names(arrays)
        items = [
            _Item(name, known[label] if known else label, (), partial(holistic.sequence, arrays, number, size))
            for number, (name, label) in enumerate(
                zip(holistic.names(arrays, path.stem), arrays["label"].tolist(), strict=True)
            )
        ]
        return Inputs(tuple(items), known)
    if path.is_dir() and (path / LABELS).is_file():
        return _open_labelled(path, scale)
    if path.is_dir() and not reading.splits(path):
        return _open_subfolders(path, scale)
    return _open_data_set(path, scale)


def _open_labelled(path: Path, scale: ScoreScale | None) -> Inputs:
    rows = read_labels(path / LABELS)
    known = folder_classes(path, rows)
    items, lacking = [], []
    for row in rows:
        where = f"{path / LABELS}, line {row.line}"
        if not row.file or not row.label:
            lacking.append((row.file, f"{where} lacks its {'label' if row.file else 'file'}: left out"))
            continue
        items.append(
            _Item(
                f"{path.name}/{row.file}",
                _label(row.label, known, where),
                (row.split,) if row.split else (),
                partial(read_pose_file, path / row.file, scale),
                groups=row.groups,
            )
        )
    if not items:
        raise DataError(lacking[0][1].removesuffix(": left out"))
    return Inputs(tuple(items), known, grouped(lacking))


def _label(label: Any, known: tuple[str, ...] | None, where: str) -> str | int:
    try:
        index = class_index(label, known)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    if known is None:
        return index
    if not 0 <= index < len(known):
        raise DataError(f"{where} has label {index}, and there are {len(known)} classes")
    return known[index]


def _open_subfolders(path: Path, scale: ScoreScale | None) -> Inputs:
    """``path/CLASS/CLIP``: a clip is a file, or a folder of OpenPose's frames."""
    items, skipped = [], []
    classes = sorted(folder.name for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    for name in classes:
        found = [file for file in sorted((path / name).iterdir()) if not file.name.startswith(".")]
        files = [file for file in found if is_pose_file(file)]
        skipped += [f"{path.name}/{name}/{file.name}" for file in found if file not in files]
        items += [
            _Item(f"{path.name}/{name}/{file.name}", name, (), partial(read_pose_file, file, scale)) for file in files
        ]
    if not items:
        raise DataError(
            f"{path} holds no clips: it needs a {LABELS}, or one subfolder a class with .jsonl, .json or .npz files "
            "or folders of OpenPose's frames in it"
        )
    notes = []
    if skipped:
        more = ", ..." if len(skipped) > 10 else ""
        notes.append(f"no clips, and not imported: {len(skipped)} files ({', '.join(skipped[:10])}{more})")
    return Inputs(tuple(items), tuple(classes), tuple(notes))


def _open_data_set(path: Path, scale: ScoreScale | None) -> Inputs:
    source = reading.open_source(path, scale=scale)
    items, broken = [], []
    for entry in source.entries:
        try:
            clip = entry.read()
        except LayoutError:
            raise
        except DataError as error:
            broken.append((entry.name, f"{error}: left out"))
            continue
        label = source.class_names[clip.label] if source.class_names else clip.label
        scores = np.ones(clip.keypoints.shape[:2], np.float32) if clip.scores is None else clip.scores
        sequence = PoseSequence(clip.keypoints, scores, clip.layout, clip.times, clip.placeholders, clip.notes)
        items.append(_Item(entry.name, label, entry.splits, partial(_itself, sequence), entry, entry.groups))
    if broken and not items:
        raise DataError(f"{path} holds no clip that can be used, the first: {broken[0][1]}")
    notes = (*(f"{path}: {note}" for note in source.notes), *grouped(broken))
    return Inputs(tuple(items), source.class_names, notes)


def _itself(sequence: PoseSequence) -> PoseSequence:
    return sequence


def convert(
    inputs: Inputs, target: str, *, source: str | None = None, progress: Callable[[int, int], None] | None = None
) -> ImportedSet:
    """Read the clips and map their joints to a layout.

    Args:
        inputs: What to read.
        target: The layout to map to.
        source: The layout of the inputs, where they do not say it themselves.
        progress: Called after every clip with how many are done and how many there are.

    Raises:
        DataError: A clip is broken, infinite, or has too few coordinates; or none is left.
        LayoutError: A layout is unknown, not named or contradicted, or there is no mapping.
    """
    layout = layouts.get(target)
    annotations, left_out = [], []
    facts: list[ClipFacts] = []
    broken: list[tuple[str, str]] = []
    splits: dict[str, list[str]] = {}
    for number, item in enumerate(inputs.items):
        if progress is not None:
            progress(number, len(inputs.items))
        try:
            sequence = item.read()
            keypoints, scores = _mapped(item.name, sequence, layout, source)
        except LayoutError:
            raise
        except DataError as error:
            broken.append((item.name, f"{error}: left out"))
            continue
        seen = scores > 0
        if not seen.any():
            left_out.append(item.name)
            continue
        label = _index(item.label, inputs.class_names)
        annotations.append(
            {
                "frame_dir": item.name,
                "label": label,
                "total_frames": len(keypoints),
                "keypoint": np.where(seen[..., None], keypoints, np.float32(0))[None],
                "keypoint_score": scores[None],
                **({} if sequence.times is None else {"time": sequence.times}),
                **item.groups,
            }
        )
        hidden = np.where(seen[..., None], keypoints, np.float32(np.nan))
        facts.append(_facts(item, Clip(item.name, label, hidden, target, times=sequence.times, notes=sequence.notes)))
        for split in item.splits:
            splits.setdefault(split, []).append(item.name)
    if progress is not None:
        progress(len(inputs.items), len(inputs.items))
    if not annotations:
        if broken:
            raise DataError(f"no clip can be used, the first: {broken[0][1].removesuffix(': left out')}")
        raise DataError(f"no clip shows a single joint of layout {target}: there is nothing to import")
    listed = {split: tuple(names) for split, names in splits.items()}
    found = (*grouped(broken), *findings(facts))
    return ImportedSet(target, tuple(annotations), inputs.class_names, listed, tuple(left_out), found)


def _facts(item: _Item, clip: Clip) -> ClipFacts:
    entry = ClipEntry(item.name, item.splits, _read_already)
    if item.source is not None:
        entry = replace(item.source, read=_read_already)
    return facts_of(entry, clip)


def _read_already() -> Clip:
    raise AssertionError("a clip is imported once")


def _index(label: str | int, class_names: tuple[str, ...] | None) -> int:
    return label if isinstance(label, int) else (class_names or ()).index(label)


def _mapped(
    name: str, sequence: PoseSequence, target: layouts.Layout, source: str | None
) -> tuple[FloatArray, FloatArray]:
    if sequence.layout is None and source is None:
        raise LayoutError(
            f"clip {name} does not say which layout its {sequence.keypoints.shape[1]} joints are in: name it (--from)"
        )
    if sequence.layout is not None and source not in (None, sequence.layout):
        raise LayoutError(f"clip {name} is in layout {sequence.layout}, and {source} was named")
    keypoints, channels = sequence.keypoints, target.channels
    if keypoints.shape[2] < channels:
        raise DataError(f"clip {name} is 2-D, and layout {target.name} has {channels} coordinates")
    check_coordinates(f"clip {name}", keypoints)
    inputs = ModelInputs(
        sequence.layout or source, target, joints=target.num_joints, channels=channels, bones=target.bones
    )
    try:
        return inputs.seen(keypoints, sequence.scores, f"clip {name}")
    except LayoutError as error:
        raise LayoutError(f"clip {name}: {error}") from None


def splits_of(
    found: ImportedSet,
    plan: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    by: str = "random",
    folds: int | None = None,
) -> dict[str, tuple[str, ...]]:
    """The splits to write: drawn by ``plan``; where None those of the inputs, or train and val; besides, ``all``.

    ``all`` is added where the inputs name no splits and none are asked for.

    Args:
        found: The clips.
        plan: Shares by split.
        seed: Of the random choice.
        by: ``random``; ``order``, the first clips of a class for the first split; or one of
            :data:`mmn_edge.datasets.splits.GROUPS`, of which each goes into one split as a whole.
        folds: Draw so many equal parts instead: ``fold0`` is the first, ``fold0_train`` all others, and so on.

    Raises:
        DataError: A clip does not say what group it is of.
        UsageError: Fewer groups than splits.
    """
    if plan is None and folds is None and found.splits and by == "random":
        return dict(found.splits)
    names = [entry["frame_dir"] for entry in found.annotations]
    labels = [entry["label"] for entry in found.annotations]
    shares = splits.folds(folds) if folds is not None else plan or splits.parse(splits.DEFAULT)
    if by in splits.GROUPS:
        drawn = splits.draw_groups(labels, _groups_of(found, by), shares, seed=seed)
    else:
        drawn = splits.draw(labels, shares, seed=seed, blocks=by == "order")
    listed = {split: tuple(names[index] for index in indices) for split, indices in drawn.items()}
    if folds is not None:
        every = set(names)
        for fold, held_out in list(listed.items()):
            rest = every.difference(held_out)
            listed[f"{fold}_train"] = tuple(name for name in names if name in rest)
        return listed
    return {"all": tuple(names), **listed} if plan is None else listed


def _groups_of(found: ImportedSet, by: str) -> list[str]:
    lacking = [entry["frame_dir"] for entry in found.annotations if by not in entry]
    if lacking:
        raise DataError(
            f"{len(lacking)} of {len(found.annotations)} clips do not say their {by}, such as {lacking[0]}: give "
            f"labels.csv a column {by}, or choose another --split-by"
        )
    return [entry[by] for entry in found.annotations]


def write(found: ImportedSet, splits: Mapping[str, Sequence[str]], path: Path, *, force: bool = False) -> None:
    """Write an annotation pickle that :func:`mmn_edge.datasets.reading.read_clips` and PYSKL read.

    Raises:
        UsageError: The file is there, and ``force`` is not set.
    """
    if path.exists() and not force:
        raise UsageError(f"{path} exists and was left alone: name another file with -o, or replace it with --force")
    content: dict[str, Any] = {"layout": found.layout, "split": {s: list(names) for s, names in splits.items()}}
    if found.class_names is not None:
        content["class_names"] = list(found.class_names)
    content["annotations"] = list(found.annotations)
    with atomic_file(path) as partial_path, partial_path.open("wb") as file:
        pickle.dump(content, file, protocol=4)
