import io
import json

import pytest

from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sink import JsonLinesSink, TableSink


def prediction(time: float, person: int = 0, label: str = "nodding") -> Prediction:
    top = ((label, 0.75), ("rest", 0.25))
    return Prediction(time, person, label, 0.75, "head", top, {"prepare": 0.5, "infer": 2.0, "total": 2.5})


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
        sink.write(prediction(4.5, person=1))
    assert both.row_count == 4
    shown = capsys.readouterr().out
    assert "micro-actions at 4.5 s" in shown
    assert "nodding" in shown
    assert "75.0%" in shown
    assert "infer 2.0 ms" in shown
    assert "waving" not in shown.split("micro-actions at 4.5 s")[-1]
