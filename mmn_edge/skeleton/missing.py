"""Which joints were seen, and what stands in for those that were not: the one rule for data sets and live streams.

A joint was seen if its coordinates are finite, its score is at least :data:`MIN_SCORE`, and it lies at no place that
estimators write for a joint that they did not find: exactly the origin, or -1 -1.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.errors import DataError
from mmn_edge.skeleton.frame import FloatArray

__all__ = [
    "ENOUGH_SEEN",
    "HEATMAP",
    "MIN_SCORE",
    "ScoreScale",
    "check_score_names",
    "fill_missing",
    "hide_unseen",
    "seen_joints",
    "share_seen",
    "split_confidence",
    "unit_scores",
]

MIN_SCORE = 0.2
"""What a pose estimator's score, from 0 to 1, must reach for a joint to count as seen.

Estimators also score what they only guess: MediaPipe gives a seated person before a webcam legs far below the image,
with a visibility of 0.00, where they would change the extent of the body, and so every normalised coordinate.
"""

ENOUGH_SEEN = 0.25
"""Share of a window's joints that must have been seen for an answer, where a bundle says nothing else.

COCO-17 shows half of MA-52's joints, and its upper body without one arm 27 %. On 260 synthetic clips the demo's model
was wrong with a probability of at least 0.5 on 5 and 2 % of them, and from face and shoulders alone (20 %) on 44 %.
"""

MAX_SCALE = 1e30
"""What scores are divided by at most."""

SLACK = 1e-3
"""How far beyond 1 a score may be that was rounded."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """What an estimator's scores mean, declared by a file or by the reader of an estimator's format.

    Attributes:
        full: The score of a joint that the estimator is sure of. Larger ones count as much.
        most: A larger number is no score of this estimator's.
    """

    full: float = 1.0
    most: float = 1.0

    @classmethod
    def declared(cls, full: object, where: str) -> ScoreScale:
        """What a file declares as its ``score_scale``; raises DataError where that is no positive number."""
        if isinstance(full, bool) or not isinstance(full, int | float | np.number) or not 0 < full <= MAX_SCALE:
            raise DataError(
                f'{where}: "score_scale" is what scores are divided by, a positive number, not {reprlib.repr(full)}'
            )
        return cls(float(full), math.inf)


_SCORES = re.compile(r"((key)?points?|joints?|kpts?|pose)?_?(scores?|conf(idences?)?|visib(le|ility))")


def check_score_names(values: Mapping[Any, Any], read: str, where: str) -> None:
    """Refuse scores of joints that stand under another name than the one that is read: joints all count as seen then.

    A single number is no joint's score: detectors give one a person.

    Args:
        values: What a file says, by name.
        read: The name that scores are read from.
        where: Begins the error's message.

    Raises:
        DataError: There are such, and none under that name.
    """
    if read in values:
        return
    for name, value in values.items():
        if isinstance(name, str) and _SCORES.fullmatch(name.lower()) and np.ndim(value):
            raise DataError(f'{where} has {_short(name)}, and scores of joints are read from "{read}": rename it')


def _short(name: str) -> str:
    return f'"{name[:40]}"'


CONFIDENCE = ScoreScale()
HEATMAP = ScoreScale(1.0, 1.5)
"""Of peaks of heatmaps, as OpenPose and AlphaPose give them: they overshoot a little."""


def unit_scores(scores: npt.ArrayLike, where: str, scale: ScoreScale | None = None) -> FloatArray:
    """Scores of any shape as confidences from 0 to 1, float32; NaN and negative ones become 0.

    Args:
        scores: Numbers.
        where: Begins the error's message.
        scale: What they mean; None means that nobody declared it, and then they must be confidences already.

    Raises:
        DataError: A score is infinite, or larger than its scale allows.
    """
    scale = scale or CONFIDENCE
    values = np.asarray(scores, dtype=np.float32)
    top = float(np.max(values, initial=0, where=~np.isnan(values)))
    if top > scale.most * (1 + SLACK) or top == math.inf:
        raise DataError(
            f"{where} has scores up to {top:g}, and a score is a confidence from 0 to {scale.most:g}: divide per cent "
            'by 100; for an estimator whose scores exceed 1 by right, name the score that means 1 as "score_scale" '
            "(--score-scale of mmn-edge data import)"
        )
    unit: FloatArray = np.nan_to_num(values / np.float32(scale.full), nan=0.0).clip(0, 1)
    return unit


def split_confidence(keypoints: FloatArray, scores: FloatArray, where: str) -> tuple[FloatArray, FloatArray]:
    """Triples of a layout that is 2-D, whose third number is the confidence, as keypoints and scores.

    Args:
        keypoints: ``(..., V, 3)``, NaN for a joint not seen.
        scores: ``(..., V)`` that came besides; only 0 and 1 for seen and not seen go with triples.
        where: Begins the error's message.

    Returns:
        Keypoints ``(..., V, 2)`` and scores ``(..., V)``.

    Raises:
        DataError: The third number cannot be a confidence, or there are two.
    """
    third = np.where(_placeholders(keypoints[..., :2]), np.float32(0), keypoints[..., 2])
    if np.any((third < 0) | (third > 1 + SLACK)):
        raise DataError(
            f"{where} has three numbers a keypoint in a layout of two coordinates: the third is read as the "
            f"confidence, from 0 to 1, and runs from {np.nanmin(third):g} to {np.nanmax(third):g}. Leave it out where "
            "it is none"
        )
    confidence = np.nan_to_num(third, nan=0.0).clip(0, 1)
    if not np.isin(scores, (0, 1)).all():
        raise DataError(
            f"{where} has scores, and three numbers a keypoint in a layout of two coordinates, the third of which is "
            "read as the confidence: leave one of the two out"
        )
    return keypoints[..., :2], np.where(scores > 0, confidence, np.float32(0)).astype(np.float32)


def seen_joints(keypoints: FloatArray, scores: FloatArray | None = None) -> BoolArray:
    """Which joints were seen, ``(..., V)``.

    Args:
        keypoints: ``(..., V, C)``. In 2-D a joint exactly at the origin was not seen; in 3-D, where the origin can be
            a joint's place, two or more of one frame were not.
        scores: ``(..., V)``, from 0 to 1; None where there are none.
    """
    seen: BoolArray = np.isfinite(keypoints).all(axis=-1)
    if scores is not None:
        seen &= scores >= MIN_SCORE
    return seen & ~_placeholders(keypoints)


def _placeholders(keypoints: FloatArray) -> BoolArray:
    """Which joints lie where estimators put those that they did not find, ``(..., V)``."""
    origin = (keypoints == 0).all(axis=-1)
    if keypoints.shape[-1] > 2:
        origin &= origin.sum(axis=-1, keepdims=True) > 1
    found: BoolArray = origin | (keypoints[..., :2] == -1).all(axis=-1)
    return found


def hide_unseen(keypoints: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """NaN and score 0 for every joint that was not seen.

    Args:
        keypoints: ``(..., V, C)``.
        scores: ``(..., V)``, from 0 to 1.

    Returns:
        Both, float32, and how many joints with a good score lay at the origin or at -1 -1.
    """
    seen = seen_joints(keypoints, scores)
    placeholders = int((_placeholders(keypoints) & (scores >= MIN_SCORE)).sum())
    hidden = np.where(seen[..., None], keypoints, np.float32(np.nan)).astype(np.float32)
    return hidden, np.where(seen, scores, np.float32(0)).astype(np.float32), placeholders


def share_seen(keypoints: FloatArray) -> float:
    """The share of joints and frames of ``(..., V, C)`` that were seen, those that were not being NaN."""
    return float(np.isfinite(keypoints).all(axis=-1).mean())


def fill_missing(keypoints: FloatArray, bones: Sequence[tuple[int, int]]) -> FloatArray:
    """Replace NaN keypoints of a clip ``(T, V, C)`` so that every value is finite.

    A joint seen in part of the clip keeps its place relative to the nearest joint along the ``bones`` that was seen
    more often, such as a fingertip to its wrist: the offset is interpolated between the frames where the joint was
    seen, and held before and after. Where there is no such joint, the position itself is. A joint never seen takes the
    place of the nearest joint that was. A clip in which no joint was ever seen becomes zeros.
    """
    missing = ~np.isfinite(keypoints).all(axis=-1)
    if not missing.any():
        return keypoints
    counts = missing.sum(axis=0)
    gone = counts == len(missing)
    if gone.all():
        return np.zeros_like(keypoints)
    filled = keypoints.copy()
    apart = _hops(tuple(map(tuple, bones)), keypoints.shape[1])
    before, after, weight = _neighbours(missing)
    reach = np.where(counts < counts[:, None], apart, _FAR)  # only what was seen more often holds a joint
    anchor, held = reach.argmin(axis=1), reach.min(axis=1) < _FAR
    partly = (counts > 0) & ~gone
    while partly.any():
        # What a joint is held to comes first. Each round fills all joints whose anchor needs nothing any more.
        ready = np.flatnonzero(partly & ~(held & partly[anchor]))
        offset = np.where(held[ready, None], filled[:, anchor[ready]], np.float32(0))
        relative = np.where(missing[:, ready, None], np.float32(0), keypoints[:, ready] - offset)
        first = np.take_along_axis(relative, before[:, ready, None], axis=0)
        last = np.take_along_axis(relative, after[:, ready, None], axis=0)
        between = first + (last - first) * weight[:, ready, None] + offset
        filled[:, ready] = np.where(missing[:, ready, None], between, keypoints[:, ready])
        partly[ready] = False
    if gone.any():
        nearest = np.where(gone, _FAR, apart[gone])
        any_seen = np.flatnonzero(~gone)[0]
        filled[:, gone] = filled[:, np.where(nearest.min(axis=1) < _FAR, nearest.argmin(axis=1), any_seen)]
    return filled


_FAR = 1 << 30


@lru_cache
def _hops(bones: tuple[tuple[int, ...], ...], joints: int) -> npt.NDArray[np.int64]:
    """How many bones lie between two joints, ``(V, V)``; :data:`_FAR` where none lead from one to the other."""
    apart = np.full((joints, joints), _FAR, dtype=np.int64)
    for one, other in bones:
        apart[one, other] = apart[other, one] = 1
    np.fill_diagonal(apart, 0)
    for middle in range(joints):
        np.minimum(apart, apart[:, middle, None] + apart[middle], out=apart)
    return np.where(apart < _FAR, apart, _FAR)


def _neighbours(missing: BoolArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """For every frame and joint ``(T, V)`` the frames before and after in which it was seen, and how far it is between.

    Before the first and after the last time that a joint was seen both are that frame.
    """
    length = len(missing)
    clock = np.arange(length)[:, None]
    before = np.maximum.accumulate(np.where(missing, -1, clock), axis=0)
    after = np.minimum.accumulate(np.where(missing, length, clock)[::-1], axis=0)[::-1]
    left, right = np.where(before < 0, after, before), np.where(after == length, before, after)
    left, right = left.clip(0, length - 1), right.clip(0, length - 1)  # a joint never seen has neither
    weight = ((clock - left) / np.maximum(right - left, 1)).clip(0, 1).astype(np.float32)
    return left, right, weight
