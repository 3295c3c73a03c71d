"""Prometheus metrics and the health of a run, for its HTTP server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mmn_edge import __version__
from mmn_edge.events.decoder import Event
from mmn_edge.events.interval import group_label
from mmn_edge.runtime.counters import SourceCounters
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.server.app import Server
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MetricsSink"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""

COUNTED = {
    "frames": "Frames recognised.",
    "dropped": "Frames left out because newer ones had come.",
    "skipped": "Windows that were due and not run.",
    "reconnects": "Times that a source was lost and found again.",
}
"""Attributes of a source's counters that only grow."""

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
        registry = client.CollectorRegistry()
        # Counted anew by every process, as Prometheus expects; when it was made says nothing more.
        client.disable_created_metrics()
        registry.register(_Counted(context))
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

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do: the run counts its frames."""

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
        sources = [_source_health(source, now, self._began) for source in self._context.counters.sources.values()]
        return {
            # One source that has gone leaves the others alone; when none delivers, a restart may help.
            "ok": not sources or any(source["ok"] for source in sources),
            "version": __version__,
            "up_s": round(now - self._began, 1),
            "sources": sources,
            "lost": {name: lost() for name, lost in self._context.losses.items()},
        }


def _source_health(source: SourceCounters, now: float, began: float) -> dict[str, Any]:
    silent = now - (began if source.arrived is None else source.arrived)
    stalled = source.live and source.state in ("opening", "running") and silent >= STALLED_SECONDS
    return {
        "ok": source.state != "failed" and not stalled,
        "last_frame_s_ago": None if source.arrived is None else round(silent, 3),
        **source.to_dict(),
    }


class _Counted:
    """What the run counts, as Prometheus asks for it."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._core = require("prometheus_client.core", extra="server", purpose="The sink http")

    def collect(self) -> Iterator[Any]:
        """The metrics of this moment."""
        sources = self._context.counters.sources.values()
        for name, text in COUNTED.items():
            counter = self._core.CounterMetricFamily(f"mmn_edge_{name}", text, labels=["source"])
            for source in sources:
                counter.add_metric([source.name], getattr(source, name))
            yield counter
        lag = self._core.GaugeMetricFamily("mmn_edge_lag_seconds", "Age of the newest prediction.", labels=["source"])
        up = self._core.GaugeMetricFamily("mmn_edge_source_up", "1 where a source is read.", labels=["source"])
        for source in sources:
            up.add_metric([source.name], float(source.state == "running"))
            if source.live:
                lag.add_metric([source.name], source.lag_ms / 1e3)
        yield from (lag, up)
        lost = self._core.CounterMetricFamily("mmn_edge_sink_lost", "Never got where it should.", labels=["sink"])
        counts = {name: loss() for name, loss in self._context.losses.items()}
        for sink in self._context.counters.sinks:
            counts[sink.name] = counts.get(sink.name, 0) + sink.dropped
        for name, count in counts.items():
            lost.add_metric([name], count)
        yield lost
