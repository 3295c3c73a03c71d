"""Events to an MQTT broker, with Home Assistant's discovery; while the broker is away they wait in a bounded queue."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmn_edge.errors import UsageError
from mmn_edge.events.decoder import Event
from mmn_edge.events.interval import group_label
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks import home_assistant
from mmn_edge.runtime.sinks.context import SinkContext, topic_name
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Broker", "MqttSink"]

RECONNECT_SECONDS = (1, 60)
IN_FLIGHT = 20
"""Messages that the broker has not yet acknowledged, at most."""

FLUSH_SECONDS = 5.0
"""At the end what waits is sent for so long."""

KEEPALIVE = 30


@dataclass(frozen=True)
class Broker:
    """Where to publish, and as whom.

    Attributes:
        host: Name or address.
        port: Usually 1883, with TLS 8883.
        base: First levels of all topics.
        device: Name of this machine in Home Assistant.
        user: User's name; None for nobody's.
        password: The user's.
        tls: Whether to talk TLS.
        ca: Certificates to trust instead of the system's.
        discovery: Home Assistant's prefix; None for no discovery.
        queue: Messages that are kept while the broker is away; the oldest go first.
    """

    host: str
    port: int
    base: str
    device: str
    user: str | None = None
    password: str | None = None
    tls: bool = False
    ca: Path | None = None
    discovery: str | None = "homeassistant"
    queue: int = 10_000

    @property
    def availability(self) -> str:
        """The topic of ``online`` and ``offline``."""
        return f"{self.base}/availability"

    def topic(self, source: str, *levels: str) -> str:
        """A topic of a source."""
        return "/".join((self.base, topic_name(source), *levels))


@dataclass(frozen=True)
class Message:
    """What is to be published."""

    topic: str
    payload: str
    retain: bool = False


class MqttSink:
    """Publishes what comes, at least once and in order.

    ``BASE/SOURCE/event/start``, ``.../update`` and ``.../end`` hold events, ``BASE/SOURCE/prediction`` predictions, and
    ``BASE/availability`` says ``online`` or, also when this process dies, ``offline``.

    Args:
        broker: Where to.
        context: The run.

    Attributes:
        dropped: Messages that the queue had no room for, or that never reached the broker.

    Raises:
        MissingDependencyError: paho-mqtt is not installed.
        UsageError: The certificates cannot be used.
    """

    name = "mqtt"
    prompt = True

    def __init__(self, broker: Broker, context: SinkContext) -> None:
        mqtt = require("paho.mqtt.client", extra="mqtt", purpose="The sink mqtt")
        self.dropped = 0
        self._broker, self._context = broker, context
        # The client calls back with its own locks held: so ours is never held while the client is called.
        self._changed = threading.Condition()
        self._first: deque[Message] = deque()
        self._waiting: deque[Message] = deque()
        self._unacknowledged = 0
        self._connected = False
        self._said_away = False
        self._until = math.inf
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.reconnect_delay_set(*RECONNECT_SECONDS)
        client.max_queued_messages_set(0)
        client.will_set(broker.availability, "offline", qos=1, retain=True)
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls:
            try:
                client.tls_set(ca_certs=None if broker.ca is None else str(broker.ca))
            except (OSError, ValueError) as error:
                raise UsageError(f"the certificates in {broker.ca} cannot be used: {error}") from error
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail = lambda *_: self._away("does not answer")
        client.on_publish, client.on_message = self._on_publish, self._on_message
        self._client: Any = client
        context.losses[str(self)] = lambda: self.dropped

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._connected

    def __enter__(self) -> Self:
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=KEEPALIVE)
        self._client.loop_start()
        self._sender = threading.Thread(target=self._send, name="mqtt", daemon=True)
        self._sender.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._until = time.monotonic() + FLUSH_SECONDS
            self._waiting.append(Message(self._broker.availability, "offline", retain=True))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._said_away or not self._pending(), FLUSH_SECONDS)
            lost = [message for message in self._waiting if not message.retain]
            self.dropped += len(lost) + (self._unacknowledged if not self._connected else 0)
            self._until = 0.0
            self._changed.notify_all()
        self._sender.join()
        self._client.disconnect()
        self._client.loop_stop()
        if self.dropped:
            self._context.on_note(f"{self}: {self.dropped} messages did not reach the broker")

    def __str__(self) -> str:
        return f"mqtt{'s' if self._broker.tls else ''}://{self._broker.host}:{self._broker.port}"

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do: messages are sent when they are made."""

    def write(self, item: Event | Prediction) -> None:
        """Publish one, now or when the broker is back; never waits."""
        values = self._context.values(item)
        if isinstance(item, Event):
            label = group_label(item.label) if item.level == "group" else item.label
            values = {"event_type": label, **values}
            topic = self._broker.topic(values["source"], "event", item.kind)
        else:
            topic = self._broker.topic(values["source"], "prediction")
        with self._changed:
            if len(self._waiting) >= self._broker.queue:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(Message(topic, json.dumps(values, ensure_ascii=False)))
            self._changed.notify_all()

    def _pending(self) -> int:
        return len(self._first) + len(self._waiting) + self._unacknowledged

    def _ready(self) -> bool:
        if time.monotonic() >= self._until:
            return True
        return self._connected and self._unacknowledged < IN_FLIGHT and bool(self._first or self._waiting)

    def _send(self) -> None:
        """In a thread: hand messages to the client, few at a time, for what it holds it keeps without a bound."""
        while True:
            with self._changed:
                self._changed.wait_for(self._ready)
                if time.monotonic() >= self._until:
                    return
                message = (self._first or self._waiting).popleft()
                self._unacknowledged += 1
            self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._away(f"refuses us ({reason})")
            return
        if self._broker.discovery is not None:
            client.subscribe(f"{self._broker.discovery}/status", qos=1)
        with self._changed:
            self._connected = True
            self._first.clear()
            self._first.extend([Message(self._broker.availability, "online", retain=True), *self._discovery()])
            waiting = len(self._waiting)
            self._changed.notify_all()
        if self._said_away:
            self._said_away = False
            self._context.on_note(f"{self}: the broker is there; {waiting} messages waited, {self.dropped} dropped")

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            self._connected = False
            self._changed.notify_all()
        if reason.is_failure:
            self._away("has gone")

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._changed:
            self._unacknowledged = max(self._unacknowledged - 1, 0)
            self._changed.notify_all()

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        if message.payload == b"online":  # Home Assistant has started
            with self._changed:
                self._first.extend(self._discovery())
                self._changed.notify_all()

    def _discovery(self) -> list[Message]:
        """The retained configuration of every source."""
        broker = self._broker
        if broker.discovery is None:
            return []
        found = [
            home_assistant.discovery(
                broker.discovery,
                topic_name(broker.device),
                topic_name(source),
                self._context.labels,
                topic=broker.topic(source, "event", "start"),
                availability=broker.availability,
            )
            for source in self._context.sources
        ]
        return [Message(topic, json.dumps(payload, ensure_ascii=False), retain=True) for topic, payload in found]

    def _away(self, how: str) -> None:
        if not self._said_away:
            with self._changed:
                self._said_away = True
                self._changed.notify_all()
            kept = f"up to {self._broker.queue} messages wait"
            self._context.on_note(f"{self}: the broker {how}; {kept} until it is back")
