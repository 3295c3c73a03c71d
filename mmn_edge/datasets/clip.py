"""What every format of a data set comes down to: entries that are read one by one, each of which may be broken.

:func:`mmn_edge.datasets.reading.read_clips` stops at the first broken entry; :mod:`mmn_edge.datasets.check` lists
them all.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.errors import DataError, LayoutError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.continuity import longest_seen
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.missing import ScoreScale, hide_unseen, split_confidence, unit_scores
from mmn_edge.system.words import some

__all__ = [
    "FARTHEST",
    "Clip",
    "ClipEntry",
    "ClipSource",
    "are_withheld",
    "check_coordinates",
    "class_index",
    "frame_times",
    "is_trained_on",
    "is_withheld",
    "make_clip",
    "withheld_note",
]

FARTHEST = 1e7
"""No coordinate lies farther out, in pixels, millimetres or any other unit of a body before a camera."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled clip.

    Attributes:
        name: The data set's name for it (``frame_dir``).
        label: Class index.
        keypoints: Float32 ``(T, V, C)`` of the person that it follows; NaN where a joint was not seen.
        layout: Name of the skeleton layout where the data set says it.
        scores: Float32 ``(T, V)``, confidence from 0 to 1; 0 where a joint was not seen. None: 1 for every one seen.
        times: Seconds of each frame, float64 ``(T,)``, where the data set says them.
        placeholders: How many joints were taken for not seen because they lay exactly at the origin, or at -1 -1.
        notes: What is odd about whom it shows, in sentences without a full stop.
    """

    name: str
    label: int
    keypoints: FloatArray
    layout: str | None = None
    scores: FloatArray | None = None
    times: npt.NDArray[np.float64] | None = None
    placeholders: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """One clip of a data set, not read yet.

    Attributes:
        name: The data set's name for it; the place, such as ``labels.csv, line 7``, where it has none.
        splits: The splits that hold it.
        read: Reads and validates it; raises :class:`DataError` with the file, the clip and what is wrong.
        frames: How many frames the data set says that it has (``total_frames``), where it says so; those beyond it are
            padding and not used, as in PYSKL and MMAction2.
        stored: The shape of its keypoints as they are stored, where that is known before it is read.
        empty_padding: Whether all that lies beyond ``frames`` is at exactly the origin.
        groups: The recording, person and session that it comes from, where the data set says so.
    """

    name: str
    splits: tuple[str, ...]
    read: Callable[[], Clip]
    frames: int | None = None
    stored: tuple[int, ...] | None = None
    empty_padding: bool = False
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClipSource:
    """A data set that was opened: its lists are read, its clips are not.

    Attributes:
        path: Where it is.
        kind: Its format in words.
        entries: The clips in the data set's order.
        splits: For every split the names of the clips that it lists, also of those that are absent.
        class_names: Names of the classes where the data set holds them.
        notes: What is odd about its lists and stops nobody.
        withheld: Splits whose clips have no labels, and are not among the others.
    """

    path: Path
    kind: str
    entries: tuple[ClipEntry, ...]
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()

    def of_split(self, split: str | None) -> tuple[ClipEntry, ...]:
        """The entries of one split; all where None.

        Raises:
            DataError: There is no such split, or it has no labels.
        """
        if split is None:
            return self.entries
        if split in self.withheld:
            raise DataError(f"{self.path}: {withheld_note(split)}, with mmn-edge evaluate --submission")
        if split not in self.splits:
            raise DataError(f"{self.path} has no split {split!r}: it has {', '.join(self.splits) or 'none'}")
        return tuple(entry for entry in self.entries if split in entry.splits)

    def absent(self, split: str) -> tuple[str, ...]:
        """Names that a split lists and that no entry has."""
        present = {entry.name for entry in self.entries if split in entry.splits}
        return tuple(name for name in self.splits[split] if name not in present)


def class_index(label: Any, class_names: tuple[str, ...] | None) -> int:
    """The class index that a label stands for: a whole number, one in text, or the name of a class.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(label, str):
        if class_names is not None and label in class_names:
            return class_names.index(label)
        text = label.strip()
        if not text.lstrip("-").isdecimal():
            known = f"the classes are {some(class_names)}" if class_names else "no classes are named"
            raise ValueError(f"{label!r} is no class: {known}")
        return int(text)
    if isinstance(label, bool | np.bool_):
        raise ValueError(f"{label} is no label")  # noqa: TRY004 - one kind of error for all labels
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return int(label)
    try:
        return operator.index(label)
    except TypeError:
        raise ValueError(f"{label!r} is no label") from None


def is_withheld(label: object) -> bool:
    """Whether a label says nothing, as in a split that is only submitted: absent or negative."""
    return label is None or (isinstance(label, int | np.integer) and bool(label < 0))


def is_trained_on(split: str) -> bool:
    """Whether a split is one to train on by its name, such as ``train`` or ``xsub_train``."""
    return re.search(r"(^|[\W_])train", split, re.IGNORECASE) is not None


def are_withheld(labels: Sequence[object]) -> bool:
    """Whether a split with these labels is one that is only submitted: most of them say nothing."""
    return 2 * sum(map(is_withheld, labels)) > len(labels) or not labels


def withheld_note(split: str) -> str:
    """What is said of a split without labels."""
    return f"the labels of split {split} are not here: its clips can only be submitted"


def make_clip(
    where: str,
    name: str,
    label: Any,
    keypoints: Any,
    scores: Any = None,
    *,
    class_names: tuple[str, ...] | None = None,
    layout: str | None = None,
    frames: int | None = None,
    scale: ScoreScale | None = None,
    times: Any = None,
    placeholders: int = 0,
    notes: tuple[str, ...] = (),
) -> Clip:
    """Validate what a data set says of one clip.

    Args:
        where: How errors name the place: the file and the clip.
        name: The clip's name.
        label: A class index or name.
        keypoints: Array-like ``(M, T, V, C)``, C 2 or 3, NaN for a joint not seen; who is taken of several persons says
            :func:`mmn_edge.skeleton.continuity.longest_seen`. In a layout that is 2-D a third number is the confidence.
        scores: Array-like ``(M, T, V)``, 0 for a joint not seen; or None.
        class_names: The classes, where they are known.
        layout: The layout of the keypoints, where it is known.
        frames: How many of the frames are the clip's (``total_frames``); the rest is padding. None: all.
        scale: What the scores mean, where that is declared.
        times: Array-like ``(T,)``, seconds of each frame; or None.
        placeholders: Of a clip whose unseen joints are hidden already: how many of them lay at the origin or at -1 -1.
        notes: What is odd about whom it shows, as far as that is known before.

    Raises:
        DataError: The label is no class; wrong shapes; no frames; coordinates beyond any unit; scores that are none;
            time stamps that are none; nothing was ever seen.
        LayoutError: The layout is unknown, or has another number of joints.
    """
    points = _numbers(where, "keypoint", "(M, T, V, C)", keypoints)
    if points.ndim != 4 or 0 in points.shape or points.shape[3] not in (2, 3):
        raise DataError(
            f"{where} has keypoints of shape {points.shape}: they must be (M, T, V, C), persons, frames, joints and "
            "2 or 3 coordinates, none of them 0"
        )
    if frames is not None and frames < 1:
        raise DataError(f'{where} has "total_frames" {frames}: a clip has at least one frame')
    confidence = None
    if scores is not None:
        confidence = _numbers(where, "keypoint_score", "(M, T, V)", scores)
        if confidence.shape != points.shape[:3]:
            raise DataError(
                f"{where} has scores of another shape than its keypoints: {confidence.shape}, and the keypoints are "
                f"(M, T, V, C) = {points.shape}"
            )
        confidence = confidence[:, :frames]
    known = frame_times(where, times, points.shape[1])
    points = points[:, :frames]
    person, others = longest_seen(points, confidence)
    points = points[person]
    first = np.ones(points.shape[:-1], np.float32)
    if confidence is not None:
        first = unit_scores(confidence[person], where, scale)
        points = np.where((first > 0)[..., None], points, np.float32(np.nan))
    check_coordinates(where, points)
    _check_somebody(where, points)
    if layout is not None:
        _check_layout(where, layout, points.shape[1])
        if points.shape[2] > layouts.get(layout).channels:
            points, first = split_confidence(points, first, where)
    hidden, seen, count = hide_unseen(points, first)
    if not seen.any():
        raise DataError(
            f"{where} holds no joint that was ever seen: remove it ('mmn-edge data check' lists all such clips)"
        )
    index = _check_label(where, label, class_names)
    known = None if known is None else known[:frames]
    return Clip(name, index, hidden, layout, seen, known, placeholders + count, (*notes, *others))


def frame_times(where: str, values: Any, frames: int) -> npt.NDArray[np.float64] | None:
    """The time stamps of a clip's frames, ``(T,)`` in seconds; None where there are none.

    Raises:
        DataError: They are no numbers, not one a frame, or run backwards.
    """
    if values is None:
        return None
    times = np.asarray(values)
    if times.dtype.kind not in "iuf" or times.shape != (frames,):
        raise DataError(f'{where} needs as "time" one number of seconds for each of its {frames} frames')
    times = times.astype(np.float64)
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise DataError(f'{where} has a "time" that is not finite or runs backwards: it must be seconds, rising')
    return times


def check_coordinates(where: str, keypoints: FloatArray) -> None:
    """Refuse coordinates that no unit has: infinite ones, and numbers such as 1e30 where something was divided by 0.

    Args:
        where: How the error names the place.
        keypoints: ``(T, V, C)``, NaN for a joint not seen.

    Raises:
        DataError: The first of them.
    """
    with np.errstate(invalid="ignore"):
        wild = np.argwhere(np.abs(keypoints) > FARTHEST)
    if len(wild):
        frame, joint, axis = wild[0]
        value = float(keypoints[frame, joint, axis])
        what = "is infinite" if np.isinf(value) else f"has a coordinate of {value:.3g}"
        raise DataError(
            f"{where} {what} in frame {frame}, joint {joint}: a joint that was not seen is NaN, or has score 0"
        )


def _check_somebody(where: str, points: FloatArray) -> None:
    """Refuse a person whose every keypoint is at the origin: an empty place among the persons."""
    if np.isfinite(points).any() and not np.nan_to_num(points).any():
        raise DataError(
            f"{where} shows nobody: every keypoint is at the origin in every frame; remove it ('mmn-edge data check' "
            "lists all such clips)"
        )


def _numbers(where: str, key: str, shape: str, values: Any) -> npt.NDArray[np.float32]:
    try:
        array = np.asarray(values)
        if array.dtype.kind not in ("biuf" if key == "keypoint_score" else "iuf"):
            raise TypeError(f"{array.dtype} is no number")
        with np.errstate(over="ignore"):  # becomes infinite, which is refused
            return array.astype(np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f'{where} needs "{key}", numbers of shape {shape} ({error})') from error


def _check_label(where: str, label: Any, class_names: tuple[str, ...] | None) -> int:
    try:
        index = class_index(label, class_names)
    except ValueError as error:
        raise DataError(f"{where} needs a label: a class index from 0, or the name of a class ({error})") from None
    if index < 0 or (class_names is not None and index >= len(class_names)):
        known = f", and there are {len(class_names)} classes" if class_names is not None else ""
        raise DataError(f"{where} has label {index}{known}: labels are counted from 0")
    return index


def _check_layout(where: str, layout: str, joints: int) -> None:
    try:
        wanted = layouts.get(layout).num_joints
    except LayoutError as error:
        raise LayoutError(f"{where}: {error}") from None
    if wanted != joints:
        raise LayoutError(f"{where} has {joints} joints, and its layout {layout} has {wanted}")
