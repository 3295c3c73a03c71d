"""Against a real broker: Debian's mosquitto, started by the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.runtime.sinks.grammar import open_sink
from mmn_edge.runtime.sinks.mqtt import MqttSink

pytestmark = [
    pytest.mark.skipif(shutil.which("mosquitto") is None, reason="PROOF SKIPPED: mosquitto is not installed"),
    pytest.mark.proof,
]
paho = pytest.importorskip("paho.mqtt.client")

MakeEvent = Callable[..., Event]


def wait(condition: Callable[[], object], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.02)


class Broker:
    """mosquitto, that can be killed and started again."""

    def __init__(self, folder: Path, port: int, extra: str = "") -> None:
        self.port = port
        self._config = folder / "mosquitto.conf"
        extra += "user root\n" if os.geteuid() == 0 else ""  # else it could not read the test's folder
        access = "" if "password_file" in extra else "allow_anonymous true\n"
        self._config.write_text(f"listener {port} 127.0.0.1\n{access}{extra}")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait(lambda: _answers(self.port))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _answers(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def broker(tmp_path: Path, free_port: int) -> Iterator[Broker]:
    found = Broker(tmp_path, free_port)
    found.start()
    yield found
    found.kill()


@contextmanager
def listener(port: int, *topics: str) -> Iterator[list[tuple[str, str, bool]]]:
    """What a client of the broker hears: topic, payload, and whether it was retained."""
    heard: list[tuple[str, str, bool]] = []
    ready = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.reconnect_delay_set(1, 1)
    client.on_connect = lambda c, *_: [c.subscribe(topic, 1) for topic in topics]
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda c, u, m: heard.append((m.topic, m.payload.decode(), m.retain))
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert ready.wait(10)
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def sink_at(port: int, context: SinkContext, options: str = "") -> MqttSink:
    sink = open_sink(f"mqtt://127.0.0.1:{port}/mmn,device=jetson{options}", context)
    assert isinstance(sink, MqttSink)
    return sink


def payloads(heard: list[tuple[str, str, bool]], topic: str) -> list[dict[str, Any]]:
    return [json.loads(text) for name, text, _ in heard if name == topic]


def test_events_arrive_with_their_kind_as_topic(broker: Broker, context: SinkContext, event: MakeEvent) -> None:
    with listener(broker.port, "mmn/#") as heard:
        with sink_at(broker.port, context) as sink:
            sink.write(event("start"))
            sink.write(event("end"))
        wait(lambda: ("mmn/availability", "offline", False) in heard)
    kinds = [topic for topic, _, _ in heard]
    assert kinds == ["mmn/availability", "mmn/desk/event/start", "mmn/desk/event/end", "mmn/availability"]
    (start,) = payloads(heard, "mmn/desk/event/start")
    assert start["event_type"] == start["label"] == event().label
    assert start["source"] == "desk"
    assert start["utc"].endswith("Z")
    assert sink.dropped == 0


def test_home_assistant_finds_an_event_entity_a_source(broker: Broker, notes: list[str], context: SinkContext) -> None:
    two = SinkContext(context.labels, ("desk", "front door"), live=True, on_note=notes.append)
    with sink_at(broker.port, two) as sink, listener(broker.port, "homeassistant/#") as heard:
        wait(lambda: len(heard) >= 2)
        configs = {topic: json.loads(text) for topic, text, retained in heard}
        assert all(retained for *_, retained in heard) or sink.connected
        config = configs["homeassistant/event/mmn_edge_jetson_front-door/config"]
        assert config["unique_id"] == "mmn_edge_jetson_front-door"
        assert config["state_topic"] == "mmn/front-door/event/start"
        assert set(context.labels.classes) <= set(config["event_types"])
        assert config["availability_topic"] == "mmn/availability"
        # Retained: a broker that is asked later has it.
        with listener(broker.port, "homeassistant/event/+/config") as later:
            wait(lambda: len(later) == 2)
            assert all(retained for *_, retained in later)
        # Home Assistant starts, and is told again.
        heard.clear()
        publish(broker.port, "homeassistant/status", "online")
        wait(lambda: len([1 for topic, *_ in heard if topic.endswith("/config")]) == 2)


def publish(port: int, topic: str, text: str) -> None:
    subprocess.run(["mosquitto_pub", "-p", str(port), "-t", topic, "-m", text], check=True, timeout=20)


def test_a_broker_that_was_away_gets_what_waited(
    broker: Broker, context: SinkContext, notes: list[str], event: MakeEvent
) -> None:
    with sink_at(broker.port, context) as sink:
        wait(lambda: sink.connected)
        broker.kill()
        wait(lambda: not sink.connected)
        for number in range(50):
            sink.write(event("start", number))
        broker.start()
        with listener(broker.port, "mmn/#") as heard:
            wait(lambda: len(payloads(heard, "mmn/desk/event/start")) == 50, 30)
            ids = [one["id"] for one in payloads(heard, "mmn/desk/event/start")]
            assert ids == [f"0.{number}" for number in range(50)]
        assert sink.dropped == 0
    assert "has gone" in notes[0]
    assert "the broker is there; 50 messages waited" in notes[1]


def test_a_full_queue_drops_the_oldest_and_counts(
    tmp_path: Path, free_port: int, context: SinkContext, notes: list[str], event: MakeEvent
) -> None:
    """The broker is not there at the start, and comes later."""
    broker = Broker(tmp_path, free_port)
    try:
        with sink_at(free_port, context, ",queue=10") as sink:
            for number in range(25):
                sink.write(event("start", number))
            assert sink.dropped == 15
            wait(lambda: notes)
            broker.start()
            with listener(free_port, "mmn/#") as heard:
                wait(lambda: len(payloads(heard, "mmn/desk/event/start")) == 10, 30)
                assert payloads(heard, "mmn/desk/event/start")[0]["id"] == "0.15"
        assert "15 messages did not reach the broker" in notes[-1]
    finally:
        broker.kill()


def test_a_broker_that_never_was_there_holds_nothing_up(
    free_port: int, context: SinkContext, notes: list[str], event: MakeEvent
) -> None:
    began = time.monotonic()
    with sink_at(free_port, context) as sink:
        sink.write(event())
    assert time.monotonic() - began < 10
    assert sink.dropped == 1
    assert "1 messages did not reach" in notes[-1]


DIES = """
import os, sys, time
from mmn_edge.model import labels
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.runtime.sinks.grammar import open_sink
sink = open_sink(sys.argv[1], SinkContext(labels.get("synthetic"), ("desk",)))
with sink:
    while not sink.connected:
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(os.getpid(), 9)
"""


def test_the_last_will_says_offline_when_the_process_is_killed(broker: Broker) -> None:
    with listener(broker.port, "mmn/availability") as heard:
        subprocess.run([sys.executable, "-c", DIES, f"mqtt://127.0.0.1:{broker.port}/mmn"], check=False, timeout=60)
        wait(lambda: [text for _, text, _ in heard][-1:] == ["offline"])
    assert [text for _, text, _ in heard] == ["online", "offline"]


def test_a_password_is_taken_from_the_environment(
    tmp_path: Path, free_port: int, context: SinkContext, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "me", "right"], check=True, capture_output=True)
    os.chmod(passwords, 0o644)  # noqa: PTH101
    broker = Broker(tmp_path, free_port, f"password_file {passwords}\nallow_anonymous false\n")
    broker.start()
    try:
        monkeypatch.setenv("MMN_EDGE_MQTT_PASSWORD", "wrong")
        with open_sink(f"mqtt://me@127.0.0.1:{free_port}", context):
            wait(lambda: notes)
        assert "refuses us" in notes[0]
        monkeypatch.setenv("MMN_EDGE_MQTT_PASSWORD", "right")
        with sink_at_user(free_port, context) as sink:
            wait(lambda: sink.connected)
    finally:
        broker.kill()


def sink_at_user(port: int, context: SinkContext) -> MqttSink:
    sink = open_sink(f"mqtt://me@127.0.0.1:{port}", context)
    assert isinstance(sink, MqttSink)
    return sink
