"""How well predicted events are the true ones, or how well two annotators agree.

Measures are those of ``docs/guides/events.md``. Intervals are 95 % percentile bootstraps over recordings (Efron 1979):
what other recordings of the same kind may give. They are absent where there is one recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.events.matching import THRESHOLDS, Array, Indices, Tally, tally
from mmn_edge.events.pairing import Pairing, pair
from mmn_edge.model.labels import Labels

__all__ = ["RESAMPLES", "Scores", "score"]

RESAMPLES = 1000
LEVEL = 0.95
LARGEST = 4_000_000
"""Numbers held at once while resampling."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """What :func:`score` measures.

    Attributes:
        recordings: Compared.
        hours: Watched by both; None where that is not known.
        truth: True events of classes.
        predicted: Predicted events of classes.
        measures: By the names of ``docs/guides/events.md``; None where one is not defined.
        intervals: The same with (low, high) instead of a number.
        classes: For each class that occurs the same, with ``truth``, ``predicted`` and ``intervals``.
        body_level: Events of which only the body-level group is known; they are not scored.
        notes: What a reader should know.
    """

    recordings: int
    hours: float | None
    truth: int
    predicted: int
    measures: Values
    intervals: Values
    classes: dict[str, Values]
    body_level: Values
    notes: tuple[str, ...]

    def to_dict(self) -> Values:
        """As JSON-ready values."""
        return {
            "recordings": self.recordings,
            "hours": self.hours,
            "truth": self.truth,
            "predicted": self.predicted,
            **self.measures,
            "intervals": self.intervals,
            "classes": self.classes,
            "body_level": self.body_level,
            "notes": list(self.notes),
        }


def score(
    truth: AnnotationSet,
    predicted: AnnotationSet,
    *,
    labels: Labels | None = None,
    persons: str = "auto",
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scores:
    """Compare predictions with the truth.

    Args:
        truth: What happened.
        predicted: What was found.
        labels: The classes; those that occur where None.
        persons: Whether persons must agree; one of :data:`mmn_edge.events.pairing.PERSONS`.
        resamples: Of the bootstrap; 0 for no intervals.
        seed: The same seed draws the same recordings.
        progress: Called with how many of how many steps are done.

    Raises:
        DataError: They cannot be compared; see :func:`mmn_edge.events.pairing.pair`.
    """
    pairing = pair(truth, predicted, labels=labels, persons=persons)
    steps = 2 * len(pairing.classes)  # matching takes as long as resampling
    tallies, frames = tally(pairing, lambda done: progress(done, steps))
    notes = list(pairing.notes)
    unscored = sum(entry.score is None for unit in pairing.units for entry in unit.predicted)
    if unscored:
        events = sum(len(unit.predicted) for unit in pairing.units)
        notes.append(f"{unscored} of {events} predicted events have no score, by which detection_map orders them.")
    count = len(pairing.recordings)
    hours = np.array([(end - start) / 3600 for start, end in pairing.spans]) if pairing.spans is not None else None
    measurer = _Measurer(tallies, frames.astype(np.float64), hours, ranked=not unscored, all_classes=labels is not None)
    measures, by_class = measurer.at(np.ones((1, count)))
    drawn: tuple[Values, list[Values]] | None = None
    if resamples and count > 1:
        rng = np.random.default_rng(seed)
        weights = np.stack([np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(resamples)])
        drawn = measurer.at(weights.astype(np.float64), lambda done: progress(len(tallies) + done, steps))
    classes = {}
    for number, entry in enumerate(tallies):
        if entry.truth.any() or entry.predicted.any():
            classes[entry.name] = {
                "truth": int(entry.truth.sum()),
                "predicted": int(entry.predicted.sum()),
                **_single(by_class[number]),
                "intervals": _ranges(drawn[1][number] if drawn else by_class[number], drawn is not None),
            }
    return Scores(
        recordings=count,
        hours=float(hours.sum()) if hours is not None else None,
        truth=int(sum(entry.truth.sum() for entry in tallies)),
        predicted=int(sum(entry.predicted.sum() for entry in tallies)),
        measures=_single(measures),
        intervals=_ranges(drawn[0] if drawn else measures, drawn is not None),
        classes=classes,
        body_level=_body_level(pairing, labels),
        notes=tuple(notes),
    )


class _Measurer:
    """All measures at once, for B weightings of the R recordings: a resample weighs each as often as it was drawn."""

    def __init__(
        self, tallies: Sequence[Tally], frames: Array, hours: Array | None, *, ranked: bool, all_classes: bool
    ) -> None:
        self._tallies = tallies
        self._frames = frames
        self._hours = hours
        self._ranked = ranked
        self._all_classes = all_classes

    def at(self, weights: Array, on_class: Callable[[int], None] = lambda done: None) -> tuple[Values, list[Values]]:
        """Every measure as ``(B,)``, NaN where it is not defined, and the same for each class.

        Args:
            weights: ``(B, R)``.
            on_class: Called with how many classes are done.
        """
        tallies = self._tallies or [Tally.blank("", weights.shape[1])]
        none = np.full(len(weights), np.nan)
        precisions = np.empty((len(tallies), len(THRESHOLDS), len(weights)))
        for number, entry in enumerate(tallies):
            precisions[number] = _average_precisions(entry, weights)
            on_class(number + 1)
        if not self._ranked:
            precisions[:] = np.nan
        per_class = [self._class_measures(entry, weights, precisions[number]) for number, entry in enumerate(tallies)]
        by_iou = _mean(precisions)
        together = Tally.blank("", weights.shape[1])
        for entry in tallies:
            together.add(entry)
        whole = self._class_measures(together, weights, by_iou)
        values: Values = {"detection_map": whole.pop("detection_map")}
        if self._all_classes and self._ranked:
            values["detection_map_all_classes"] = np.nan_to_num(precisions).mean(axis=(0, 1))
        values["map_by_iou"] = whole.pop("map_by_iou")
        values["event_f1"] = whole.pop("event_f1")
        values["event_f1_macro"] = _mean(np.stack([entry["event_f1"] for entry in per_class]))
        values.update(whole)
        values["kappa"] = none if self._hours is None else _mean(np.stack([entry["kappa"] for entry in per_class]))
        return values, per_class

    def _class_measures(self, entry: Tally, weights: Array, precisions: Array) -> Values:
        truth, predicted, matched = (weights @ part for part in (entry.truth, entry.predicted, entry.matched))
        values: Values = {
            "detection_map": precisions.mean(axis=0),
            "map_by_iou": {f"{iou:.1f}": precisions[at] for at, iou in enumerate(THRESHOLDS)},
            "event_f1": _ratio(2 * matched, truth + predicted),
            "event_precision": _ratio(matched, predicted),
            "event_recall": _ratio(matched, truth),
        }
        none = np.full(len(weights), np.nan)
        both, mine, theirs = (weights @ part for part in (entry.both, entry.truth_frames, entry.predicted_frames))
        known = self._hours is not None
        values["frame_f1"] = _ratio(2 * both, mine + theirs) if known else none
        values["onset_error_s"] = _errors(entry, weights, 1)
        values["offset_error_s"] = _errors(entry, weights, 2)
        if entry.pairs and not any(math.isnan(one[3]) for one in entry.pairs):
            values["onset_delay_s"] = _errors(entry, weights, 3, signed=False)
        values["kappa"] = _kappa(both, mine, theirs, weights @ self._frames) if known else none
        values["false_events_per_hour"] = (
            _ratio(predicted - matched, weights @ self._hours) if self._hours is not None else none
        )
        values["events_per_truth"] = _ratio(weights @ entry.overlapping, weights @ entry.found)
        return values


def _average_precisions(entry: Tally, weights: Array) -> Array:
    """Average precision at every threshold, ``(9, B)``: all points, precision made monotone (VOC 2010).

    NaN where the class does not occur in the truth.
    """
    result = np.zeros((len(THRESHOLDS), len(weights)))
    instances = weights @ entry.truth
    step = max(LARGEST // max(len(entry.recording), 1), 1)
    for first in range(0, len(weights), step):
        part = slice(first, first + step)
        drawn = weights[part][:, entry.recording]  # (B, N)
        ranks = np.cumsum(drawn, axis=1)
        for at, hits in enumerate(entry.hits):
            columns = np.flatnonzero(hits)  # precision rises at hits alone
            right = drawn[:, columns]
            precision = _ratio(np.cumsum(right, axis=1), ranks[:, columns], empty=0.0)
            best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            result[at, part] = (right * best).sum(axis=1)
    return _ratio(result, np.broadcast_to(instances, result.shape))


def _errors(entry: Tally, weights: Array, column: int, *, signed: bool = True) -> Values:
    """Median and 90th percentile of errors of matched pairs, absolute and signed, each ``(B,)``."""
    places = np.array([one[0] for one in entry.pairs], dtype=np.int64)
    errors = np.array([one[column] for one in entry.pairs], dtype=np.float64)
    if not signed:
        return _quantiles(errors, places, weights, "")
    return _quantiles(np.abs(errors), places, weights, "") | _quantiles(errors, places, weights, "signed_")


def _quantiles(values: Array, places: Indices, weights: Array, prefix: str) -> Values:
    """Median and 90th percentile, interpolated, of values that are there as often as their recording was drawn."""
    order = np.argsort(values, kind="stable")
    values, places = values[order], places[order]
    found = {name: np.full(len(weights), np.nan) for name in ("median", "p90")}
    step = max(LARGEST // max(len(values), 1), 1)
    for first in range(0, len(weights) if len(values) else 0, step):
        part = slice(first, first + step)
        until = np.cumsum(weights[part][:, places], axis=1)
        known = until[:, -1] > 0
        for name, share in (("median", 0.5), ("p90", 0.9)):
            at = share * np.maximum(until[:, -1] - 1, 0)
            low, high = (
                values[np.minimum((until <= where[:, None]).sum(axis=1), len(values) - 1)]
                for where in (np.floor(at), np.ceil(at))
            )
            found[name][part] = np.where(known, low + (high - low) * (at - np.floor(at)), np.nan)
    return {prefix + name: value for name, value in found.items()}


def _kappa(both: Array, mine: Array, theirs: Array, frames: Array) -> Array:
    """Cohen's kappa of two annotators by frame (Cohen 1960); NaN where chance alone agrees wholly."""
    observed = _ratio(frames - mine - theirs + 2 * both, frames)
    chance = _ratio(mine * theirs + (frames - mine) * (frames - theirs), frames**2)
    used = mine + theirs > 0
    return np.where(used, _ratio(observed - chance, 1 - chance), np.nan)


def _ratio(part: Array, whole: Array, empty: float = np.nan) -> Array:
    out = np.full(np.shape(whole), empty)
    return np.divide(part, whole, out=out, where=np.asarray(whole) != 0)


def _mean(values: Array) -> Array:
    """The mean over the first axis of what is no NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def _single(values: Values) -> Values:
    """Arrays of one number as that number, NaN as None."""
    return {
        name: _single(value) if isinstance(value, dict) else None if np.isnan(value[0]) else float(value[0])
        for name, value in values.items()
    }


def _ranges(values: Values, drawn: bool) -> Values:
    """The bootstrap interval of each measure; None where fewer than half of the resamples define it."""
    found: Values = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found[name] = _ranges(value, drawn)
            continue
        known = value[~np.isnan(value)]
        if not drawn or 2 * len(known) < len(value):
            found[name] = None
        else:
            low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            found[name] = [float(low), float(high)]
    return found


def _body_level(pairing: Pairing, labels: Labels | None) -> Values:
    """What is said of body-level groups alone."""
    truth, predicted = pairing.groups
    values: Values = {"truth": len(truth), "predicted": len(predicted)}
    if labels is not None and labels.groups:
        members = {name: labels.group_of(number) for number, name in enumerate(labels.classes)}
        happened: list[tuple[Interval, str | None]] = [(entry, entry.group) for entry in truth]
        happened += [(entry, members[entry.label]) for unit in pairing.units for entry in unit.truth]
        values["right"] = sum(
            any(
                one.recording == entry.recording
                and group == entry.group
                and one.start < entry.end
                and entry.start < one.end
                for one, group in happened
            )
            for entry in predicted
        )
    return values
