"""Joint mappings: the skeleton of a pose estimator as the skeleton that a model was trained on.

A mapping is plain data, one JSON file each under ``data/mappings``: for every target joint the ways to make
it from source joints, best first, each a linear combination (one joint, a mean, an extrapolation). Coordinates are
turned into the axes of the target; those of space lose their depth where the target has none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.errors import LayoutError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.axes import turned
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.layouts import Layout
from mmn_edge.skeleton.missing import seen_joints

__all__ = ["Combination", "MappedJoint", "Mapping", "get", "names"]

Combination = dict[int, float]
"""Source joint index to weight."""

_Round = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]


@dataclass(frozen=True)
class MappedJoint:
    """How one target joint is made.

    Attributes:
        name: The target joint.
        status: ``exact`` (a source joint of the same meaning), ``derived`` (a midpoint, an extrapolation, a
            copy) or ``missing``, judged by the first alternative.
        expression: The alternatives as text: ``left_thumb_tip[37], else left_thumb[21]``.
        alternatives: Linear combinations of source joints, best first; the first whose joints are all seen
            is used.
    """

    name: str
    status: str
    expression: str
    alternatives: tuple[Combination, ...]


class Mapping:
    """Turns keypoints of the layout ``source`` into keypoints of the layout ``target``.

    Attributes:
        source: Name of the source layout, Vs joints.
        target: Name of the target layout, Vt joints.
        joints: How each target joint is made, in target order.
        note: What is not established about it; may be empty.
    """

    def __init__(self, source: str, target: str, joints: tuple[MappedJoint, ...], note: str = "") -> None:
        self.source = source
        self.target = target
        self.joints = joints
        self.note = note
        self._from, self._to = layouts.get(source), layouts.get(target)
        self._num_joints = self._from.num_joints
        self._used = np.array(sorted({i for j in joints for a in j.alternatives for i in a}), dtype=np.intp)
        self._rounds = _rounds(joints, {int(joint): slot for slot, joint in enumerate(self._used)})

    @property
    def reach(self) -> float:
        """The share of the target's joints that can be made where every source joint is seen."""
        return sum(bool(joint.alternatives) for joint in self.joints) / len(self.joints)

    def apply(self, keypoints: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Map keypoints, one frame or many.

        Which source joints count as seen is :func:`mmn_edge.skeleton.missing.seen_joints`'s to say.

        Args:
            keypoints: ``(..., Vs, C)``.
            scores: ``(..., Vs)``.

        Returns:
            Float32 keypoints ``(..., Vt, C)``, C being no more than the target has, and scores ``(..., Vt)``, a score
            being the lowest of the joints used; NaN and score 0 where no alternative can be made.

        Raises:
            LayoutError: The arrays do not have the joints of the source layout.
        """
        points = np.asarray(keypoints, dtype=np.float32)
        confidence = np.asarray(scores, dtype=np.float32)
        if points.ndim < 2 or points.shape[-2] != self._num_joints or confidence.shape != points.shape[:-1]:
            raise LayoutError(
                f"layout {self.source} has {self._num_joints} joints, but keypoints of shape {points.shape} "
                f"with scores of shape {confidence.shape} came: check which layout the stream really has"
            )
        points = points.take(self._used, axis=-2)
        confidence = confidence.take(self._used, axis=-1)
        seen = seen_joints(points, confidence)
        channels = points.shape[-1]
        points = turned(points, self._from.axes_of(channels), self._to.axes_of(min(channels, self._to.channels)))
        points = np.where(seen[..., None], points, np.float32(0))
        confidence = np.where(seen, confidence, np.float32(0))

        shape = (*points.shape[:-2], len(self.joints))
        mapped = np.full((*shape, points.shape[-1]), np.nan, dtype=np.float32)
        mapped_scores = np.zeros(shape, dtype=np.float32)
        # From the last alternative to the first, so that the best one that can be made has the last word.
        for rows, index, weight in reversed(self._rounds):
            value = (points.take(index, axis=-2) * weight).sum(axis=-2)
            score = confidence.take(index, axis=-1).min(axis=-1)
            usable = score > 0
            mapped[..., rows, :] = np.where(usable[..., None], value, mapped[..., rows, :])
            mapped_scores[..., rows] = np.where(usable, score, mapped_scores[..., rows])
        return mapped, mapped_scores


def _rounds(joints: tuple[MappedJoint, ...], slots: dict[int, int]) -> list[_Round]:
    """Alternative r of all joints that have one, as arrays of n rows: row, slots (n, K), weights (n, K, 1).

    Shorter combinations are filled up to K terms by repeating the first one with weight 0.
    """
    rounds: list[_Round] = []
    for r in range(max(len(joint.alternatives) for joint in joints)):
        rows = [row for row, joint in enumerate(joints) if len(joint.alternatives) > r]
        terms = [list(joints[row].alternatives[r].items()) for row in rows]
        width = max(len(row) for row in terms)
        filled = [row + [(row[0][0], 0.0)] * (width - len(row)) for row in terms]
        index = np.array([[slots[joint] for joint, _ in row] for row in filled], dtype=np.intp)
        weight = np.array([[value for _, value in row] for row in filled], dtype=np.float32)
        rounds.append((np.array(rows, dtype=np.intp), index, weight[..., None]))
    return rounds


def names() -> tuple[tuple[str, str], ...]:
    """The ``(source, target)`` pairs that come with mmn-edge; besides, every layout maps to itself."""
    folder = resources.files("mmn_edge") / "data" / "mappings"
    stems = sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".json"))
    return tuple((source, target) for source, _, target in (stem.partition("_to_") for stem in stems))


@lru_cache
def get(source: str, target: str) -> Mapping:
    """The mapping from one layout to another; the identity where they are the same.

    Args:
        source: The layout of the stream.
        target: The layout that the model was trained on.

    Raises:
        LayoutError: There is no such layout, or no mapping between the two.
    """
    have, want = layouts.get(source), layouts.get(target)
    if source == target:
        return Mapping(source, target, tuple(_joint(name, "exact", [{name: 1}], have) for name in have.joints))
    if (source, target) not in names():
        fitting = [name for name, to in names() if to == target]
        raise LayoutError(
            f"the stream has layout {source} ({have.num_joints} joints) and the model needs {target} "
            f"({want.num_joints} joints), and there is no mapping between them: "
            f"use a stream in {' or '.join([target, *fitting])}, or a model trained on {source}"
        )
    path = resources.files("mmn_edge") / "data" / "mappings" / f"{source}_to_{target}.json"
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = values["joints"]
    joints = tuple(_joint(name, rows[name]["status"], rows[name]["from"], have) for name in want.joints)
    return Mapping(source, target, joints, values["note"])


def _joint(name: str, status: str, alternatives: list[dict[str, float]], source: Layout) -> MappedJoint:
    combinations = tuple({source.index(joint): weight for joint, weight in a.items()} for a in alternatives)
    expression = ", else ".join(_text(combination, source) for combination in combinations)
    return MappedJoint(name, status, expression, combinations)


def _text(combination: Combination, source: Layout) -> str:
    terms = {f"{source.joints[joint]}[{joint}]": weight for joint, weight in combination.items()}
    if len(terms) > 1 and all(weight == 1 / len(terms) for weight in terms.values()):
        return f"mean({', '.join(terms)})"
    text = ""
    for term, weight in terms.items():
        sign = " - " if weight < 0 else " + "
        text += sign + (term if abs(weight) == 1 else f"{abs(weight):g}*{term}")
    return text.removeprefix(" + ")
