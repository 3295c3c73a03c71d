"""The one grammar in which sinks are named on the command line.

=======================================  ======================================================================
``table``                                a live table on the terminal
``-``                                    JSON lines on standard output
``FILE.jsonl,size=50MB,age=1d,keep=30d`` JSON lines in files that end by size and age, and are deleted by age and size
``FILE.csv`` ``.eaf`` ``.TextGrid`` ...  annotations, written when the run ends
``recording:FOLDER,age=1h,keep=7d``      recordings of what is recognised, for replays
``mqtt://[USER@]HOST[:PORT][/TOPIC]``    an MQTT broker, with Home Assistant's discovery; ``mqtts://`` with TLS
``ws://HOST:PORT[/PATH]``                a WebSocket server, one JSON object a message
``http://HOST:PORT``                     ``/health`` and ``/metrics`` (Prometheus)
=======================================  ======================================================================
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from mmn_edge.errors import UsageError
from mmn_edge.runtime.server.app import Server, is_loopback
from mmn_edge.runtime.sinks.annotations import AnnotationSink
from mmn_edge.runtime.sinks.context import SinkContext, topic_name
from mmn_edge.runtime.sinks.metrics import MetricsSink
from mmn_edge.runtime.sinks.mqtt import Broker, MqttSink
from mmn_edge.runtime.sinks.options import number, seconds, secret, size, split_options
from mmn_edge.runtime.sinks.recording import USUAL, RecordingSink
from mmn_edge.runtime.sinks.rotation import RotatedLines, Rotation
from mmn_edge.runtime.sinks.sink import JsonLinesSink, RotatedSink, Sink
from mmn_edge.runtime.sinks.websocket import WebSocketSink

__all__ = ["LINES", "open_sink"]

LINES = (".jsonl", ".ndjson")
"""Suffixes of JSON lines."""

ROTATION = ("size", "age", "keep", "total")

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 8080, "http": 8080}

HTTP_TOKEN = "MMN_EDGE_HTTP_TOKEN"
MQTT_PASSWORD = "MMN_EDGE_MQTT_PASSWORD"
"""Environment variables that hold secrets, which have no place where ``ps`` shows them."""


def open_sink(text: str, context: SinkContext) -> Sink:
    """Make the sink that ``text`` names; nothing is connected or written before it is entered.

    Args:
        text: A sink of the grammar above, with options after commas.
        context: The run that it belongs to. Its servers are entered after all sinks are made.

    Raises:
        UsageError: No sink is called that, or an option makes no sense.
        MissingDependencyError: The sink needs a package that is not installed.
        OSError: A folder cannot be written.
    """
    scheme = text.partition("://")[0] if "://" in text else ""
    if text.startswith("recording:"):
        return _recording(text, context)
    if scheme in _BY_SCHEME:
        return _BY_SCHEME[scheme](text, context)
    if scheme:
        raise UsageError(f"unknown sink {text}: {', '.join(f'{name}://' for name in _BY_SCHEME)} are known")
    if text == "-":
        return JsonLinesSink(sys.stdout)
    if text == "table":
        return _table(context)
    return _file(text, context)


def _table(context: SinkContext) -> Sink:
    from rich.console import Console

    from mmn_edge.runtime.sinks.sink import TableSink

    console = Console(highlight=False, markup=False, emoji=False)
    return TableSink(console, stride=context.stride, events=context.events, predictions=context.predictions)


def _file(text: str, context: SinkContext) -> Sink:
    name, options = split_options(text, ROTATION)
    path = Path(name)
    suffix = path.suffix.lower()
    if suffix in LINES:
        lines = RotatedLines(path, _rotation(options, Rotation()), on_note=context.on_note)
        return RotatedSink(lines, context)
    if options:
        raise UsageError(f"sink {text}: options are for .jsonl files, which go on without end")
    if not suffix:
        raise UsageError(
            f"unknown sink {text!r}: name a file by its suffix (.jsonl, .csv, .eaf ...), table, -, or a URI such as "
            "mqtt://localhost"
        )
    if not context.events:
        raise UsageError(f"{path} is for events, and --emit predictions leaves them out: name a file .jsonl")
    if len(context.sources) > 1:
        raise UsageError(f"{path} holds the annotations of one source, and there are {len(context.sources)}")
    return AnnotationSink(path, context.sources[0], context.labels, media=context.media, on_note=context.on_note)


def _rotation(options: Mapping[str, str], usual: Rotation) -> Rotation:
    return Rotation(
        size(options, "size", usual.size),
        seconds(options, "age", usual.age),
        seconds(options, "keep", usual.keep),
        size(options, "total", usual.total),
    )


def _recording(text: str, context: SinkContext) -> Sink:
    name, options = split_options(text.removeprefix("recording:"), ROTATION)
    if not name or Path(name).suffix in LINES:
        raise UsageError(f"sink {text}: name a folder, such as recording:sessions; its files are called by the source")
    return RecordingSink(Path(name), _rotation(options, USUAL), context)


def _mqtt(text: str, context: SinkContext) -> Sink:
    address, options = split_options(text, ("discovery", "device", "password-file", "ca", "queue"))
    parts = _split(address)
    if parts.password is not None:
        raise UsageError(
            f"a password has no place in the sink {parts.scheme}://{parts.hostname}, where ps shows it: put it into "
            f"${MQTT_PASSWORD}, or name a file with ,password-file=FILE"
        )
    if "?" in address or "#" in address:
        raise UsageError(f"the topic in {text} is none: + and # are wildcards of MQTT, and ? has no meaning")
    device = options.get("device") or socket.gethostname()
    user = unquote(parts.username) if parts.username else None
    base = unquote(parts.path).strip("/") or f"mmn-edge/{topic_name(device)}"
    for what, topic in (("the topic", base), ("discovery", options.get("discovery", ""))):
        if any(c in topic for c in "+#\0") or len(topic) > 200:
            raise UsageError(f"{what} {topic!r} is none: + and # are wildcards of MQTT")
    discovery = options.get("discovery", "homeassistant")
    broker = Broker(
        host=parts.hostname or "",
        port=parts.port or PORTS[parts.scheme],
        base=base,
        device=device,
        user=user,
        password=secret(MQTT_PASSWORD, options.get("password-file")) if user is not None else None,
        tls=parts.scheme == "mqtts",
        ca=Path(options["ca"]) if "ca" in options else None,
        discovery=None if discovery == "off" else discovery.strip("/"),
        queue=number(options, "queue", 10_000, most=10_000_000),
    )
    if broker.ca is not None and not broker.tls:
        raise UsageError(f"sink {text}: certificates are for mqtts://")
    return MqttSink(broker, context)


def _websocket(text: str, context: SinkContext) -> Sink:
    parts, server = _server(text, context)
    path = parts.path if parts.path.strip("/") else "/events"
    return WebSocketSink(server, path, context)


def _http(text: str, context: SinkContext) -> Sink:
    parts, server = _server(text, context)
    if parts.path.strip("/"):
        raise UsageError(f"sink {text}: name no path; /health and /metrics are served")
    return MetricsSink(server, context)


def _server(text: str, context: SinkContext) -> tuple[SplitResult, Server]:
    address, options = split_options(text, ("token-file",))
    parts = _split(address)
    if parts.username is not None or parts.query:
        raise UsageError(
            f"a token has no place in the sink {parts.scheme}://{parts.hostname}, where ps shows it: put it into "
            f"${HTTP_TOKEN}, or name a file with ,token-file=FILE"
        )
    token = secret(HTTP_TOKEN, options.get("token-file"))
    host = parts.hostname or ""
    if token is None and not is_loopback(host):
        context.on_note(f"anybody who reaches {host} can read along: ${HTTP_TOKEN} asks for a token")
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    return parts, context.servers.at(host, port, token)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        known = parts.hostname and (parts.port is None or True)
    except ValueError:
        known = None
    if not known:
        raise UsageError(f"{text} names no host: write {text.partition('://')[0]}://HOST:PORT")
    return parts


_BY_SCHEME: Mapping[str, Callable[[str, SinkContext], Sink]] = {
    "mqtt": _mqtt,
    "mqtts": _mqtt,
    "ws": _websocket,
    "http": _http,
}
