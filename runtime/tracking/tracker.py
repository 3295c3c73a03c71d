"""Ids that stay with a body: a sender's as long as they do, else our own.

A body is expected where its last place and its velocity put it. What it costs to take a skeleton for it is the mean
distance of the joints that both show, in units of the body's extent; the pairs of least total cost are taken. Who is
hidden, or leaves, is remembered for some seconds, and expected where it was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.runtime.tracking.assignment import assign
from mmn_edge.skeleton.continuity import JUMP_GAP, MIN_COMMON, IdentityWatch
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["MEMORY_SECONDS", "Tracked", "Tracker"]

MEMORY_SECONDS = 4.0
"""A body that is not seen for longer is somebody new when it comes back."""

NEAR = 0.6
"""Extents of a body that its joints may be from where they are expected, in the next frame."""

DRIFT = 0.8
"""Extents a second by which that grows while a body is not seen."""

FAR = 1.6
"""Extents beyond which it does not grow."""

VELOCITY_SECONDS = 0.25
"""A body's velocity is smoothed over so long."""

COAST_SECONDS = 0.7
"""A hidden body goes on as it did for so long; then it is expected to have stopped."""

EXTENT_SECONDS = 1.0
"""Its extent is smoothed over so long."""

SIZE_COST = 0.5
"""What it costs that one is e times as large as the other."""


@dataclass(frozen=True)
class Tracked:
    """The persons of a frame.

    Attributes:
        persons: Keypoints ``(V, C)`` by id; ids stay with the body.
        anew: Ids whose body is another one than before, or was moved: what is known of them is void.
        distrusted: The sender's id that was found on another body in this frame, after which its ids are not followed
            any more; None in all other frames.
    """

    persons: dict[int, FloatArray]
    anew: frozenset[int] = frozenset()
    distrusted: int | None = None


@dataclass
class _Body:
    """What is known of a body: where it was last, how it moves and how large it is."""

    time: float
    keypoints: FloatArray
    extent: float
    velocity: npt.NDArray[np.float64]
    age: int = 1


class Tracker:
    """Gives every skeleton of a stream the id of its body.

    The ids that come are kept until one of them changes to a body that another had; from then on they are not used.

    Args:
        memory: Seconds for which a body that is not seen is remembered.
    """

    def __init__(self, memory: float = MEMORY_SECONDS) -> None:
        self._memory = memory
        self._watch = IdentityWatch[int]()
        self._trusted = True
        self._bodies: dict[int, _Body] = {}
        self._next = 0
        self._recent: dict[int, tuple[tuple[float, FloatArray], ...]] = {}

    @property
    def trusted(self) -> bool:
        """Whether the sender's ids are followed."""
        return self._trusted

    def update(self, time: float, persons: Mapping[int, FloatArray], *, tracked: bool = True) -> Tracked:
        """Take the next frame.

        Args:
            time: Seconds.
            persons: Keypoints ``(V, C)`` by the sender's id, NaN where a joint was not seen; of each some joint is.
            tracked: Whether the sender follows persons at all; False where its ids are no more than an order.
        """
        self._trusted = self._trusted and tracked
        if not self._trusted:
            self._learn()
            return Tracked(self._own(time, list(persons.values())))
        jumped = self._watch.jumped(time, persons)
        if jumped:
            self._learn()
            if self._exchanged(time, persons, jumped):
                self._trusted = False
                self._recent.clear()
                return Tracked(self._own(time, list(persons.values())), distrusted=min(jumped))
            self._bodies.clear()
            for key in jumped:
                self._recent.pop(key, None)
        # As long as ids are right, the last two places are all that is needed.
        for key, points in persons.items():
            last = self._recent.get(key)
            self._recent[key] = ((time, points),) if last is None else (last[-1], (time, points))
            self._next = max(self._next, key + 1)
        gone = [key for key, last in self._recent.items() if time - last[-1][0] > self._memory]
        for key in gone:
            del self._recent[key]
        return Tracked(dict(persons), frozenset(jumped))

    def _learn(self) -> None:
        """Take what was seen while ids were right for what is known of the bodies."""
        for key, sightings in self._recent.items():
            for time, points in sightings:
                self._see(key, time, points)
        if not self._trusted:
            self._recent.clear()

    def _exchanged(self, time: float, persons: Mapping[int, FloatArray], jumped: set[int]) -> bool:
        """Whether a body that jumped is one that had another id."""
        keys = list(persons)
        given = self._pairs(time, list(persons.values()))
        return any(given.get(number, key) != key for number, key in enumerate(keys) if key in jumped)

    def _own(self, time: float, skeletons: list[FloatArray]) -> dict[int, FloatArray]:
        self._forget(time)
        given = self._pairs(time, skeletons)
        persons = {}
        for number, points in enumerate(skeletons):
            key = given.get(number)
            if key is None:
                key = self._next
            persons[key] = points
            self._see(key, time, points)
        return persons

    def _pairs(self, time: float, skeletons: list[FloatArray]) -> dict[int, int]:
        """The id of the body that each skeleton, by its number, is taken for."""
        bodies = [(key, body) for key, body in self._bodies.items() if time >= body.time]
        if not bodies or not skeletons:
            return {}
        expected = np.stack([_expected(body, time) for _, body in bodies])
        extents = np.array([body.extent for _, body in bodies])
        gaps = np.array([time - body.time for _, body in bodies])
        allowed = np.minimum(NEAR + DRIFT * np.maximum(gaps - JUMP_GAP, 0.0), FAR)
        # Costs are divided by what is allowed, so that one limit holds for all.
        costs = _costs(np.stack(skeletons).astype(np.float64), expected, extents) / allowed[:, None]
        return {number: bodies[row][0] for row, number in assign(costs, 1.0)}

    def _see(self, key: int, time: float, points: FloatArray) -> None:
        self._next = max(self._next, key + 1)
        extent = _extent(points)
        body = self._bodies.get(key)
        if body is None or time <= body.time:
            self._bodies[key] = _Body(time, points, extent, np.zeros(points.shape[1]))
            return
        gap = time - body.time
        both = np.isfinite(points[:, 0]) & np.isfinite(body.keypoints[:, 0])
        if both.sum() >= MIN_COMMON:
            step = (points[both].mean(axis=0, dtype=np.float64) - body.keypoints[both].mean(axis=0)) / gap
            share = 1.0 if body.age == 1 else 1.0 - np.exp(-gap / VELOCITY_SECONDS)
            body.velocity = body.velocity + share * (step - body.velocity)
        if extent:
            share = 1.0 - np.exp(-gap / EXTENT_SECONDS) if body.extent else 1.0
            body.extent += float(share) * (extent - body.extent)
        # A joint that is hidden moves with the body.
        moved = body.keypoints + body.velocity * gap
        body.keypoints = np.where(np.isfinite(points), points, moved).astype(np.float32)
        body.age += 1
        body.time = time

    def _forget(self, time: float) -> None:
        gone = [key for key, body in self._bodies.items() if time - body.time > self._memory]
        for key in gone:
            del self._bodies[key]


def _expected(body: _Body, time: float) -> npt.NDArray[np.float64]:
    """Where a body's joints are expected, ``(V, C)``."""
    gap = min(time - body.time, COAST_SECONDS)
    return body.keypoints + body.velocity * gap


def _costs(
    skeletons: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], extents: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """``(bodies, skeletons)``: mean distance of the joints that both show, in extents; and how the sizes differ."""
    apart = np.linalg.norm(expected[:, None] - skeletons[None], axis=-1)
    both = np.isfinite(apart)
    common = both.sum(axis=-1)
    distance = np.where(both, apart, 0.0).sum(axis=-1) / np.maximum(common, 1)
    size = np.array([_extent(one) for one in skeletons])
    known = (extents[:, None] > 0) & (size > 0)
    ratio = np.abs(np.log(np.where(known, size / np.where(extents > 0, extents, 1.0)[:, None], 1.0)))
    scale = np.where(extents > 0, extents, np.inf)[:, None]
    # Somebody half of whom is hidden is small: of joints that few share, the size says nothing.
    whole = common / np.maximum(np.isfinite(skeletons[..., 0]).sum(axis=-1)[None], 1)
    costs = distance / scale + SIZE_COST * ratio * whole
    return np.where(common >= MIN_COMMON, costs, np.inf)


def _extent(points: npt.NDArray[Any]) -> float:
    """The longest side of the box around the joints that are seen."""
    seen = points[np.isfinite(points[:, 0])]
    return float(np.ptp(seen, axis=0).max()) if len(seen) else 0.0
