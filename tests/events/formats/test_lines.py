from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.errors import DataError
from mmn_edge.events.decoder import Event
from mmn_edge.events.formats import read


def event(kind: str, identity: str = "0-1", **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "kind": kind,
        "id": identity,
        "person": 0,
        "label": "nodding",
        "group": "head",
        "level": "class",
        "onset": 1.5,
        "offset": 3.0,
        "peak": 0.9,
        "score": 0.75,
        "seen": 1.0,
        "time": 2.0,
        "emitted": 2.0,
    }
    return {**Event(**values).to_dict(), **more}


def save(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_events_that_have_ended_are_read(tmp_path: Path) -> None:
    path = save(
        tmp_path / "talk.jsonl",
        event("start", offset=1.9),
        {"type": "prediction", "time": 2.0, "label": "nodding"},
        event("start", "0-2", label="head", level="group", time=2.5),
        event("update", offset=2.5, time=3.0),
        event("end", time=3.5),
    )
    found = read(path)
    nod, head = sorted(found.intervals, key=lambda entry: entry.label, reverse=True)
    assert (nod.recording, nod.start, nod.end, nod.label, nod.person, nod.score) == (
        "talk",
        1.5,
        3.0,
        "nodding",
        "0",
        0.75,
    )
    assert nod.extra == (("emitted", "2.0"),)
    assert (head.label, head.group) == ("group:head", "head")
    assert found.notes == (f"{path}: 1 events had not ended and last as long as was last said",)


def test_several_sources_are_several_recordings(tmp_path: Path) -> None:
    lines = [{**event("end"), "source": name} for name in ("videos/talk.mp4", "walk.mp4")]
    assert read(save(tmp_path / "all.jsonl", *lines)).annotated == ("talk", "walk")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{"time": 0.0, "layout": "ma52", "persons": []}], "line 1 is a frame of a recording: events have"),
        ([{"type": "prediction"}], "holds predictions and no events: mmn-edge run --emit events"),
        ([event("end", onset="soon")], "line 1: \"onset\" must be a number, not 'soon'"),
        ([event("end", label=5)], 'line 1: "label" must be the name of a class, not 5'),
        ([event("end", onset=-1.0)], "line 1: the start is negative"),
    ],
)
def test_what_is_no_event(tmp_path: Path, lines: list[dict[str, Any]], reason: str) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=reason):
        read(path)


def test_broken_lines(tmp_path: Path) -> None:
    (tmp_path / "talk.jsonl").write_text('{"type": "event", "id"\n')
    with pytest.raises(DataError, match="line 1 is no JSON"):
        read(tmp_path / "talk.jsonl")
    (tmp_path / "talk.jsonl").write_text("\n")
    assert read(tmp_path / "talk.jsonl").annotated == ("talk",)  # watched, and nothing happened
