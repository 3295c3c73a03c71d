from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmn_edge.errors import DataError
from mmn_edge.events.interval import AnnotationSet, Interval, Recording, group_label
from mmn_edge.events.matching import tally
from mmn_edge.events.pairing import pair
from mmn_edge.events.scoring import _Measurer, score
from mmn_edge.model.labels import Labels

NAMES = ("bow", "nod", "shake", "wave")
LABELS = Labels(NAMES, ("head", "arm"), (0, 0, 0, 1))


def interval(start: float, end: float, label: str = "nod", recording: str = "a", **more: Any) -> Interval:
    return Interval(recording, start, end, label, **more)


def watched(*names: str, until: float = 60.0) -> dict[str, Recording]:
    return {name: Recording(name, until, 30.0, (0.0, until)) for name in names}


def test_a_case_by_hand() -> None:
    truth = AnnotationSet((interval(0, 1), interval(2, 4), interval(10, 12, "wave")), watched("a", until=3600.0))
    predicted = AnnotationSet(
        (
            interval(0, 2, score=0.9),  # IoU 0.5 with the first
            interval(2.5, 4, score=0.8),  # 0.75 with the second
            interval(3.5, 4.5, score=0.7),  # overlaps it too
            interval(20, 21, "bow", score=0.6),
        ),
    )
    found = score(truth, predicted)
    measures = found.measures
    assert measures["map_by_iou"]["0.5"] == pytest.approx(0.5)  # nod is right, wave is missed; bow never happened
    assert measures["map_by_iou"]["0.6"] == pytest.approx(0.125)  # the second detection finds one of two
    assert measures["map_by_iou"]["0.8"] == 0
    assert "detection_map_all_classes" not in measures
    assert (measures["event_precision"], measures["event_recall"]) == (0.5, pytest.approx(2 / 3))
    assert measures["event_f1"] == pytest.approx(4 / 7)
    assert measures["onset_error_s"] == pytest.approx(
        {"median": 0.25, "p90": 0.45, "signed_median": 0.25, "signed_p90": 0.45}
    )
    assert measures["false_events_per_hour"] == 2
    assert measures["events_per_truth"] == pytest.approx(1.5)
    assert (found.recordings, found.hours, found.truth, found.predicted) == (1, 1.0, 3, 4)
    assert found.intervals["detection_map"] is None  # one recording says nothing of others
    assert found.classes["bow"]["detection_map"] is None
    assert found.classes["wave"]["detection_map"] == 0
    assert any("Predicted labels that the truth never has: bow" in note for note in found.notes)


def test_a_threshold_is_reached_at_equality() -> None:
    truth = AnnotationSet((interval(0.0, 0.3),))
    predicted = AnnotationSet((interval(0.1, 0.4, score=1.0),))  # 0.5 but for rounding
    assert score(truth, predicted).measures["event_f1"] == 1


def test_resampling_weighs_recordings_as_copies_of_them_would() -> None:
    rng = np.random.default_rng(3)
    entries: dict[str, list[Interval]] = {"truth": [], "predicted": []}
    for recording in "abc":
        for label in NAMES:
            for side, count in (("truth", 3), ("predicted", 4)):
                for start in rng.uniform(0, 50, count):
                    length = float(rng.uniform(1, 9))
                    one = interval(float(start), float(start) + length, label, recording, score=float(rng.random()))
                    entries[side].append(one)
    truth, predicted = (AnnotationSet(tuple(entries[side]), watched(*"abc")) for side in ("truth", "predicted"))
    tallies, frames = tally(pair(truth, predicted))
    hours = np.full(3, 60 / 3600)
    measurer = _Measurer(tallies, frames.astype(float), hours, ranked=True, all_classes=False)
    weights = {"a": 2, "b": 0, "c": 3}
    found, by_class = measurer.at(np.array([[1.0, 1, 1], list(weights.values())]))

    def copied(one: AnnotationSet) -> AnnotationSet:
        names = {name: [f"{name}{copy}" for copy in range(times)] for name, times in weights.items()}
        return AnnotationSet(
            tuple(replace(e, recording=name) for e in one.intervals for name in names[e.recording]),
            watched(*(name for copies in names.values() for name in copies)),
        )

    expected = score(copied(truth), copied(predicted), resamples=0)

    def same(values: dict[str, Any], wanted: dict[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                same(value, wanted[name])
            else:
                assert value[1] == pytest.approx(wanted[name], abs=1e-12, nan_ok=True), name

    same(found, expected.measures)
    for entry, values in zip(tallies, by_class, strict=True):
        same(values, expected.classes[entry.name])


def test_intervals_are_there_where_recordings_differ() -> None:
    names = [f"r{n}" for n in range(20)]
    truth = AnnotationSet(tuple(interval(1, 3, recording=name) for name in names), watched(*names))
    right = tuple(interval(1, 3, recording=name, score=1.0) for name in names[::2])
    found = score(truth, AnnotationSet(right))
    low, high = found.intervals["event_recall"]
    assert low < found.measures["event_recall"] == 0.5 < high
    assert low >= 0.25
    assert high <= 0.75
    assert found == score(truth, AnnotationSet(right))  # seeded
    assert found.intervals["event_precision"] == [1, 1]
    assert found.classes["nod"]["intervals"]["event_recall"] == [low, high]
    json.dumps(found.to_dict(), allow_nan=False)
    steps: list[tuple[int, int]] = []
    score(truth, AnnotationSet(right), progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 2), (2, 2)]


def test_without_what_was_watched_the_rest_works() -> None:
    found = score(AnnotationSet((interval(1, 2),)), AnnotationSet((interval(1, 2, score=0.5),)))
    assert found.measures["detection_map"] == 1
    assert found.hours is None
    for name in ("frame_f1", "kappa", "false_events_per_hour"):
        assert found.measures[name] is None
    assert any("need a recordings.csv beside the truth" in note for note in found.notes)


def test_two_annotators() -> None:
    one = AnnotationSet((interval(1, 2), interval(5, 6, "wave")), watched("a", until=10.0))
    found = score(one, AnnotationSet((interval(1, 2),), watched("a", until=10.0)))
    assert found.measures["detection_map"] is None  # nobody ordered them
    assert any("1 of 1 predicted events have no score" in note for note in found.notes)
    assert found.classes["nod"]["kappa"] == 1
    assert found.classes["wave"]["kappa"] == 0
    assert found.measures["kappa"] == 0.5


def test_what_only_one_side_watched() -> None:
    truth = AnnotationSet((interval(1, 2), interval(50, 51), interval(1, 2, recording="b")), watched("a", "b"))
    nothing = score(truth, AnnotationSet())
    assert nothing.measures["event_recall"] == 0
    assert any("Nothing was predicted in 2 of 2 recordings, such as a." in note for note in nothing.notes)

    early = AnnotationSet((interval(1, 2, score=1.0),), watched("a", until=30.0))  # ended early, and never saw b
    found = score(truth, early)
    assert (found.recordings, found.truth, found.measures["event_recall"]) == (1, 1, 1)
    assert found.hours == pytest.approx(30 / 3600)
    text = " ".join(found.notes)
    assert "the predictions did not watch them: 1 recordings, such as b" in text
    assert "Only the time that both watched is scored." in text
    assert "1 true events lie outside the time that was watched" in text

    extra = AnnotationSet((interval(1, 2, score=1.0), interval(1, 2, recording="c", score=1.0)))
    found = score(truth, extra)
    assert found.predicted == 1
    assert any("the truth does not annotate them: 1 recordings, such as c" in note for note in found.notes)
    with pytest.raises(DataError, match=r"no recording in common: the truth has a, b, the predictions a.mp4"):
        score(truth, AnnotationSet((interval(1, 2, recording="a.mp4"),)))
    with pytest.raises(DataError, match="the truth annotates no recording"):
        score(AnnotationSet(), extra)


def test_a_quiet_hour_counts() -> None:
    truth = AnnotationSet(recordings=watched("a", until=3600.0))
    found = score(truth, AnnotationSet((interval(1, 2, score=0.5), interval(9, 10, score=0.5))))
    assert found.measures["false_events_per_hour"] == 2
    assert found.measures["detection_map"] is None
    assert found.measures["event_f1"] == 0
    assert score(truth, AnnotationSet()).measures["event_f1"] is None


def test_persons() -> None:
    truth = AnnotationSet((interval(1, 2, person="Ann"), interval(1, 2, person="Bob")), watched("a"))
    crossed = AnnotationSet((interval(1, 2, person="Ann", score=1.0),))
    assert score(truth, crossed).measures["event_f1"] == pytest.approx(2 / 3)
    unnamed = score(truth, AnnotationSet((interval(1, 2, score=1.0), interval(1, 2, score=0.5))))
    assert unnamed.measures["event_f1"] == 1
    assert any("names persons and the predictions do not" in note for note in unnamed.notes)
    numbered = AnnotationSet((interval(1, 2, person="0", score=1.0),))
    with pytest.raises(DataError, match=r"persons of recording a are Ann, Bob in the truth and 0 in the predictions"):
        score(truth, numbered)
    assert score(truth, numbered, persons="ignore").measures["event_precision"] == 1

    alone = AnnotationSet((interval(1, 2, person="Ann"),), watched("a"))
    assert score(alone, numbered).measures["event_f1"] == 1  # who else could it be
    assert score(alone, numbered, persons="match").measures["event_f1"] == 0
    two = AnnotationSet((interval(1, 2, person="0", score=1.0), interval(1, 2, person="1", score=1.0)))
    found = score(alone, two)
    assert found.measures["event_precision"] == 0.5
    assert any("names one person and the predictions name 2" in note for note in found.notes)


def test_labels_are_one_name() -> None:
    truth = AnnotationSet((interval(1, 2, "Turning head"),))
    assert score(truth, AnnotationSet((interval(1, 2, "turning_head", score=1.0),))).measures["event_f1"] == 1
    found = score(truth, AnnotationSet((interval(1, 2, "8", score=1.0),)))
    assert any(note.startswith("CAUTION: no predicted label (8) is one of the truth") for note in found.notes)
    with pytest.raises(DataError, match="predictions: '8'"):
        score(AnnotationSet((interval(1, 2),)), AnnotationSet((interval(1, 2, "8"),)), labels=LABELS)
    both = AnnotationSet((interval(1, 2, "a b", score=1.0), interval(1, 2, "A_B", score=1.0)))
    with pytest.raises(DataError, match=r"'A_B' and 'a b' both mean 'a.b'"):
        score(AnnotationSet((interval(1, 2, "a.b"),)), both)


def test_body_level_events_are_counted_apart() -> None:
    truth = AnnotationSet((interval(1, 2), interval(5, 6, "wave")), watched("a"))
    predicted = AnnotationSet(
        (
            interval(1, 2, score=0.9),
            interval(1.5, 3, group_label("head"), score=0.9),
            interval(8, 9, group_label("arm"), score=0.9),
        )
    )
    found = score(truth, predicted, labels=LABELS)
    assert (found.predicted, found.measures["event_precision"]) == (1, 1)
    assert found.body_level == {"truth": 0, "predicted": 2, "right": 1}
    assert score(truth, predicted).body_level == {"truth": 0, "predicted": 2}


def test_onset_delay_where_it_is_known_when_events_were_said() -> None:
    truth = AnnotationSet((interval(1, 3), interval(10, 12)))
    said = tuple(interval(at, at + 2, score=1.0, extra=(("emitted", str(at + 0.5)),)) for at in (1.25, 10))
    delay = score(truth, AnnotationSet(said)).measures["onset_delay_s"]
    assert delay == pytest.approx({"median": 0.625, "p90": 0.725})
    assert "onset_delay_s" not in score(truth, AnnotationSet((said[0], interval(10, 12)))).measures
