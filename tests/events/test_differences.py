from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.errors import DataError, UsageError
from mmn_edge.events.differences import Lines, compare, draw_differences, read_lines, split


def prediction(time: float, label: str | None = "nodding", probability: float = 0.9, person: int = 0) -> dict[str, Any]:
    return {
        "type": "prediction",
        "time": time,
        "person": person,
        "label": label,
        "probability": probability,
        "latency_ms": {"total": time},
    }


def event(onset: float, offset: float, label: str = "nodding", kind: str = "end", person: int = 0) -> dict[str, Any]:
    return {
        "type": "event",
        "kind": kind,
        "id": f"{person}.{onset:g}",
        "person": person,
        "label": label,
        "level": "class",
        "onset": onset,
        "offset": offset,
        "time": offset,
        "age_ms": onset * 7,
    }


def lines(*values: dict[str, Any]) -> Lines:
    return split(values)


BEFORE = lines(
    *(prediction(k / 4) for k in range(40)), event(1.0, 3.0), event(5.0, 7.0, "waving"), event(5.0, 7.0, person=1)
)


def test_how_long_it_took_is_no_difference() -> None:
    now = split(
        [{**one, "latency_ms": {"total": -1.0}, "utc": "now"} for one in BEFORE.predictions] + list(BEFORE.events)
    )
    assert compare(BEFORE, now).same


def test_predictions_that_differ_alike_are_one_stretch() -> None:
    changed = [prediction(k / 4, "rest" if 8 <= k < 16 or k == 30 else "nodding") for k in range(40)]
    found = compare(BEFORE, lines(*changed, *BEFORE.events))
    assert (found.predictions, found.differing, found.relabelled) == (40, 9, 9)
    assert [(one.start, one.end, one.count, one.before, one.now) for one in found.found] == [
        (2.0, 3.75, 8, "nodding", "rest"),
        (7.5, 7.5, 1, "nodding", "rest"),
    ]


def test_the_smallest_change_of_a_probability_counts_unless_it_is_tolerated() -> None:
    changed = [prediction(k / 4, probability=0.9 + 1e-6 * (k == 7)) for k in range(40)]
    now = lines(*changed, *BEFORE.events)
    found = compare(BEFORE, now)
    assert (found.differing, found.relabelled) == (1, 0)
    assert found.largest == pytest.approx(1e-6)
    assert compare(BEFORE, now, tolerance=0.001).same


def test_predictions_that_only_one_run_has() -> None:
    found = compare(BEFORE, lines(*(prediction(k / 4) for k in range(1, 42)), *BEFORE.events))
    assert (found.only_before, found.only_now, found.relabelled) == (1, 2, 0)


def test_no_answer_is_another_answer() -> None:
    none = {**prediction(0.0, None, 0.0), "probability": None, "reason": "not enough seen"}
    found = compare(lines(prediction(0.0)), lines(none))
    assert (found.found[0].before, found.found[0].now) == ("nodding", "not enough seen")


def test_events_that_moved_came_and_went() -> None:
    now = lines(*BEFORE.predictions, event(1.25, 3.0), event(5.0, 7.0, "rest"), event(5.0, 7.0, person=1))
    found = compare(BEFORE, now)
    assert found.events == (3, 3)
    assert [(one.before, one.now, one.change) for one in found.found] == [
        ("nodding", "nodding", 0.25),
        ("waving", "", 0.0),
        ("", "rest", 0.0),
    ]


def test_the_same_events_told_otherwise_on_the_way_are_a_difference() -> None:
    start, late = event(1.0, 1.5, kind="start"), {**event(1.0, 1.5, kind="start"), "time": 2.5}
    assert not compare(lines(start, event(1.0, 3.0)), lines(late, event(1.0, 3.0))).same
    assert not compare(lines(start, event(1.0, 3.0)), lines(event(1.0, 3.0))).same


def test_what_the_earlier_run_did_not_write_is_not_compared() -> None:
    only_events = lines(*BEFORE.events)
    assert compare(only_events, BEFORE).same


def test_a_file_is_read_and_sources_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({**prediction(0.0), "source": name}) + "\n\n" for name in ("hall", "desk")))
    with pytest.raises(UsageError, match=r"several sources.*desk, hall"):
        read_lines(path)
    assert len(read_lines(path, source="hall").predictions) == 1
    with pytest.raises(UsageError, match="no line of source 'door'"):
        read_lines(path, source="door")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "nonsense",
        "[" * 10_000,
        "[]",
        "{}",
        '{"type": "prediction"}',
        '{"type": "prediction", "time": NaN, "person": 0}',
        '{"type": "prediction", "time": true, "person": 0}',
        '{"type": "event", "onset": 1, "offset": "2", "person": 0}',
        '{"type": "event", "onset": 1, "offset": 2, "person": 0, "label": []}',
        '{"time": 0, "layout": "ma52", "persons": []}',
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"a\.jsonl"):
        read_lines(tmp_path / "a.jsonl")


def test_the_picture_shows_both_runs() -> None:
    now = lines(*(prediction(k / 4, "rest") for k in range(40)), event(1.25, 3.0), event(5.0, 7.0, "waving"))
    svg = draw_differences(BEFORE, now, compare(BEFORE, now), "talk")
    assert svg.startswith("<svg")
    for text in ("before", "now", "person 1", "waving", "nodding → rest"):
        assert text in svg
    with pytest.raises(DataError, match="nothing is to be drawn"):
        draw_differences(lines(), lines(), compare(lines(), lines()), "talk")
