from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from mmn_edge.errors import UsageError
from mmn_edge.events.decoder import Decoder, Event, decode
from mmn_edge.events.parameters import ClassParameters, DecoderParameters
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window

LABELS = Labels(("nod", "shake", "wave"), ("head", "hands"), (0, 0, 1))
WITH_REST = Labels(("rest", "nod", "shake", "wave"), ("none", "head", "hands"), (0, 1, 1, 2))
WINDOW = Window(32, 2.0, 0.25)
PLAIN = ClassParameters(0.5, 0.3, smoothing=0, min_duration=0.4, merge_gap=0.4, onset_lag=0, offset_lag=0)
DETECT = DecoderParameters(default=PLAIN)


def series(*rows: tuple[float, float, dict[int, float]], until: float = 10.0, classes: int = 3) -> list[np.ndarray]:
    """Probabilities every quarter of a second: ``rows`` are from, to, and what is likely between."""
    found = []
    for time in np.arange(0, until, WINDOW.stride):
        values = np.full(classes, 0.02)
        for start, end, likely in rows:
            if start <= time < end:
                for index, value in likely.items():
                    values[index] = value
        found.append(values)
    return found


def run(
    values: list[np.ndarray],
    parameters: DecoderParameters = DETECT,
    labels: Labels = LABELS,
    task: str = "detect",
    seen: float = 1.0,
) -> list[Event]:
    decoder = Decoder(labels, parameters, task, WINDOW)
    events = [e for i, v in enumerate(values) for e in decoder.feed(i * WINDOW.stride, 0, v, seen)]
    return events + decoder.finish()


def ended(events: list[Event]) -> list[tuple[str, float, float]]:
    return [(e.label, round(e.onset, 3), round(e.offset, 3)) for e in events if e.kind == "end"]


def test_a_class_begins_goes_on_and_ends_once() -> None:
    events = run(series((2.0, 5.0, {0: 0.9})))
    assert [e.kind for e in events] == ["start", "update", "update", "end"]
    assert {e.id for e in events} == {events[0].id}
    ((label, onset, offset),) = ended(events)
    assert label == "nod"
    assert abs(onset - 2.0) < 0.25
    assert abs(offset - 5.0) < 0.25
    assert events[0].onset == events[-1].onset  # final at the start
    assert events[-1].peak == pytest.approx(0.9)
    assert 0.8 < events[-1].score <= 0.9
    assert events[0].group == "head"
    assert events[0].level == "class"
    assert events[0].time <= 2.0 + PLAIN.min_duration + WINDOW.stride


def test_crossings_are_interpolated_and_moved_back_by_the_lag() -> None:
    rising = [np.array([p, 0.0, 0.0]) for p in (0.0, 0.0, 0.4, 0.6, 0.9, 0.9, 0.9, 0.4, 0.2, 0.0, 0.0, 0.0)]
    ((_, onset, offset),) = ended(run(rising))
    assert onset == pytest.approx(0.5 + 0.125)
    assert offset == pytest.approx(1.75 + 0.125)
    lagging = replace(DETECT, default=replace(PLAIN, onset_lag=0.2, offset_lag=0.3))
    ((_, earlier, sooner),) = ended(run(rising, lagging))
    assert earlier == pytest.approx(onset - 0.2)
    assert sooner == pytest.approx(offset - 0.3)


def test_hysteresis_keeps_what_wavers_between_the_thresholds() -> None:
    values = series((2.0, 3.0, {0: 0.6}), (3.0, 4.0, {0: 0.4}), (4.0, 5.0, {0: 0.6}))
    assert len(ended(run(values))) == 1
    strict = replace(DETECT, default=replace(PLAIN, leave=0.5, merge_gap=0.0))
    assert len(ended(run(values, strict))) == 2
    assert ended(run(series((2.0, 5.0, {0: 0.4})))) == []  # never reaches enter


def test_short_breaks_are_bridged_and_short_events_left_out() -> None:
    broken = series((2.0, 3.0, {0: 0.9}), (3.25, 4.5, {0: 0.9}))
    assert len(ended(run(broken))) == 1
    assert len(ended(run(broken, replace(DETECT, default=replace(PLAIN, merge_gap=0.0))))) == 2
    flash = series((2.0, 2.25, {0: 0.9}))
    long = replace(DETECT, default=replace(PLAIN, min_duration=0.6))
    assert ended(run(flash, long)) == []
    # Once over its length is known: one prediction is enough for what lasts as long as it must.
    assert len(ended(run(flash, replace(DETECT, default=replace(PLAIN, min_duration=0.2))))) == 1


def test_cooldown() -> None:
    values = series((1.0, 2.0, {0: 0.9}), (4.0, 5.0, {0: 0.9}))
    assert len(ended(run(values))) == 2
    assert len(ended(run(values, replace(DETECT, default=replace(PLAIN, cooldown=5.0))))) == 1


def test_of_a_body_part_the_likeliest_goes_on_and_parts_do_not_disturb_one_another() -> None:
    values = series((2.0, 5.0, {0: 0.9, 1: 0.6, 2: 0.8}))
    assert [label for label, *_ in sorted(ended(run(values)))] == ["nod", "wave"]
    both = replace(DETECT, exclusive=())
    assert [label for label, *_ in sorted(ended(run(values, both)))] == ["nod", "shake", "wave"]
    all_one = replace(DETECT, exclusive=(("nod", "shake", "wave"),))
    assert [label for label, *_ in ended(run(values, all_one))] == ["nod"]


def test_a_likelier_class_takes_over_only_by_a_margin() -> None:
    near = series((2.0, 3.5, {0: 0.7}), (3.5, 5.0, {0: 0.65, 1: 0.7}))
    assert [label for label, *_ in ended(run(near))] == ["nod"]
    far = series((2.0, 3.5, {0: 0.9}), (3.5, 5.0, {0: 0.6, 1: 0.9}))
    events = ended(run(far))
    assert [label for label, *_ in events] == ["nod", "shake"]
    assert abs(events[0][2] - 3.5) < 0.3
    assert abs(events[1][1] - 3.5) < 0.3


def test_smoothing_takes_out_single_outliers() -> None:
    values = series((2.0, 6.0, {0: 0.9}), (4.0, 4.25, {0: 0.05}), (8.0, 8.25, {1: 0.9}))
    smooth = replace(DETECT, default=replace(PLAIN, smoothing=0.4, merge_gap=0.0, min_duration=0.2, leave=0.3))
    assert [label for label, *_ in ended(run(values, smooth))] == ["nod"]


def test_looking_ahead_smooths_without_lag() -> None:
    values = series((2.0, 6.0, {0: 0.9}))
    parameters = replace(DETECT, default=replace(PLAIN, smoothing=0.6, leave=0.5))
    predictions = [(i * WINDOW.stride, 0, v, 1.0) for i, v in enumerate(values)]
    live = ended(list(decode(LABELS, parameters, "detect", WINDOW, predictions, look_ahead=False)))
    offline = ended(list(decode(LABELS, parameters, "detect", WINDOW, predictions)))
    assert live == ended(run(values, parameters))
    ((_, onset, offset),) = offline
    assert abs(onset - 1.875) < 0.15
    assert abs(offset - 5.875) < 0.15
    assert live[0][1] > onset + 0.1


def test_sensitivity_moves_all_thresholds() -> None:
    values = series((2.0, 5.0, {0: 0.4}), (6.0, 9.0, {2: 0.6}))
    assert [label for label, *_ in ended(run(values))] == ["wave"]
    assert [label for label, *_ in ended(run(values, replace(DETECT, sensitivity=0.7)))] == ["nod", "wave"]
    assert ended(run(values, replace(DETECT, sensitivity=0.3))) == []


def test_allow_and_deny() -> None:
    values = series((2.0, 5.0, {0: 0.9, 1: 0.7, 2: 0.9}))
    assert [label for label, *_ in ended(run(values, replace(DETECT, allow=("wave",))))] == ["wave"]
    # What is denied does not stand in the way of another class of its part.
    assert [label for label, *_ in sorted(ended(run(values, replace(DETECT, deny=("nod",)))))] == ["shake", "wave"]


def test_parameters_by_class() -> None:
    values = series((2.0, 5.0, {0: 0.4, 2: 0.4}))
    own = replace(DETECT, classes={"wave": replace(PLAIN, enter=0.35)})
    assert [label for label, *_ in ended(run(values, own))] == ["wave"]


def test_rest_is_no_event_and_a_softmax_is_summed_over_a_group() -> None:
    parameters = DecoderParameters(default=PLAIN, rest="rest", group=replace(PLAIN, enter=0.7, leave=0.5))
    unsure = series((2.0, 5.0, {0: 0.1, 1: 0.45, 2: 0.4}), classes=4)
    events = run(
        [v if v.sum() > 0.5 else np.array([0.97, 0.01, 0.01, 0.01]) for v in unsure], parameters, WITH_REST, "classify"
    )
    assert {(e.level, e.label) for e in events} == {("group", "head")}
    sure = series((2.0, 5.0, {0: 0.05, 1: 0.9, 2: 0.02}), classes=4)
    events = run(sure, parameters, WITH_REST, "classify")
    assert {(e.level, e.label) for e in events} == {("class", "nod")}
    # With sigmoids a group is as sure as its surest class.
    assert {e.level for e in run(unsure, replace(parameters, rest=None), WITH_REST, "detect")} == set()
    still = series((0.0, 10.0, {0: 0.95}), classes=4)
    assert run(still, parameters, WITH_REST, "classify") == []


def test_a_group_gives_way_to_its_class() -> None:
    parameters = DecoderParameters(default=PLAIN, group=replace(PLAIN, enter=0.7, leave=0.5))
    values = series((2.0, 4.0, {0: 0.4, 1: 0.4}), (4.0, 7.0, {0: 0.85, 1: 0.05}))
    events = run(values, parameters, LABELS, "classify")
    assert [(label, level) for label, level in dict.fromkeys((e.label, e.level) for e in events)] == [
        ("head", "group"),
        ("nod", "class"),
    ]
    group, nod = (next(e for e in events if e.kind == "end" and e.label == label) for label in ("head", "nod"))
    assert group.offset <= nod.onset + WINDOW.stride


def test_too_few_joints_seen_say_nothing() -> None:
    values = series((2.0, 5.0, {0: 0.9}))
    assert run(values, replace(DETECT, min_seen=0.5), seen=0.4) == []
    events = run(values, replace(DETECT, min_seen=0.5), seen=0.6)
    assert events[-1].seen == pytest.approx(0.6)


def test_unseen_for_a_while_an_event_ends_where_it_was_last_known() -> None:
    decoder = Decoder(LABELS, DETECT, "detect", WINDOW)
    values = series((0.0, 10.0, {0: 0.9}))
    events = [e for i, v in enumerate(values[:12]) for e in decoder.feed(i * 0.25, 0, v)]
    assert decoder.advance(3.5) == []
    (end,) = decoder.advance(4.0)
    assert (end.kind, end.offset, end.time) == ("end", 2.75, 4.0)
    assert decoder.finish() == []
    assert [e.kind for e in events] == ["start", "update", "update"]


def test_persons_are_told_apart() -> None:
    decoder = Decoder(LABELS, DETECT, "detect", WINDOW)
    nod, rest = np.array([0.9, 0.0, 0.0]), np.zeros(3)
    events = []
    for i in range(12):
        events += decoder.feed(i * 0.25, 7, nod if i > 3 else rest)
        events += decoder.feed(i * 0.25, 8, nod if i < 6 else rest)
    events += decoder.finish()
    assert {(e.person, e.label) for e in events if e.kind == "end"} == {(7, "nod"), (8, "nod")}
    assert len({e.id for e in events}) == 2


def test_not_a_number_is_no_evidence() -> None:
    assert run([np.full(3, np.nan)] * 20) == []


def test_every_start_has_one_end_and_events_of_a_part_never_overlap() -> None:
    rng = np.random.default_rng(3)
    logits = np.zeros((4000, 3))
    for before, now in itertools.pairwise(logits):
        now[:] = 0.9 * before + rng.normal(0, 0.8, 3)
    values = list(1 / (1 + np.exp(-logits)))
    events = run(values, replace(DETECT, default=replace(PLAIN, onset_lag=0.25, offset_lag=0.25), group=PLAIN))
    starts = [e.id for e in events if e.kind == "start"]
    ends = [e.id for e in events if e.kind == "end"]
    assert sorted(starts) == sorted(ends)
    assert len(set(starts)) == len(starts) > 20
    assert all(e.offset > e.onset >= 0 for e in events)
    head = sorted((e.onset, e.offset) for e in events if e.kind == "end" and e.group == "head" and e.level == "class")
    assert all(b[0] >= a[1] - WINDOW.stride - 1e-6 for a, b in itertools.pairwise(head))


def test_parameters_go_through_json() -> None:
    parameters = DecoderParameters(
        default=PLAIN,
        classes={"nod": replace(PLAIN, enter=0.7)},
        group=PLAIN,
        rest="nod",
        exclusive=(("nod", "wave"),),
        allow=("wave", "nod"),
        deny=("shake",),
        min_seen=0.3,
        sensitivity=0.6,
    )
    values = json.loads(json.dumps(parameters.to_dict()))
    assert DecoderParameters.from_dict(values) == parameters
    assert values["classes"] == {"nod": {"enter": 0.7}}
    assert DecoderParameters.from_dict({}) == DecoderParameters()
    assert DecoderParameters.for_model(WITH_REST, "classify", WINDOW).rest == "rest"
    assert DecoderParameters.for_model(LABELS, "detect", WINDOW, focus=0.25).default.onset_lag == 0.25


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"default": {"enter": 0.2, "leave": 0.4}}, "not above enter"),
        ({"default": {"enter": "high"}}, "must be a number"),
        ({"default": {"enter": float("nan")}}, "must be a number"),
        ({"default": {"smoothing": -1}}, "from 0 to"),
        ({"default": {"speed": 1}}, "no 'speed'"),
        ({"threshold": 0.4}, "no 'threshold'"),
        ({"classes": ["nod"]}, "mapping"),
        ({"classes": {"nod": 0.4}}, "mapping"),
        ({"exclusive": [["nod", "wave"], ["nod"]]}, "twice"),
        ({"exclusive": "head"}, "list"),
        ({"allow": "nod"}, "list"),
        ({"deny": [1]}, "class names"),
        ({"rest": 0}, "name a class"),
        ({"min_seen": 2}, "from 0 to 1"),
        ({"sensitivity": True}, "from 0 to 1"),
    ],
)
def test_broken_parameters_are_said(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DecoderParameters.from_dict(values)


def test_a_class_that_the_model_lacks_is_said() -> None:
    with pytest.raises(UsageError, match="'jump'"):
        Decoder(LABELS, DecoderParameters(deny=("jump",)), "detect", WINDOW)
