"""Prometheus metrics and the health of a run, for its HTTP server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mmn_edge import __version__
from mmn_edge.events.decoder import Event
from mmn_edge.events.interval import group_label
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.server.app import Server
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MetricsSink"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""

STALLED_SECONDS = 10.0
"""A live run in which no frame came for so long is not well."""


class MetricsSink:
    """Counts and measures what comes, and answers ``/metrics`` and ``/health`` of the run's server.

    Args:
        server: The run's server, not yet entered.
        context: The run.

    Raises:
        MissingDependencyError: prometheus-client is not installed.
    """

    name = "metrics"
    prompt = True

    def __init__(self, server: Server, context: SinkContext) -> None:
        client = require("prometheus_client", extra="server", purpose="The sink http")
        self._context = context
        self._began = time.monotonic()
        self._heard: float | None = None
        self._stream_time = 0.0
        registry = client.CollectorRegistry()
        # Counted anew by every process, as Prometheus expects; when it was made says nothing more.
        client.disable_created_metrics()
        self._frames = client.Counter("mmn_edge_frames", "Frames recognised.", registry=registry)
        self._predictions = client.Counter("mmn_edge_predictions", "Predictions made.", ["source"], registry=registry)
        self._events = client.Counter("mmn_edge_events", "Events begun.", ["source", "label"], registry=registry)
        self._latency = client.Histogram(
            "mmn_edge_latency_seconds", "Spent in a stage for a prediction.", ["stage"], buckets=BUCKETS,
            registry=registry,
        )  # fmt: skip
        self._age = client.Histogram(
            "mmn_edge_age_seconds", "From a frame's capture to what it gave.", ["type"], buckets=BUCKETS,
            registry=registry,
        )  # fmt: skip
        client.Gauge("mmn_edge_info", "1; says the version.", ["version"], registry=registry).labels(__version__).set(1)
        server.set_metrics(lambda: (client.generate_latest(registry), client.CONTENT_TYPE_LATEST))
        server.add_health("run", self._health)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, time_: float, source: str = "") -> None:
        """Count a frame."""
        self._heard, self._stream_time = time.monotonic(), time_
        self._frames.inc()

    def write(self, item: Event | Prediction) -> None:
        """Count and measure one."""
        values = self._context.values(item)
        source = values["source"]
        if isinstance(item, Event):
            if item.kind == "start":
                label = group_label(item.label) if item.level == "group" else item.label
                self._events.labels(source, label).inc()
        else:
            self._predictions.labels(source).inc()
            for stage, ms in item.latency_ms.items():
                self._latency.labels(stage).observe(ms / 1e3)
        if (age := values.get("age_ms")) is not None:
            self._age.labels(values["type"]).observe(age / 1e3)

    def _health(self) -> dict[str, Any]:
        now = time.monotonic()
        silent = now - (self._began if self._heard is None else self._heard)
        return {
            "ok": not self._context.live or silent < STALLED_SECONDS,
            "version": __version__,
            "up_s": round(now - self._began, 1),
            "stream_s": round(self._stream_time, 3),
            "last_frame_s_ago": None if self._heard is None else round(silent, 3),
            "sources": list(self._context.sources),
        }
