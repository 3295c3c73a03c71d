"""Fitting the decoder's parameters to annotated recordings, and what that gains on others.

One parameter after the other takes the value with the best score, then thresholds and lags are fitted class by class
where there are enough instances. Folds of whole recordings say what is gained: each is scored with parameters that
were fitted to the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from types import MappingProxyType
from typing import Any

import numpy as np

from mmn_edge.errors import DataError, UsageError
from mmn_edge.events.interval import AnnotationSet
from mmn_edge.events.parameters import ClassParameters, DecoderParameters
from mmn_edge.events.scoring import Scores, score
from mmn_edge.events.series import Model, Series

__all__ = ["MEASURES", "Tuning", "fit", "part_of", "tune"]

MEASURES = ("event_f1", "event_f1_macro", "detection_map", "frame_f1")
"""What can be made as high as possible."""

ENOUGH = 8
"""Instances of a class, matched or true, from which on it gets parameters of its own."""

WORTH = 0.01
"""A class gets a threshold of its own where that gains so much of its F1; less is chance."""

_GRID: Mapping[str, tuple[float, ...]] = {
    "min_duration": (0.0, 0.25, 0.5),
    "smoothing": (0.0, 0.15, 0.3, 0.5),
    "enter": (0.3, 0.4, 0.5, 0.6, 0.7),
    "leave": (0.4, 0.6, 0.8, 1.0),  # share of enter
    "merge_gap": (0.0, 0.3, 0.6, 1.0),
}
_SHIFTS = (-1.2, -0.6, 0.6, 1.2, 2.4)  # logits


@dataclass(frozen=True)
class Tuning:
    """What a fit brought.

    Attributes:
        parameters: Fitted to all recordings.
        measure: One of :data:`MEASURES`.
        before: Of all recordings with the parameters that it began with.
        after: Of all recordings, each scored with parameters that were fitted to others.
        gains: Of each fold, after minus before.
        folds: How many recordings each fold holds.
    """

    parameters: DecoderParameters
    measure: str
    before: Scores
    after: Scores
    gains: tuple[float, ...]
    folds: tuple[int, ...]

    @property
    def gain(self) -> tuple[float, float, float]:
        """Mean gain of the folds with the ends of its 95 % interval (Student's t)."""
        middle = mean(self.gains)
        if len(self.gains) < 2:
            return middle, -math.inf, math.inf
        half = _student(len(self.gains) - 1) * stdev(self.gains) / math.sqrt(len(self.gains))
        return middle, middle - half, middle + half


def tune(
    model: Model,
    series: Sequence[Series],
    truth: AnnotationSet,
    start: DecoderParameters,
    *,
    measure: str = "event_f1",
    folds: int = 5,
    max_delay: float | None = None,
    look_ahead: bool = False,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> Tuning:
    """Fit the parameters, and find out by cross-validation over recordings what that gains.

    Args:
        model: What predicted.
        series: Its predictions of annotated recordings.
        truth: Their annotations.
        start: The parameters to begin with, and to compare with.
        measure: One of :data:`MEASURES`.
        folds: How many parts the recordings are put into; at most one for each.
        max_delay: Seconds that the median start may be said after the true onset; None means any.
        look_ahead: Fit to decoding after the fact instead of live.
        seed: Which recordings share a fold.
        on_step: Called with the fits done and their number.

    Raises:
        UsageError: Another measure, or less than two folds.
        DataError: Less than two annotated recordings, or none with an event.
    """
    if measure not in MEASURES:
        raise UsageError(f"unknown measure {measure!r}: choose one of {', '.join(MEASURES)}")
    if folds < 2:
        raise UsageError(f"cross-validation needs two folds or more, not {folds}")
    if len(series) < 2:
        raise DataError(
            f"tuning needs two annotated recordings or more, and there are {len(series)}: cut a long one in two"
        )
    if not truth.intervals:
        raise DataError("no recording has an event, so there is nothing to fit to")
    order = np.random.default_rng(seed).permutation(len(series))
    parts = [[series[i] for i in sorted(part)] for part in np.array_split(order, min(folds, len(series)))]
    held_out, gains = [], []
    for number, part in enumerate(parts):
        on_step(number, len(parts) + 1)
        others = [one for other in parts if other is not part for one in other]
        fitted = fit(model, others, truth, start, measure=measure, max_delay=max_delay, look_ahead=look_ahead)
        mine = part_of(truth, part)
        found = model.annotations(part, fitted, look_ahead=look_ahead)
        held_out.append(found)
        plain = model.annotations(part, start, look_ahead=look_ahead)
        after, before = (_value(_score(model, mine, one), measure) for one in (found, plain))
        gains.append(after - before)
    on_step(len(parts), len(parts) + 1)
    whole = part_of(truth, series)
    tuning = Tuning(
        parameters=fit(model, series, truth, start, measure=measure, max_delay=max_delay, look_ahead=look_ahead),
        measure=measure,
        before=score(whole, model.annotations(series, start, look_ahead=look_ahead), labels=model.labels),
        after=score(whole, AnnotationSet.joined(held_out), labels=model.labels),
        gains=tuple(gains),
        folds=tuple(map(len, parts)),
    )
    on_step(len(parts) + 1, len(parts) + 1)
    return tuning


def fit(
    model: Model,
    series: Sequence[Series],
    truth: AnnotationSet,
    start: DecoderParameters,
    *,
    measure: str = "event_f1",
    max_delay: float | None = None,
    look_ahead: bool = False,
) -> DecoderParameters:
    """Parameters with a high score on these recordings; ``start``'s lists, exclusive sets and rest class are kept."""
    target = part_of(truth, series)
    if not target.intervals:
        return start

    def scored(parameters: DecoderParameters) -> Scores:
        return _score(model, target, model.annotations(series, parameters, look_ahead=look_ahead))

    def worth(scores: Scores) -> float:
        value = _value(scores, measure)
        late = scores.measures.get("onset_delay_s") if max_delay is not None else None
        if max_delay is not None and isinstance(late, Mapping) and (late.get("median") or 0.0) > max_delay:
            value -= 1.0 + late["median"] - max_delay  # whatever is in time is better
        return value

    best = replace(start, classes=MappingProxyType({}))
    best = _with_lags(best, scored(best))
    value = worth(scored(best))
    for name, candidates in _GRID.items():
        for candidate in candidates:
            trial = replace(best, default=_changed(best.default, name, candidate))
            if trial.default == best.default:
                continue
            scores = scored(trial)
            # Thresholds and smoothing move the crossings: a trial is judged with lags that fit it.
            trial = _with_lags(trial, scores)
            reached = worth(scored(trial))
            if reached > value + 1e-9:
                best, value = trial, reached
    by_class = _by_class(best, scored(best), scored)
    return by_class if worth(scored(by_class)) > value else best


def part_of(truth: AnnotationSet, series: Iterable[Series]) -> AnnotationSet:
    """The annotations of some recordings.

    Raises:
        DataError: A recording is not annotated.
    """
    names = {one.recording: one for one in series}
    if missing := sorted(set(names) - set(truth.annotated)):
        raise DataError(f"recording {missing[0]!r} is not annotated: annotate it, or leave it out")
    intervals = tuple(interval for interval in truth.intervals if interval.recording in names)
    recordings = {name: entry for name, entry in truth.recordings.items() if name in names}
    return AnnotationSet(intervals, recordings, frozenset(names))


def _score(model: Model, truth: AnnotationSet, predicted: AnnotationSet) -> Scores:
    return score(truth, predicted, labels=model.labels, resamples=0)


def _value(scores: Scores, measure: str) -> float:
    value = scores.measures.get(measure)
    return float(value) if value is not None else 0.0


def _changed(base: ClassParameters, name: str, value: float) -> ClassParameters:
    if name == "leave":
        return replace(base, leave=value * base.enter)
    if name == "enter":
        return replace(base, enter=value, leave=value * base.leave / base.enter)
    return replace(base, **{name: value})


def _moved(base: ClassParameters, errors: Mapping[str, Any]) -> ClassParameters:
    """Lags with which the median errors of matched events are none."""
    onset, offset = (_signed(errors.get(key)) for key in ("onset_error_s", "offset_error_s"))
    return replace(base, onset_lag=max(base.onset_lag + onset, 0.0), offset_lag=max(base.offset_lag + offset, 0.0))


def _signed(error: Any) -> float:
    value = error.get("signed_median") if isinstance(error, Mapping) else None
    return float(value) if value is not None else 0.0


def _with_lags(parameters: DecoderParameters, scores: Scores) -> DecoderParameters:
    return replace(parameters, default=_moved(parameters.default, scores.measures))


def _by_class(
    parameters: DecoderParameters, scores: Scores, scored: Callable[[DecoderParameters], Scores]
) -> DecoderParameters:
    """Lags and thresholds of the classes that have instances enough, all classes tried at once."""
    known = [name for name, entry in scores.classes.items() if entry["truth"] >= ENOUGH]
    own = {name: _moved(parameters.default, scores.classes[name]) for name in known}
    best = {name: (float(scores.classes[name].get("event_f1") or 0.0), parameters.default) for name in known}
    for shift in (0.0, *_SHIFTS):
        trial = replace(parameters, classes={name: _shifted(entry, shift) for name, entry in own.items()})
        found = scored(trial).classes
        for name in known:
            value = float(found.get(name, {}).get("event_f1") or 0.0)
            if value > best[name][0] + WORTH:
                best[name] = (value, trial.classes[name])
    chosen = {name: entry for name, (_, entry) in best.items() if entry != parameters.default}
    return replace(parameters, classes=MappingProxyType(chosen))


def _shifted(base: ClassParameters, logits: float) -> ClassParameters:
    def move(threshold: float) -> float:
        return 1 / (1 + math.exp(-(math.log(threshold / (1 - threshold)) + logits)))

    return replace(base, enter=move(base.enter), leave=move(base.leave))


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (tables; above 10 degrees of freedom the next smaller entry)."""
    table = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
    if freedom <= len(table):
        return table[freedom - 1]
    return 2.228 if freedom < 15 else 2.131 if freedom < 20 else 2.086 if freedom < 30 else 2.042
