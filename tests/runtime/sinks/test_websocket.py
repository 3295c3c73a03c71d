"""With a real client over a real socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.sinks import websocket
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.runtime.sinks.grammar import open_sink
from mmn_edge.runtime.sinks.websocket import WebSocketSink

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

MakeEvent = Callable[..., Event]


@contextmanager
def serving(context: SinkContext, text: str = "ws://127.0.0.1:0") -> Iterator[tuple[WebSocketSink, str]]:
    sink = open_sink(text, context)
    assert isinstance(sink, WebSocketSink)
    server = context.servers.at("127.0.0.1", 0)
    with context.servers, sink:
        yield sink, f"ws://127.0.0.1:{server.address[1]}/events"


def wait_for_clients(sink: WebSocketSink, count: int) -> None:
    until = time.monotonic() + 10
    while len(sink._clients) != count:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_all_clients_hear_what_comes(context: SinkContext, event: MakeEvent) -> None:
    with serving(context) as (sink, url), client.connect(url) as one, client.connect(url) as other:
        wait_for_clients(sink, 2)
        sink.write(event("start"))
        sink.write(event("end"))
        for connection in (one, other):
            heard = [json.loads(connection.recv(timeout=10)) for _ in range(2)]
            assert [line["kind"] for line in heard] == ["start", "end"]
            assert heard[0]["source"] == "desk"


def test_who_comes_late_begins_with_what_goes_on(context: SinkContext, event: MakeEvent) -> None:
    with serving(context) as (sink, url):
        with client.connect(url):
            wait_for_clients(sink, 1)
        for kind, number in (("start", 1), ("start", 2), ("end", 1)):
            sink.write(event(kind, number))
        with client.connect(url) as late:
            assert json.loads(late.recv(timeout=10))["id"] == "0.2"
            with pytest.raises(TimeoutError):
                late.recv(timeout=0.2)


def test_a_client_that_leaves_harms_nobody(context: SinkContext, event: MakeEvent) -> None:
    with serving(context) as (sink, url), client.connect(url) as stays:
        with client.connect(url):
            wait_for_clients(sink, 2)
        wait_for_clients(sink, 1)
        sink.write(event())
        assert json.loads(stays.recv(timeout=10))["kind"] == "start"


def test_a_slow_client_loses_the_oldest_and_is_told(
    context: SinkContext, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "QUEUE", 4)
    with serving(context) as (sink, url), client.connect(url, max_queue=1) as slow:
        wait_for_clients(sink, 1)
        began = time.monotonic()
        count = 20_000
        for number in range(count):
            sink.write(event("update", onset=float(number)))
        assert time.monotonic() - began < 30  # it waited for nobody
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1].get("onset") != count - 1:
            heard.append(json.loads(slow.recv(timeout=10)))
    told = sum(line["count"] for line in heard if line["type"] == "dropped")
    assert told == sink.dropped > 0
    assert len([line for line in heard if line["type"] == "event"]) == count - told


def test_pages_of_other_sites_cannot_listen(context: SinkContext) -> None:
    with (
        serving(context) as (_, url),
        pytest.raises(exceptions.InvalidStatus),
        client.connect(url, origin="https://evil.example"),
    ):
        pass


def test_a_client_that_talks_much_is_cut_off(context: SinkContext) -> None:
    with serving(context) as (sink, url), client.connect(url) as loud:
        wait_for_clients(sink, 1)
        loud.send("x" * 100_000)
        with pytest.raises(exceptions.ConnectionClosed):
            loud.recv(timeout=10)
        wait_for_clients(sink, 0)
