from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mmn_edge.errors import DataError, UsageError
from mmn_edge.events import tuning
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.events.parameters import ClassParameters, DecoderParameters
from mmn_edge.events.scoring import score
from mmn_edge.events.series import Model, Series
from mmn_edge.events.tuning import fit, part_of, tune
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window

LABELS = Labels(("nod", "wave"), ("head", "hands"), (0, 1))
MODEL = Model(LABELS, "detect", Window(32, 2.0, 0.25))
LAG = 0.6
START = DecoderParameters(default=ClassParameters(0.75, 0.7, 0.0, 0.25, 0.25, 0.0, 0.0, 0.0))


@pytest.fixture(autouse=True)
def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_GRID", {"smoothing": (0.0, 0.3), "enter": (0.3, 0.5), "leave": (0.6, 1.0)})


def made(count: int = 4, seconds: float = 60.0) -> tuple[list[Series], AnnotationSet]:
    """A model that is never surer than 0.7 of what goes on, is noisy, and sees everything 0.6 s late."""
    rng = np.random.default_rng(0)
    series, intervals, recordings = [], [], {}
    times = np.arange(2.0, seconds, 0.25)
    for number in range(count):
        name = f"r{number}"
        logits = np.full((len(times), 2), -2.5)
        for label in range(2):
            edges = np.cumsum(rng.uniform(1.5, 5.0, 40))
            for start, end in list(pairwise(edges[edges < seconds - 2]))[::2]:
                intervals.append(Interval(name, float(start), float(end), LABELS.classes[label], "0"))
                logits[(times >= start + LAG) & (times < end + LAG), label] = 0.5
        logits += rng.normal(0.0, 0.3, logits.shape)
        zeros, ones = np.zeros(len(times), dtype=np.int64), np.ones(len(times))
        probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
        series.append(Series(name, seconds, times, zeros, probabilities, ones))
        recordings[name] = Recording(name, seconds, None, (0.0, seconds))
    return series, AnnotationSet(tuple(intervals), recordings)


def f1(series: list[Series], truth: AnnotationSet, parameters: DecoderParameters) -> float:
    found = score(truth, MODEL.annotations(series, parameters), labels=LABELS, resamples=0)
    return float(found.measures["event_f1"])


def test_a_fit_finds_thresholds_and_lags() -> None:
    series, truth = made()
    fitted = fit(MODEL, series, truth, START)
    assert f1(series, truth, START) < 0.3
    assert f1(series, truth, fitted) > 0.9
    assert fitted.default.enter < 0.6
    for label in LABELS.classes:
        assert fitted.of(label).onset_lag == pytest.approx(LAG, abs=0.2)
        assert fitted.of(label).offset_lag == pytest.approx(LAG, abs=0.2)


def test_starts_come_in_time_where_that_is_asked_for() -> None:
    series, truth = made()
    slow = replace(START, default=replace(START.default, enter=0.5, leave=0.3, min_duration=1.5, smoothing=0.3))
    fitted = fit(MODEL, series, truth, slow, max_delay=10.0)
    hasty = replace(slow, default=replace(slow.default, min_duration=0.0))
    tuned = fit(MODEL, series, truth, hasty, max_delay=0.9)
    late, early = (
        score(truth, MODEL.annotations(series, one), labels=LABELS, resamples=0).measures["onset_delay_s"]["median"]
        for one in (fitted, tuned)
    )
    assert early <= 0.9 < late


def test_cross_validation_scores_each_recording_with_parameters_fitted_to_others() -> None:
    series, truth = made()
    steps: list[tuple[int, int]] = []
    found = tune(MODEL, series, truth, START, folds=2, on_step=lambda done, of: steps.append((done, of)))
    assert found.folds == (2, 2)
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert found.before.measures["event_f1"] < 0.3
    assert found.after.measures["event_f1"] > 0.85
    gain, low, high = found.gain
    assert low <= gain <= high
    assert found.parameters == fit(MODEL, series, truth, START)
    assert f1(series, truth, found.parameters) >= found.after.measures["event_f1"] - 0.05


def test_lists_and_sets_that_were_chosen_stay() -> None:
    series, truth = made(2)
    chosen = replace(START, deny=("wave",), exclusive=(("nod", "wave"),), sensitivity=0.5)
    fitted = fit(MODEL, series, truth, chosen)
    assert (fitted.deny, fitted.exclusive) == (("wave",), (("nod", "wave"),))


def test_what_cannot_be_tuned_is_said() -> None:
    series, truth = made(2, 20.0)
    with pytest.raises(UsageError, match="unknown measure"):
        tune(MODEL, series, truth, START, measure="beauty")
    with pytest.raises(UsageError, match="two folds"):
        tune(MODEL, series, truth, START, folds=1)
    with pytest.raises(DataError, match="two annotated recordings"):
        tune(MODEL, series[:1], truth, START)
    with pytest.raises(DataError, match="nothing to fit"):
        tune(MODEL, series, AnnotationSet((), truth.recordings), START)
    with pytest.raises(DataError, match="'r0' is not annotated"):
        part_of(AnnotationSet(empty=frozenset({"r1"})), series)
