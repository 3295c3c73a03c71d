from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.counters import SinkCounters
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks import queued
from mmn_edge.runtime.sinks.queued import QueuedSink


class Gated:
    name, prompt = "gated", False

    def __init__(self) -> None:
        self.gate, self.items, self.left = threading.Event(), [], False

    def __enter__(self) -> Gated:
        return self

    def __exit__(self, *error: object) -> None:
        self.left = True

    def advance(self, time: float, source: str = "") -> None:
        pass

    def write(self, item: Event | Prediction) -> None:
        self.gate.wait(30)
        self.items.append(item)


def test_what_waited_longest_is_dropped_counted_and_said_once(
    event: Callable[..., Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "CAPACITY", 10)
    notes: list[str] = []
    sink, counters = Gated(), SinkCounters("gated")
    events = [event(number=n) for n in range(100)]
    with QueuedSink(sink, counters, on_note=notes.append) as ahead:
        for one in events:
            ahead.write(one)
        sink.gate.set()
    assert sink.left
    assert sink.items[-10:] == events[-10:]
    assert counters.written == len(sink.items)
    assert counters.written + counters.dropped == 100
    assert counters.dropped >= 89
    assert notes == ["gated is too slow: what it has no time for is left out"]


def test_a_failure_reaches_whoever_writes_next(event: Callable[..., Event]) -> None:
    class Full(Gated):
        def write(self, item: Event | Prediction) -> None:
            raise OSError("no space left")

    failed = threading.Event()
    with QueuedSink(Full(), SinkCounters(), on_failure=failed.set) as ahead:
        ahead.write(event())
        assert failed.wait(30)
        with pytest.raises(OSError, match="no space left"):
            ahead.write(event())


def test_a_sink_that_never_ends_is_given_up(event: Callable[..., Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "CLOSING_SECONDS", 0.1)
    sink, counters = Gated(), SinkCounters("gated")
    with QueuedSink(sink, counters) as ahead:
        for number in range(3):
            ahead.write(event(number=number))
    assert counters.dropped in (2, 3)
    assert not sink.left
    sink.gate.set()
