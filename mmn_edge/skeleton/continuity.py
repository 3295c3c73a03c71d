"""Whose skeleton it is: which person a clip follows, and whether one body can have made the next frame."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from mmn_edge.skeleton.frame import FloatArray

__all__ = ["JUMP_GAP", "Followed", "IdentityWatch", "Sighting", "follow", "jumps", "longest_seen"]

Key = TypeVar("Key", bound=Hashable)
"""What a person is named by: an id."""

JUMP_GAP = 0.2
"""Seconds between two frames at most for a jump to be told from a person who walked while unseen."""

EXTENT_SECONDS = 1.0
"""The body's extent is the median of so long: one frame in which half of it is hidden does not make it small."""

EXCHANGE = 0.25
"""Share of its extent that a body has to move in one frame before it is asked whether two persons changed ids."""

MIN_COMMON = 3
"""Joints that both frames must show: the centre of one or two of them is the place of a hand."""

FRAME_RATE = 30.0
"""Frames a second where a clip has no clock: it only sets how many frames are ``JUMP_GAP`` and ``EXTENT_SECONDS``."""

NEARLY = 0.9
"""Share of the longest one's frames from which on another person has been seen for as long."""

MAX_UNSEEN = 30
"""Frames for which a person without an id may be unseen and still be taken up again at the same place."""


@dataclass
class _Body:
    """What is known of a person: where it was last, and how large it was in the last second."""

    time: float
    keypoints: FloatArray
    extents: deque[tuple[float, float]]

    @property
    def extent(self) -> float:
        return median(extent for _, extent in self.extents)


class IdentityWatch(Generic[Key]):
    """Watches the persons of a stream and says whose body is not where it was: then the id is on another person.

    A body jumps when the centre of the joints seen in both frames moves by more than the median extent of the body in
    the second before, in at most :data:`JUMP_GAP`; the extent is the longest side of the box around the joints seen.
    Persons who sit side by side are nearer than that, so a body that moves by more than :data:`EXCHANGE` of its extent
    to where another person was just before, at least twice as near as to its own place, has jumped too.
    """

    def __init__(self) -> None:
        self._bodies: dict[Key, _Body] = {}

    def jumped(self, time: float, persons: Mapping[Key, FloatArray]) -> set[Key]:
        """Take the next frame, and return the ids whose body jumped. After a jump the new place is the body's.

        Args:
            time: Seconds.
            persons: Keypoints ``(V, C)`` by id, NaN where a joint was not seen. Somebody of whom nothing is seen is
                not there.
        """
        there = {key: points for key, points in persons.items() if np.isfinite(points).all(axis=-1).any()}
        before = {key: body for key, body in self._bodies.items() if time - body.time <= JUMP_GAP}
        jumped = {key for key, points in there.items() if key in before and _is_other(key, points, before)}
        for key, points in there.items():
            extents = self._bodies[key].extents if key in self._bodies and key not in jumped else deque()
            extents.append((time, _extent(points)))
            self._bodies[key] = _Body(time, points, extents)
        for key, body in list(self._bodies.items()):
            while body.extents and body.extents[0][0] < time - EXTENT_SECONDS:
                body.extents.popleft()
            if not body.extents:
                del self._bodies[key]
        return jumped


def _is_other(key: Key, points: FloatArray, before: Mapping[Key, _Body]) -> bool:
    moved = _distance(before[key].keypoints, points)
    extent = before[key].extent
    if moved is None or not extent or moved <= EXCHANGE * extent:
        return False
    if moved > extent:
        return True
    others = [_distance(body.keypoints, points) for other, body in before.items() if other != key]
    return any(distance is not None and 2 * distance < moved for distance in others)


def jumps(keypoints: FloatArray, times: npt.ArrayLike | None = None) -> tuple[int, ...]:
    """The frames of one person's clip at which the body jumps, as :class:`IdentityWatch` finds them.

    Args:
        keypoints: ``(T, V, C)``, NaN where a joint was not seen.
        times: ``(T,)`` seconds; frames :data:`FRAME_RATE` a second where None.
    """
    seen = np.isfinite(keypoints).all(axis=-1)
    there = np.flatnonzero(seen.any(axis=1))
    clock = np.arange(len(keypoints)) / FRAME_RATE if times is None else np.asarray(times, dtype=np.float64)
    points, seen, clock = keypoints[there], seen[there], clock[there]
    if len(there) < 2:
        return ()
    shown = seen[..., None]
    high = np.where(shown, points, -np.inf).max(axis=1)
    extents = (high - np.where(shown, points, np.inf).min(axis=1)).max(axis=-1)
    both = seen[1:] & seen[:-1]
    common = both.sum(axis=1)
    with np.errstate(invalid="ignore"):
        steps = np.where(both[..., None], points[1:] - points[:-1], 0).sum(axis=1) / np.maximum(common, 1)[:, None]
    moved = np.linalg.norm(steps, axis=-1)
    possible = (common >= MIN_COMMON) & (np.diff(clock) <= JUMP_GAP) & (moved > extents.min())
    found: list[int] = []
    begin = 0
    for index in np.flatnonzero(possible):  # all others move by less than the body ever measured
        first = max(begin, int(np.searchsorted(clock, clock[index] - EXTENT_SECONDS)))
        if moved[index] > median(extents[first : index + 1].tolist()) > 0:
            begin = index + 1
            found.append(int(there[index + 1]))
    return tuple(found)


@dataclass(frozen=True)
class Sighting:
    """One person in one frame of a clip.

    Attributes:
        frame: Number of the frame.
        keypoints: ``(V, C)``, NaN where a joint was not seen.
        sureness: How sure the estimator is of this person, in its own scale.
        identity: The id that it gave the person; None where it does not track.
    """

    frame: int
    keypoints: FloatArray
    sureness: float = 1.0
    identity: Hashable | None = None


Seen = TypeVar("Seen", bound=Sighting)


@dataclass(frozen=True)
class Followed(Generic[Seen]):
    """The person that a clip follows.

    Attributes:
        sightings: At most one a frame, in the frames' order.
        crowded: Frames in which several persons are seen.
        tracked: Whether the ids were followed; otherwise it was the nearest person.
    """

    sightings: tuple[Seen, ...]
    crowded: int
    tracked: bool


def follow(sightings: Sequence[Seen], times: Sequence[float] | None = None) -> Followed[Seen]:
    """Which person a clip follows: the one seen in most frames; of those seen nearly as long the surest, or the first.

    Ids are followed where every person has one, no frame has one twice, and nobody jumps. Otherwise the nearest person
    of the next frame is the same one, if it is no jump away. Where no frame shows several persons there is nothing to
    choose.

    Args:
        sightings: Of a whole clip. Those without any joint are left out.
        times: Seconds of every frame; frames :data:`FRAME_RATE` a second where None.
    """
    frames: dict[int, list[Seen]] = defaultdict(list)
    for sighting in sorted(sightings, key=lambda sighting: sighting.frame):
        if np.isfinite(sighting.keypoints).all(axis=-1).any():
            frames[sighting.frame].append(sighting)
    if not frames:
        return Followed((), 0, False)
    crowded = sum(len(persons) > 1 for persons in frames.values())
    tracked = _are_tracked(frames, times)
    if tracked:
        tracks = _tracks_by_id(frames)
    elif crowded:
        tracks = _nearest_tracks(frames)
    else:
        tracks = [[persons[0] for persons in frames.values()]]
    sureness = [float(np.mean([sighting.sureness for sighting in track])) for track in tracks]
    return Followed(tuple(tracks[_chosen([len(track) for track in tracks], sureness)]), crowded, tracked)


def longest_seen(keypoints: FloatArray, scores: FloatArray | None = None) -> tuple[int, tuple[str, ...]]:
    """Which of several persons ``(M, T, V, C)`` a clip follows, by the same rule; the first where nobody is seen.

    A person at exactly the origin in a whole frame is not seen in it: data sets fill up with zeros.

    Args:
        keypoints: NaN where a joint was not seen.
        scores: ``(M, T, V)``, 0 where a joint was not seen.

    Returns:
        The person's index, and a sentence without a full stop where it is not the first.
    """
    seen = np.isfinite(keypoints).all(axis=-1) & (keypoints != 0).any(axis=-1)
    if scores is not None:
        seen &= scores > 0
    lengths = seen.any(axis=-1).sum(axis=-1).tolist()
    chosen = _chosen(lengths, [1.0] * len(lengths))
    if not chosen:
        return 0, ()
    first = f"is seen in {lengths[0]} of {seen.shape[1]} frames" if lengths[0] else "shows nobody"
    return chosen, (f"person 1 {first}, so person {chosen + 1} of {len(lengths)} was followed",)


def _are_tracked(frames: Mapping[int, Sequence[Sighting]], times: Sequence[float] | None) -> bool:
    watch = IdentityWatch[Hashable | None]()
    for frame, persons in frames.items():
        by_id = {person.identity: person.keypoints for person in persons}
        if None in by_id or len(by_id) < len(persons):
            return False
        if watch.jumped(frame / FRAME_RATE if times is None else times[frame], by_id) and len(persons) > 1:
            return False
    return True


def _tracks_by_id(frames: Mapping[int, Sequence[Seen]]) -> list[list[Seen]]:
    tracks: dict[Hashable, list[Seen]] = defaultdict(list)
    for persons in frames.values():
        for person in persons:
            tracks[person.identity].append(person)
    return list(tracks.values())


def _chosen(lengths: Sequence[int], sureness: Sequence[float]) -> int:
    enough = NEARLY * max(lengths)
    return max((index for index, length in enumerate(lengths) if length >= enough), key=lambda index: sureness[index])


def _nearest_tracks(frames: Mapping[int, Sequence[Seen]]) -> list[list[Seen]]:
    """Persons without ids: of all pairs of a person so far and one of this frame the closest come first."""
    tracks: list[list[Seen]] = []
    extents: list[deque[float]] = []
    recent: list[int] = []
    for frame, persons in frames.items():
        recent = [number for number in recent if frame - tracks[number][-1].frame <= MAX_UNSEEN]
        pairs = []
        for number in recent:
            bound = median(extents[number]) or math.inf
            for index, person in enumerate(persons):
                moved = _distance(tracks[number][-1].keypoints, person.keypoints, least=1)
                if moved is not None and moved <= bound:
                    pairs.append((moved, number, index))
        taken: dict[int, int] = {}
        for _, number, index in sorted(pairs):
            if number not in taken.values() and index not in taken:
                taken[index] = number
        for index, person in enumerate(persons):
            if index not in taken:
                taken[index] = len(tracks)
                recent.append(len(tracks))
                tracks.append([])
                extents.append(deque(maxlen=int(EXTENT_SECONDS * FRAME_RATE)))
            tracks[taken[index]].append(person)
            extents[taken[index]].append(_extent(person.keypoints))
    return tracks


def _distance(before: FloatArray, after: FloatArray, least: int = MIN_COMMON) -> float | None:
    """How far the centre of the joints seen in both moved; None where they share fewer than ``least``."""
    both = np.isfinite(before).all(axis=-1) & np.isfinite(after).all(axis=-1)
    if both.sum() < least:
        return None
    return float(np.linalg.norm((after[both] - before[both]).mean(axis=0)))


def _extent(keypoints: FloatArray) -> float:
    points = keypoints[np.isfinite(keypoints).all(axis=-1)]
    return float((points.max(axis=0) - points.min(axis=0)).max())
