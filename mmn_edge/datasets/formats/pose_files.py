"""One clip in one file or folder: our recordings, arrays, and what OpenPose and AlphaPose write.

Sources: OpenPose, doc/02_output.md (https://github.com/CMU-Perceptual-Computing-Lab/openpose); AlphaPose,
docs/output.md (https://github.com/MVIG-SJTU/AlphaPose). ``docs/reference/data-formats.md`` shows each format.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.clip import frame_times
from mmn_edge.datasets.formats.arrays import load_arrays
from mmn_edge.errors import DataError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.continuity import Sighting, follow, longest_seen
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.missing import HEATMAP, ScoreScale, check_score_names, hide_unseen, split_confidence, unit_scores
from mmn_edge.skeleton.recording import as_float32, read_frames

__all__ = ["OPENPOSE_FRAMES", "PoseSequence", "is_pose_file", "observed", "read_pose_file"]

OPENPOSE_FRAMES = "*_keypoints.json"

# The arrays of a person in OpenPose's JSON, in the order of the layout.
_OPENPOSE_PARTS = (
    ("pose_keypoints_2d", 25),
    ("face_keypoints_2d", 70),
    ("hand_left_keypoints_2d", 21),
    ("hand_right_keypoints_2d", 21),
)

_ALPHAPOSE_LAYOUTS = {133: "coco-wholebody133", 136: "halpe136"}


@dataclass(frozen=True)
class PoseSequence:
    """One person through one clip.

    Attributes:
        keypoints: Float32 ``(T, V, C)``; NaN where a joint was not seen.
        scores: Float32 ``(T, V)``, from 0 to 1; 0 where a joint was not seen.
        layout: Name of the layout, where the file says it or its form does.
        times: Seconds of each frame, float64 ``(T,)``, where the file says them.
        placeholders: How many joints were taken for not seen because they lay exactly at the origin, or at -1 -1.
        notes: What is odd about whom it shows, in sentences without a full stop.
    """

    keypoints: FloatArray
    scores: FloatArray
    layout: str | None
    times: npt.NDArray[np.float64] | None = None
    placeholders: int = 0
    notes: tuple[str, ...] = ()


def is_pose_file(path: Path) -> bool:
    """Whether :func:`read_pose_file` has a reader for it, by its name."""
    if path.is_dir():
        return next(path.glob(OPENPOSE_FRAMES), None) is not None
    return _suffix(path) in (".npz", ".jsonl", ".jsonl.gz", ".json") and path.is_file()


def read_pose_file(path: Path, scale: ScoreScale | None = None) -> PoseSequence:
    """Read the clip of one person: the one whom :func:`mmn_edge.skeleton.continuity.follow` chooses.

    Args:
        path: A recording ``.jsonl`` or ``.jsonl.gz``; a ``.npz`` with ``keypoints`` ``(T, V, C)`` or ``(M, T, V, C)``,
            and optional ``scores``, ``score_scale`` and ``layout``; a folder of OpenPose's ``*_keypoints.json``; or a
            ``.json`` of AlphaPose.
        scale: What the scores mean, where the file does not say so; recordings say it themselves.

    Raises:
        DataError: The file is missing, broken, holds nobody, or the frames of several videos.
        LayoutError: A recording's layout is unknown.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.is_dir():
        return _read_openpose(path, scale)
    suffix = _suffix(path)
    if suffix in (".jsonl", ".jsonl.gz"):
        return _read_recording(path)
    if suffix not in (".npz", ".json"):
        raise DataError(
            f"{path} is no clip: it must be a .npz, .jsonl, .jsonl.gz or .json file, or a folder of OpenPose's frames"
        )
    return _read_arrays(path, scale) if suffix == ".npz" else _read_alphapose(path, scale)


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


def _read_arrays(path: Path, scale: ScoreScale | None) -> PoseSequence:
    arrays = load_arrays(path)
    if "keypoints" not in arrays:
        raise DataError(f'{path} has no array "keypoints": it has {", ".join(arrays) or "none"}')
    check_score_names(arrays, "scores", str(path))
    keypoints, scores = arrays["keypoints"], arrays.get("scores")
    if keypoints.dtype.kind not in "iuf" or keypoints.ndim not in (3, 4) or 0 in keypoints.shape:
        raise DataError(
            f'{path}: "keypoints" must be numbers of shape (T, V, C) or (M, T, V, C), none of them 0, not '
            f"{keypoints.dtype} of shape {keypoints.shape}"
        )
    layout = arrays.get("layout")
    if layout is not None and (layout.size != 1 or layout.dtype.kind != "U"):
        raise DataError(f'{path}: "layout" must be the name of a skeleton layout')
    if scores is not None and (scores.dtype.kind not in "biuf" or scores.shape != keypoints.shape[:-1]):
        raise DataError(
            f'{path}: "scores" must be numbers of shape {keypoints.shape[:-1]}, not {scores.dtype} of shape '
            f"{scores.shape}"
        )
    keypoints = keypoints.astype(np.float32)
    notes: tuple[str, ...] = ()
    if keypoints.ndim == 4:
        person, notes = longest_seen(keypoints, scores)
        keypoints, scores = keypoints[person], None if scores is None else scores[person]
    if "score_scale" in arrays:
        full = arrays["score_scale"]
        scale = ScoreScale.declared(full.item() if full.size == 1 else full.tolist(), str(path))
    if scores is None:
        scores = np.ones(keypoints.shape[:-1], np.float32)
    named = None if layout is None else str(layout.item())
    times = frame_times(str(path), arrays.get("time"), len(keypoints))
    return observed(str(path), keypoints, scores, named, scale=scale, times=times, notes=notes)


def _read_recording(path: Path) -> PoseSequence:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            frames = list(read_frames(file, origin=str(path)))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}): a recording is JSON, one frame a line") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is no whole file of gzip ({error})") from error
    ids = [person.id for frame in frames for person in frame.persons]
    if not ids:
        raise DataError(f"{path} holds nobody: it has {len(frames)} frames and no person in them")
    names = sorted({frame.layout for frame in frames})
    if len(names) > 1:
        raise DataError(f"{path} mixes the layouts {' and '.join(names)}: a clip has one")
    shapes = {person.keypoints.shape for frame in frames for person in frame.persons}
    if len(shapes) > 1:
        raise DataError(f"{path} mixes 2-D and 3-D keypoints: a clip has one kind")
    persons = [
        _Person.of(number, person.keypoints, person.scores, person.id)
        for number, frame in enumerate(frames)
        for person in frame.persons
    ]
    times = np.array([frame.time for frame in frames], np.float64)
    keypoints, scores, notes = _followed(persons, shapes.pop(), len(frames), times.tolist())
    return observed(str(path), keypoints, scores, names[0], times=times, notes=notes)


def _read_openpose(path: Path, scale: ScoreScale | None) -> PoseSequence:
    files = sorted(path.glob(OPENPOSE_FRAMES), key=lambda file: _natural(file.name))
    if not files:
        raise DataError(f"{path} holds no {OPENPOSE_FRAMES}, OpenPose's file of one frame")
    places = _frame_numbers(path, {file.name.removesuffix(OPENPOSE_FRAMES[1:]) for file in files})
    seen = []
    for file in files:
        values = _load_json(file)
        people = values.get("people") if isinstance(values, dict) else None
        if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
            raise DataError(f'{file} is no output of OpenPose: it needs a list of "people"')
        frame = places[file.name.removesuffix(OPENPOSE_FRAMES[1:])]
        for person in people:
            triples = _openpose_person(person, file)
            seen.append(_Person.of(frame, triples[:, :2], triples[:, 2], _openpose_id(person)))
    joints = sum(count for _, count in _OPENPOSE_PARTS)
    keypoints, scores, notes = _followed(seen, (joints, 2), 1 + max(places.values()))
    return observed(str(path), keypoints, scores, "openpose", scale=scale or HEATMAP, notes=notes)


def _openpose_person(person: dict[str, Any], file: Path) -> FloatArray:
    triples = np.zeros((sum(count for _, count in _OPENPOSE_PARTS), 3), np.float32)
    if not any(part in person for part, _ in _OPENPOSE_PARTS):
        wanted = ", ".join(part for part, _ in _OPENPOSE_PARTS)
        there = ", ".join(repr(str(name)[:30]) for name in sorted(person, key=str)[:5])
        raise DataError(f"{file} is of another OpenPose: a person has none of {wanted}, but {there or 'nothing'}")
    start = 0
    for part, count in _OPENPOSE_PARTS:
        if numbers := person.get(part):  # an empty list: this part was not looked for
            triples[start : start + count] = _triples(numbers, count, f'{file}: "{part}"')
        start += count
    return triples


def _openpose_id(person: dict[str, Any]) -> str | None:
    """``person_id`` is ``[3]``, and ``[-1]`` where nobody was tracked."""
    identity = person.get("person_id")
    if isinstance(identity, list) and len(identity) == 1:
        (identity,) = identity
    return None if identity in (None, [], -1) else str(identity)


def _read_alphapose(path: Path, scale: ScoreScale | None) -> PoseSequence:
    values = _load_json(path)
    if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
        raise DataError(f"{path} is no output of AlphaPose: it must be a list of persons")
    if not values:
        raise DataError(f"{path} holds nobody: its list of persons is empty")
    if not all(isinstance(v.get("keypoints"), list) and "image_id" in v for v in values):
        raise DataError(f'{path} is no output of AlphaPose: each person needs "image_id" and "keypoints"')
    joints = len(values[0]["keypoints"]) // 3
    if joints not in _ALPHAPOSE_LAYOUTS:
        raise DataError(
            f"{path} has {joints} keypoints a person: the whole body is needed, "
            f"{' or '.join(f'{count} ({name})' for count, name in _ALPHAPOSE_LAYOUTS.items())}"
        )
    places = _frame_numbers(path, {str(v["image_id"]) for v in values})
    seen = []
    for v in values:
        triples = _triples(v["keypoints"], joints, f"{path}: image {v['image_id']}")
        score = v.get("score")
        sureness = float(score) if isinstance(score, int | float) else None
        identity = None if v.get("idx") is None else str(v["idx"])
        seen.append(_Person.of(places[str(v["image_id"])], triples[:, :2], triples[:, 2], identity, sureness))
    keypoints, scores, notes = _followed(seen, (joints, 2), 1 + max(places.values()))
    return observed(str(path), keypoints, scores, _ALPHAPOSE_LAYOUTS[joints], scale=scale or HEATMAP, notes=notes)


@dataclass(frozen=True)
class _Person(Sighting):
    """One person in one frame of a file; ``points (V, C)`` and ``scores (V,)`` as they are written."""

    points: FloatArray = field(kw_only=True)
    scores: FloatArray = field(kw_only=True)

    @classmethod
    def of(
        cls,
        frame: int,
        points: FloatArray,
        scores: FloatArray,
        identity: Hashable | None,
        sureness: float | None = None,
    ) -> _Person:
        """A person; as sure as its joints are on average where nobody says how sure."""
        hidden, _, _ = hide_unseen(points, scores)
        sure = float(scores.mean()) if sureness is None else sureness
        return cls(frame, hidden, sure, identity, points=points, scores=scores)


def _followed(
    persons: Sequence[_Person], shape: tuple[int, ...], length: int, times: Sequence[float] | None = None
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """Keypoints ``(T, V, C)`` and scores ``(T, V)`` of the person whom a clip follows, and what is to be said of it."""
    found = follow(persons, times)
    keypoints, scores = np.full((length, *shape), np.nan, np.float32), np.zeros((length, shape[0]), np.float32)
    for person in found.sightings:
        keypoints[person.frame], scores[person.frame] = person.points, person.scores
    if not found.crowded or found.tracked:
        return keypoints, scores, ()
    note = (
        f"several persons in {found.crowded} of {length} frames and no ids that keep to one, so the nearest from frame "
        "to frame was followed"
    )
    return keypoints, scores, (note,)


def _frame_numbers(path: Path, names: set[str]) -> dict[str, int]:
    """Names of images to frame numbers from 0; numbered images keep the gaps where nobody was seen.

    Raises:
        DataError: They are of several videos: names with several numbers each before different last numbers.
    """
    order = sorted(names, key=_natural)
    found = [re.fullmatch(r"(.*?)(\d+(?:\.\d+)?)(\D*)", Path(name).stem) for name in order]
    if all(match and match[2].isdecimal() for match in found):  # 12.033 is a time
        videos = Counter((str(Path(name).parent), match[1]) for name, match in zip(order, found, strict=True) if match)
        if len(videos) > 1 and max(videos.values()) > 1:
            named = " and ".join(repr(str(Path(folder) / stem)) for folder, stem in list(videos)[:3])
            raise DataError(
                f"{path} holds frames of {len(videos)} videos, whose names begin with {named}: a clip is of one video, "
                "so give each its own"
            )
        last = [int(match[2]) for match in found if match]
        step = math.gcd(*(b - a for a, b in itertools.pairwise(last)))
        span = 1 + (last[-1] - last[0]) // step if step else 1
        # Beyond that the numbers are no frame count: time stamps, or names of other origin.
        if len(set(last)) == len(last) and min(last) == last[0] and span <= 10 * len(last):
            return {name: (number - last[0]) // (step or 1) for name, number in zip(order, last, strict=True)}
    return {name: number for number, name in enumerate(order)}


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name)]


def _triples(values: Sequence[Any], count: int, where: str) -> FloatArray:
    """``[x, y, score] * count`` as ``(count, 3)``."""
    try:
        if not isinstance(values, list) or len(values) != 3 * count:
            raise ValueError(f"{len(values)} came" if isinstance(values, list) else "no list came")
        array = as_float32(values)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where} must hold {3 * count} numbers, x, y and score of {count} joints ({error})") from error
    return array.reshape(count, 3)


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error})") from error


def observed(
    where: str,
    keypoints: FloatArray,
    scores: FloatArray,
    layout: str | None,
    *,
    scale: ScoreScale | None = None,
    times: npt.NDArray[np.float64] | None = None,
    notes: tuple[str, ...] = (),
) -> PoseSequence:
    """What was seen of one person, by the one rule of :mod:`mmn_edge.skeleton.missing`.

    Infinite coordinates of joints with a score stay, and are refused where the clip is made.

    Args:
        where: Begins the message of an error.
        keypoints: ``(T, V, C)``.
        scores: ``(T, V)`` as the estimator gives them.
        layout: Name of the layout, where it is known.
        scale: What the scores mean, where that is declared.
        times: Seconds of each frame, where they are known.
        notes: What is odd about whom it shows.

    Raises:
        DataError: Scores that are none, or other joints than the layout's.
    """
    if layout is not None and (known := layouts.get(layout)).num_joints != keypoints.shape[1]:
        raise DataError(
            f"keypoints of {keypoints.shape[1]} joints are said to be in {layout}, which has {known.num_joints}"
        )
    scores = unit_scores(scores, where, scale)
    if layout is not None and keypoints.shape[2] > layouts.get(layout).channels:
        keypoints, scores = split_confidence(keypoints, scores, where)
    infinite = np.isinf(keypoints).any(axis=-1) & (scores > 0)
    hidden, seen, placeholders = hide_unseen(keypoints, scores)
    hidden[infinite] = keypoints[infinite]
    return PoseSequence(hidden, seen, layout, times, placeholders, notes)
