"""The measures of events once more, slowly and by their definitions, in fractions; and that ours are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.events.scoring import score
from mmn_edge.model.labels import Labels

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="PROOF SKIPPED: scikit-learn is not installed")

NAMES = ("bow", "nod", "shake", "wave")
LABELS = Labels(NAMES, ("head", "arm"), (0, 0, 0, 1))

SLACK = Fraction(1, 10**9)


def iou(one: Interval, other: Interval) -> Fraction:
    a, b, c, d = map(Fraction, (one.start, one.end, other.start, other.end))
    shared = min(b, d) - max(a, c)
    if shared <= 0:
        return Fraction(0)
    return shared / ((b - a) + (d - c) - shared)


def matches(
    truth: Sequence[Interval], predicted: Sequence[Interval], threshold: Fraction
) -> list[tuple[Interval, Interval | None]]:
    """Detections in their order, each with the true instance that it takes; of equal ones the first."""
    order = sorted(predicted, key=lambda p: (p.recording, p.start, p.end, p.person))
    order.sort(key=lambda p: p.score or 0, reverse=True)  # stable
    left = sorted(truth, key=lambda t: (t.recording, t.start, t.end))
    result: list[tuple[Interval, Interval | None]] = []
    for detection in order:
        best: Interval | None = None
        for candidate in left:
            if (candidate.recording, candidate.person) != (detection.recording, detection.person):
                continue
            value = iou(detection, candidate)
            if value >= threshold - SLACK and (best is None or value > iou(detection, best) + SLACK):
                best = candidate
        if best is not None:
            left.pop(next(index for index, entry in enumerate(left) if entry is best))
        result.append((detection, best))
    return result


def average_precision(truth: Sequence[Interval], predicted: Sequence[Interval], threshold: Fraction) -> float:
    points: list[tuple[float, float]] = []  # recall, precision
    right = 0
    for rank, (_, found) in enumerate(matches(truth, predicted, threshold), start=1):
        right += found is not None
        points.append((right / len(truth), right / rank))
    area, before = 0.0, 0.0
    for recall, _ in points:
        if recall > before:
            area += (recall - before) * max(p for r, p in points if r >= recall)
            before = recall
    return area


@lru_cache
def frames(span: tuple[float, float]) -> list[float]:
    """Times of frames, 30 a second, a hair late for the sake of binary fractions."""
    start, end = map(Fraction, span)
    times = []
    while start + Fraction(len(times), 30) < end - SLACK / 30:
        times.append(float(start + Fraction(len(times), 30) + SLACK / 30))
    return times


def grid(entries: Sequence[Interval], span: tuple[float, float]) -> list[int]:
    """1 for each frame in which one of these goes on."""
    return [int(any(e.start <= now < e.end for e in entries)) for now in frames(span)]


def quantile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def errors(pairs: Sequence[tuple[Interval, Interval]], name: str) -> dict[str, float | None]:
    signed = [getattr(p, name) - getattr(t, name) for p, t in pairs]
    absolute = [abs(value) for value in signed]
    return {
        "median": quantile(absolute, 0.5),
        "p90": quantile(absolute, 0.9),
        "signed_median": quantile(signed, 0.5),
        "signed_p90": quantile(signed, 0.9),
    }


def f1(right: int, truth: int, predicted: int) -> float | None:
    return 2 * right / (truth + predicted) if truth + predicted else None


def mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def measures(truth: AnnotationSet, predicted: AnnotationSet, names: Sequence[str]) -> dict[str, Any]:
    """The whole and ``classes``; persons must agree, and all recordings of the truth are watched by both."""

    def seen(entry: Interval) -> bool:
        span = truth.watched(entry.recording)
        return span is not None and entry.end > span[0] and entry.start < span[1]

    truth = replace(truth, intervals=tuple(filter(seen, truth.intervals)))
    predicted = replace(predicted, intervals=tuple(filter(seen, predicted.intervals)))
    classes: dict[str, dict[str, Any]] = {}
    all_pairs: list[tuple[Interval, Interval]] = []
    counts = np.zeros(3, dtype=int)
    frame_counts = np.zeros(3, dtype=int)
    overlaps: list[int] = []
    hours = sum(end - start for start, end in map(truth.watched, truth.recordings)) / 3600  # type: ignore[misc]
    for name in names:
        mine = [i for i in truth.intervals if i.label == name]
        theirs = [i for i in predicted.intervals if i.label == name]
        by_iou = {
            f"{step / 10:.1f}": average_precision(mine, theirs, Fraction(step, 10)) if mine else None
            for step in range(1, 10)
        }
        pairs = [(p, t) for p, t in matches(mine, theirs, Fraction(1, 2)) if t is not None]
        all_pairs += pairs
        counts += (len(pairs), len(mine), len(theirs))
        one: list[int] = []
        other: list[int] = []
        for recording in truth.recordings:
            span = truth.watched(recording)
            assert span is not None
            people = {i.person for i in (*truth.intervals, *predicted.intervals) if i.recording == recording} or {""}
            for person in people:
                for entries, values in ((mine, one), (theirs, other)):
                    values += grid([e for e in entries if (e.recording, e.person) == (recording, person)], span)
        shared = sum(a and b for a, b in zip(one, other, strict=True))
        frame_counts += (shared, sum(one), sum(other))
        # scikit-learn has no kappa of constant ones, and neither have we.
        constant = len(set(one)) == 1 and one == other
        kappa = None if constant else float(sklearn_metrics.cohen_kappa_score(one, other, labels=[0, 1]))
        touched = [
            sum((p.recording, p.person) == (t.recording, t.person) and iou(p, t) > 0 for p in theirs) for t in mine
        ]
        overlaps += touched
        found = [number for number in touched if number]
        classes[name] = {
            "truth": len(mine),
            "predicted": len(theirs),
            "detection_map": mean(list(by_iou.values())),
            "map_by_iou": by_iou,
            "event_f1": f1(len(pairs), len(mine), len(theirs)),
            "event_precision": len(pairs) / len(theirs) if theirs else None,
            "event_recall": len(pairs) / len(mine) if mine else None,
            "frame_f1": f1(shared, sum(one), sum(other)),
            "onset_error_s": errors(pairs, "start"),
            "offset_error_s": errors(pairs, "end"),
            "kappa": kappa if sum(one) + sum(other) else None,
            "false_events_per_hour": (len(theirs) - len(pairs)) / hours,
            "events_per_truth": sum(found) / len(found) if found else None,
        }
    found = [number for number in overlaps if number]
    by_iou = {key: mean([c["map_by_iou"][key] for c in classes.values()]) for key in classes[names[0]]["map_by_iou"]}
    everything = [c["map_by_iou"][key] or 0.0 for c in classes.values() for key in by_iou]
    return {
        "detection_map": mean(list(by_iou.values())),
        "detection_map_all_classes": sum(everything) / len(everything),
        "map_by_iou": by_iou,
        "event_f1": f1(*counts),
        "event_f1_macro": mean([c["event_f1"] for c in classes.values()]),
        "event_precision": counts[0] / counts[2] if counts[2] else None,
        "event_recall": counts[0] / counts[1] if counts[1] else None,
        "frame_f1": f1(*frame_counts),
        "onset_error_s": errors(all_pairs, "start"),
        "offset_error_s": errors(all_pairs, "end"),
        "kappa": mean([c["kappa"] for c in classes.values()]),
        "false_events_per_hour": (counts[2] - counts[0]) / hours,
        "events_per_truth": sum(found) / len(found) if found else None,
        "classes": classes,
    }


def random_case(seed: int) -> tuple[AnnotationSet, AnnotationSet]:
    """Times on a coarse grid, so that intervals touch, nest and coincide; few scores, so that they tie."""
    rng = np.random.default_rng(seed)
    recordings = {f"r{n}": Recording(f"r{n}", None, None, (0.25 * n, 12.0 + n)) for n in range(rng.integers(1, 5))}
    people = ["Ann", "Bob"] if seed % 3 == 0 else [""]
    grid = 8.0 if seed % 2 else 30.0
    sets = []
    for side in range(2):
        entries = []
        for _ in range(0 if (seed + side) % 11 == 0 else rng.integers(1, 40)):
            name = str(rng.choice(list(recordings)))
            start, length = rng.integers(0, int(11 * grid)), rng.integers(1, int(4 * grid))
            # Of one class there is no truth, of another no prediction.
            label = str(rng.choice(NAMES[1:] if side == 0 else NAMES[:3]))
            score_ = None if side == 0 else float(rng.integers(1, 5)) / 4
            # As users write: 7/30 s is the nearest number to that and no more.
            entries.append(
                Interval(name, start / grid, (start + length) / grid, label, str(rng.choice(people)), score_)
            )
        sets.append(AnnotationSet(tuple(entries), recordings))
    truth, predicted = sets
    copies = [replace(e, score=0.5) for e in truth.intervals[::3] if e.label != "wave"]
    return truth, AnnotationSet((*predicted.intervals, *copies), recordings)


def same(found: Any, expected: Any, where: str = "") -> None:
    if isinstance(expected, dict):
        for key, value in expected.items():
            same(found[key], value, f"{where}/{key}")
    elif expected is None:
        assert found is None, where
    else:
        assert found == pytest.approx(expected, abs=1e-9, rel=1e-9), where


@pytest.mark.parametrize("seed", range(48))
def test_scoring_is_what_its_definitions_say(seed: int) -> None:
    truth, predicted = random_case(seed)
    found = score(truth, predicted, labels=LABELS, persons="match", resamples=0).to_dict()
    expected = measures(truth, predicted, NAMES)
    for name in NAMES:
        values = expected["classes"][name]
        if not values["truth"] + values["predicted"]:
            assert name not in found["classes"]
            del expected["classes"][name]
    same(found, expected)
