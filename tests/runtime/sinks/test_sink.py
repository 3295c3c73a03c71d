import io
import json
import time

import pytest
from rich.console import Console

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks.sink import JsonLinesSink, TableSink


def terminal(width: int = 80) -> Console:
    return Console(width=width, markup=False, emoji=False, highlight=False)


def drawn(sink: TableSink, width: int = 80) -> str:
    """What stands on a terminal of so many columns, as text."""
    console = Console(width=width, markup=False, emoji=False, highlight=False, file=io.StringIO())
    sink._console = console
    with console.capture() as capture:
        console.print(sink._render())
    return capture.get()


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
        "type": "prediction",
        "time": 1.5,
        "person": 0,
        "label": "nodding",
        "probability": 0.75,
        "group": "head",
        "top5": [{"label": "nodding", "probability": 0.75}, {"label": "rest", "probability": 0.25}],
        "seen": 1.0,
        "latency_ms": {"prepare": 0.5, "infer": 2.0, "total": 2.5},
    }
    assert second["person"] == 1


def test_the_table_shows_persons_and_forgets_those_who_left(capsys: pytest.CaptureFixture[str]) -> None:
    with TableSink(terminal()) as sink:
        sink.write(prediction(1.0, person=7, label="waving"))
        sink.write(prediction(2.0, person=1))
        sink.advance(4.5)  # person 7 was last predicted 3.5 s ago
    shown = capsys.readouterr().out
    assert "micro-actions at 4.5 s" in shown
    assert "nodding" in shown
    assert "75.0%" in shown
    assert "infer 2.0, total 2.5 ms" in shown
    assert "waving" not in shown.split("micro-actions at 4.5 s")[-1]


def test_a_person_of_whom_too_little_is_seen_is_in_the_table_without_an_answer() -> None:
    sink = TableSink(terminal())
    sink.write(Prediction(1.0, 3, None, None, None, (), {"prepare": 0.5}, 0.12, "not enough seen"))
    sink.write(prediction(1.0))
    for width in (40, 80, 120):
        shown = " ".join(drawn(sink, width).replace("│", " ").split())
        assert "not enough seen (12% of" in shown
        assert "nodding" in shown


def test_the_table_clears_when_everybody_has_left(capsys: pytest.CaptureFixture[str]) -> None:
    with TableSink(terminal()) as sink:
        sink.write(prediction(1.0))
        sink.advance(9.0)
    assert "waiting for somebody" in capsys.readouterr().out.split("micro-actions at 9.0 s")[-1]


def test_the_tables_clock_moves_while_nobody_is_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, then
    monkeypatch.setenv("TERM", "xterm")
    with TableSink(Console()) as sink:
        sink.advance(7.0)
        until = time.monotonic() + 10
        while "at 7.0 s: waiting for somebody" not in (shown := capsys.readouterr().out):
            assert time.monotonic() < until, shown
            time.sleep(0.1)


def test_a_person_stays_until_the_next_prediction_is_late() -> None:
    sink = TableSink(terminal(), stride=10.0)
    sink.write(prediction(10.0))
    sink.advance(24.9)
    assert "nodding" in drawn(sink)
    sink.advance(25.0)
    assert "nodding" not in drawn(sink)


LABELS = ("touching or scratching the neck", "clasping hands", ":smile: [b]wave[/]", "rest")


@pytest.mark.parametrize("width", [32, 40, 60, 80, 120])
def test_the_table_fits_and_keeps_the_probability(width: int) -> None:
    sink = TableSink(terminal())
    top = tuple((label, 0.25) for label in LABELS)
    sink.write(Prediction(1.0, 0, top[0][0], 0.25, "upper limb", top, {"capture": 1.0, "pose": 31.0, "total": 40.0}))
    lines = drawn(sink, width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("25.0%" in line for line in lines) == len(LABELS)
    text = " ".join(drawn(sink, width).replace("│", " ").split())
    for word in " ".join(LABELS).split():  # none is longer than its column
        assert word in text, f"{word} is broken at {width} columns"
    assert ("upper limb" in text) == (width >= 80)
    assert ("█" in text) == (width >= 80)


def event(kind: str, name: str, onset: float, offset: float, label: str) -> Event:
    return Event(kind, name, 0, label, "head", "class", onset, offset, 0.9, 0.8, 1.0, offset, onset)


@pytest.mark.parametrize("width", [32, 40, 60, 80, 120])
def test_the_table_of_events_shows_what_goes_on_above_what_ended(width: int) -> None:
    sink = TableSink(terminal(), events=True, predictions=False)
    assert "none yet" in drawn(sink, width)
    sink.write(event("start", "0.1", 1.0, 1.5, "clasping hands"))
    sink.write(event("start", "0.2", 2.0, 2.5, ":smile: nodding"))
    sink.write(event("end", "0.1", 1.0, 3.0, "clasping hands"))
    sink.advance(4.0)
    text = drawn(sink, width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.replace("│", " ").split())
    assert "at 4.0 s" in words
    assert ":smile:" in words
    assert words.index("nodding") < words.index("clasping") if width >= 40 else True
    assert "3.0 s" in words


def test_events_are_lines_of_their_type() -> None:
    file = io.StringIO()
    with JsonLinesSink(file) as sink:
        sink.write(event("end", "0.1", 1.0, 3.0, "waving"))
    line = json.loads(file.getvalue())
    assert (line["type"], line["kind"], line["id"], line["onset"], line["offset"]) == ("event", "end", "0.1", 1.0, 3.0)
