"""Which predicted event is which true one, and what is counted of them recording by recording.

Detections are sorted by (score, recording, start, end), the surest first. Each takes the not yet matched true instance
of its class, recording and person with the largest temporal IoU of at least the threshold (Micro-Action Analysis Grand
Challenge, track 2; MMAD, arXiv 2407.05311).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mmn_edge.events.interval import Interval
from mmn_edge.events.pairing import Pairing, Unit

__all__ = ["FRAME_RATE", "OPERATING", "THRESHOLDS", "Tally", "intersection_over_union", "matched", "tally"]

THRESHOLDS = tuple(step / 10 for step in range(1, 10))
OPERATING = THRESHOLDS.index(0.5)
"""Where events, onsets and offsets are compared."""

SLACK = 1e-9
FRAME_RATE = 30
"""Of the grid on which frames are compared."""

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass
class Tally:
    """What is counted of one class; R recordings.

    Attributes:
        name: The class.
        truth: True instances, ``(R,)``.
        predicted: Predicted events, ``(R,)``.
        matched: Predicted events matched at IoU 0.5, ``(R,)``.
        found: True instances that a predicted event of the class overlaps, ``(R,)``.
        overlapping: Predicted events that overlap each of those, summed, ``(R,)``.
        both: Frames in which truth and prediction have the class, ``(R,)``; zeros where frames are not compared.
        truth_frames: Frames in which the truth has it, ``(R,)``.
        predicted_frames: Frames in which the prediction has it, ``(R,)``.
        recording: Of each detection, the surest first, its recording, ``(N,)``.
        hits: For each threshold and detection whether it is matched, ``(9, N)``.
        pairs: Matched at IoU 0.5: recording, onset error and offset error (predicted minus true, seconds), and onset
            delay (when it was said minus true onset, NaN where that is not known).
    """

    name: str
    truth: Array
    predicted: Array
    matched: Array
    found: Array
    overlapping: Array
    both: Array
    truth_frames: Array
    predicted_frames: Array
    recording: Indices
    hits: Mask
    pairs: list[tuple[int, float, float, float]] = field(default_factory=list)

    @classmethod
    def blank(cls, name: str, recordings: int) -> Tally:
        """Nothing counted yet."""
        counts = np.zeros((8, recordings))
        nothing = np.zeros((len(THRESHOLDS), 0), dtype=bool)
        one, two, three, four, five, six, seven, eight = counts
        return cls(name, one, two, three, four, five, six, seven, eight, np.zeros(0, dtype=np.int64), nothing)

    def add(self, other: Tally) -> None:
        """Count another class's instances and pairs too; its detections are not taken."""
        for key in (
            "truth",
            "predicted",
            "matched",
            "found",
            "overlapping",
            "both",
            "truth_frames",
            "predicted_frames",
        ):
            getattr(self, key)[:] += getattr(other, key)
        self.pairs += other.pairs


def intersection_over_union(predicted: Sequence[Interval], truth: Sequence[Interval]) -> Array:
    """Temporal IoU of each predicted interval with each true one, ``(P, T)``."""
    starts, ends = (np.array([[e.start, e.end] for e in predicted], dtype=np.float64).reshape(-1, 2).T)[:, :, None]
    others, stops = np.array([[e.start, e.end] for e in truth], dtype=np.float64).reshape(-1, 2).T
    shared = np.clip(np.minimum(ends, stops) - np.maximum(starts, others), 0, None)
    return np.asarray(shared / (np.maximum(ends, stops) - np.minimum(starts, others)), dtype=np.float64)


def tally(pairing: Pairing, on_class: Callable[[int], None] = lambda done: None) -> tuple[list[Tally], Indices]:
    """Match and count, class by class; and how many frames of all persons are compared in each recording, ``(R,)``."""
    place = {name: index for index, name in enumerate(pairing.recordings)}
    frames = np.zeros(len(place), dtype=np.int64)
    if pairing.spans is not None:
        for unit in pairing.units:
            frames[place[unit.recording]] += _frame_count(pairing.spans[place[unit.recording]])
    by_class: dict[str, list[tuple[int, list[Interval], list[Interval]]]] = {name: [] for name in pairing.classes}
    for unit in pairing.units:
        for name, (truth, predicted) in _by_label(unit).items():
            by_class[name].append((place[unit.recording], truth, predicted))
    tallies = []
    for name, parts in by_class.items():
        tallies.append(_tally(name, parts, pairing))
        on_class(len(tallies))
    return tallies, frames


def matched(pairing: Pairing) -> list[tuple[Interval, Interval]]:
    """Predicted events with the true ones that they are matched with at IoU 0.5."""
    pairs = []
    for unit in pairing.units:
        for truth, predicted in _by_label(unit).values():
            order = sorted(predicted, key=_rank)
            taken = _matches(intersection_over_union(order, truth))[OPERATING]
            pairs += [(order[n], truth[target]) for n, target in enumerate(taken.tolist()) if target >= 0]
    return pairs


def _by_label(unit: Unit) -> dict[str, tuple[list[Interval], list[Interval]]]:
    found: dict[str, tuple[list[Interval], list[Interval]]] = {}
    for side, entries in enumerate((unit.truth, unit.predicted)):
        for entry in entries:
            found.setdefault(entry.label, ([], []))[side].append(entry)
    return found


def _tally(name: str, parts: Sequence[tuple[int, list[Interval], list[Interval]]], pairing: Pairing) -> Tally:
    result = Tally.blank(name, len(pairing.recordings))
    detections: list[tuple[Interval, int, Mask]] = []
    for index, truth, predicted in parts:
        order = sorted(predicted, key=_rank)
        overlap = intersection_over_union(order, truth)
        taken = _matches(overlap)
        detections += [(entry, index, taken[:, number] >= 0) for number, entry in enumerate(order)]
        result.truth[index] += len(truth)
        result.predicted[index] += len(order)
        result.matched[index] += int((taken[OPERATING] >= 0).sum())
        for entry, target in zip(order, taken[OPERATING].tolist(), strict=True):
            if target >= 0:
                true = truth[target]
                delay = _emitted(entry) - true.start
                result.pairs.append((index, entry.start - true.start, entry.end - true.end, delay))
        touching = (overlap > 0).sum(axis=0)
        result.found[index] += int((touching > 0).sum())
        result.overlapping[index] += int(touching.sum())
        if pairing.spans is not None:
            mine, theirs = (_frames(entries, pairing.spans[index]) for entries in (truth, predicted))
            result.truth_frames[index] += _length(mine)
            result.predicted_frames[index] += _length(theirs)
            result.both[index] += _shared(mine, theirs)
    detections.sort(key=lambda entry: _rank(entry[0]))
    result.recording = np.array([index for _, index, _ in detections], dtype=np.int64)
    if detections:
        result.hits = np.stack([hits for _, _, hits in detections], axis=1)
    return result


def _rank(entry: Interval) -> tuple[float, str, float, float, str]:
    return (-(entry.score if entry.score is not None else 0.0), entry.recording, entry.start, entry.end, entry.person)


def _matches(overlap: Array) -> Indices:
    """For each threshold and predicted interval the true one that it takes, or -1; of equal ones the first.

    Args:
        overlap: IoU ``(P, T)``, predicted intervals in order.
    """
    taken = np.full((len(THRESHOLDS), len(overlap)), -1, dtype=np.int64)
    rows = [
        (number, [(target, value) for target, value in enumerate(row) if value > 0])
        for number, row in enumerate(overlap.tolist())
    ]
    rows = [(number, row) for number, row in rows if row]
    for at, threshold in enumerate(THRESHOLDS):
        used: set[int] = set()
        for number, row in rows:
            free = [(target, value) for target, value in row if target not in used]
            best = max((value for _, value in free), default=0.0)
            if best >= threshold - SLACK:
                target = next(target for target, value in free if value >= best - SLACK)
                taken[at, number] = target
                used.add(target)
    return taken


def _emitted(entry: Interval) -> float:
    text = dict(entry.extra).get("emitted", "")
    try:
        return float(text)
    except ValueError:
        return math.nan


def _frame_count(span: tuple[float, float]) -> int:
    return math.ceil((span[1] - span[0]) * FRAME_RATE - SLACK)


def _frames(entries: Sequence[Interval], span: tuple[float, float]) -> list[tuple[int, int]]:
    """Runs of frames in which one of these is going on, in order; frame i is at ``span[0] + i / 30`` seconds."""
    runs: list[tuple[int, int]] = []
    last = _frame_count(span)
    for entry in sorted(entries, key=lambda one: one.start):
        first, stop = (math.ceil((time - span[0]) * FRAME_RATE - SLACK) for time in (entry.start, entry.end))
        first, stop = max(first, 0), min(stop, last)
        if runs and first <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(runs[-1][1], stop))
        elif first < stop:
            runs.append((first, stop))
    return runs


def _length(runs: Sequence[tuple[int, int]]) -> int:
    return sum(stop - first for first, stop in runs)


def _shared(mine: Sequence[tuple[int, int]], theirs: Sequence[tuple[int, int]]) -> int:
    """Frames that are in both."""
    total = one = other = 0
    while one < len(mine) and other < len(theirs):
        first, stop = max(mine[one][0], theirs[other][0]), min(mine[one][1], theirs[other][1])
        total += max(stop - first, 0)
        if mine[one][1] <= theirs[other][1]:
            one += 1
        else:
            other += 1
    return total
