import io
import json
import time

import pytest
import rich

from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks.sink import JsonLinesSink, TableSink


def prediction(at: float, person: int = 0, label: str = "nodding") -> Prediction:
    top = ((label, 0.75), ("rest", 0.25))
    return Prediction(at, person, label, 0.75, "head", top, {"prepare": 0.5, "infer": 2.0, "total": 2.5})


def test_json_lines() -> None:
    file = io.StringIO()
    with JsonLinesSink(file) as sink:
        sink.write(prediction(1.5))
        sink.write(prediction(2.0, person=1))
    first, second = (json.loads(line) for line in file.getvalue().splitlines())
    assert first == {
        "time": 1.5,
        "person": 0,
        "label": "nodding",
        "probability": 0.75,
        "group": "head",
        "top5": [{"label": "nodding", "probability": 0.75}, {"label": "rest", "probability": 0.25}],
        "latency_ms": {"prepare": 0.5, "infer": 2.0, "total": 2.5},
    }
    assert second["person"] == 1


def test_the_table_shows_persons_and_forgets_those_who_left(capsys: pytest.CaptureFixture[str]) -> None:
    with TableSink() as sink:
        sink.write(prediction(1.0, person=7, label="waving"))
        sink.write(prediction(2.0, person=1))
        both = sink._render()
        sink.advance(4.5)  # person 7 was last predicted 3.5 s ago
        one = sink._render()
    assert (both.row_count, one.row_count) == (4, 2)
    shown = capsys.readouterr().out
    assert "micro-actions at 4.5 s" in shown
    assert "nodding" in shown
    assert "75.0%" in shown
    assert "infer 2.0 ms" in shown
    assert "waving" not in shown.split("micro-actions at 4.5 s")[-1]


def test_the_table_clears_when_everybody_has_left(capsys: pytest.CaptureFixture[str]) -> None:
    with TableSink() as sink:
        sink.write(prediction(1.0))
        sink.advance(9.0)
    assert "waiting for somebody" in capsys.readouterr().out.split("micro-actions at 9.0 s")[-1]


def test_the_tables_clock_moves_while_nobody_is_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, then
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(rich, "_console", None)  # it decides when it is made
    with TableSink() as sink:
        sink.advance(7.0)
        until = time.monotonic() + 10
        while "at 7.0 s: waiting for somebody" not in (shown := capsys.readouterr().out):
            assert time.monotonic() < until, shown
            time.sleep(0.1)


def test_a_person_stays_until_the_next_prediction_is_late() -> None:
    with TableSink(stride=10.0) as sink:
        sink.write(prediction(10.0))
        sink.advance(24.9)
        assert sink._render().row_count == 2
        sink.advance(25.0)
        assert sink._render().row_count == 0
