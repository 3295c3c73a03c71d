"""What a run counts: read at any time by tables, summaries, metrics and health checks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

__all__ = ["AGES_KEPT", "Counters", "SinkCounters", "SourceCounters", "State"]

AGES_KEPT = 10_000
"""Percentiles are those of the newest ones, so that a stream may go on for ever."""

RATE_SECONDS = 2.0
"""Frames a second are those of so long."""

State = Literal["opening", "running", "ended", "failed"]


@dataclass
class SourceCounters:
    """Of one source. Each number is written by one thread; whoever reads it may be a frame behind.

    Attributes:
        name: The source's.
        live: Whether it is lived through rather than read.
        state: ``opening``, ``running``, ``ended`` or ``failed``.
        failure: What made it fail, in a sentence; empty where nothing did.
        frames: Frames recognised.
        dropped: Frames that came and were left out, because newer ones had come.
        reconnects: How often it was lost and found again.
        skipped: Windows that were due and not run, because newer ones were due.
        predictions: Predictions made.
        events: Events begun.
        time: Seconds in the stream of the newest frame.
        somebody: Whether anybody was in any frame.
        lag_ms: How old the newest prediction was when it was made, milliseconds; 0 where the stream is read.
        lag_max_ms: The largest of them.
        arrived: When the newest frame was taken up, in seconds of :func:`time.monotonic`.
        latencies: Milliseconds of each stage, of the newest predictions.
        ages: Milliseconds from capture to the event or prediction, of the newest predictions.
    """

    name: str = ""
    live: bool = False
    state: State = "opening"
    failure: str = ""
    frames: int = 0
    dropped: int = 0
    reconnects: int = 0
    skipped: int = 0
    predictions: int = 0
    events: int = 0
    time: float = 0.0
    somebody: bool = False
    lag_ms: float = 0.0
    lag_max_ms: float = 0.0
    began: float | None = None
    arrived: float | None = None
    latencies: dict[str, deque[float]] = field(default_factory=dict)
    ages: deque[float] = field(default_factory=lambda: deque(maxlen=AGES_KEPT))
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=512))

    def frame(self, moment: float, somebody: bool, now: float) -> None:
        """Count a frame of stream time ``moment``, taken up at ``now``."""
        if self.began is None:
            self.began = now
        self.frames += 1
        self.time = moment
        self.arrived = now
        self.somebody = self.somebody or somebody
        self._recent.append(now)

    def prediction(self, latency_ms: Mapping[str, float], age_ms: float | None) -> None:
        """Count a prediction."""
        self.predictions += 1
        for stage, ms in latency_ms.items():
            if stage not in self.latencies:
                self.latencies = {**self.latencies, stage: deque(maxlen=AGES_KEPT)}
            self.latencies[stage].append(ms)
        if age_ms is not None:
            self.ages.append(age_ms)
            self.lag_ms = age_ms
            self.lag_max_ms = max(self.lag_max_ms, age_ms)

    @property
    def frames_per_second(self) -> float:
        """Frames recognised a second, in the last seconds."""
        now = time.monotonic()
        recent = [moment for moment in self._recent.copy() if now - moment <= RATE_SECONDS]
        if len(recent) < 2:
            return 0.0
        span = max(now - recent[0], recent[-1] - recent[0])
        return len(recent) / span if span else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        values: dict[str, Any] = {
            "name": self.name,
            "live": self.live,
            "state": self.state,
            **({"failure": self.failure} if self.failure else {}),
            "time": round(self.time, 6),
            "frames": self.frames,
            "frames_per_second": round(self.frames_per_second, 2),
            "dropped": self.dropped,
            "reconnects": self.reconnects,
            "skipped": self.skipped,
            "predictions": self.predictions,
            "events": self.events,
        }
        if self.live:
            values["lag_ms"] = round(self.lag_ms, 1)
            values["lag_max_ms"] = round(self.lag_max_ms, 1)
            if ages := list(self.ages.copy()):
                p50, p99 = np.percentile(ages, [50, 99])
                values["age_ms"] = {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}
        return values


@dataclass
class SinkCounters:
    """Of one sink.

    Attributes:
        name: The sink's.
        written: Events and predictions that it took.
        dropped: Those that it did not, because it was too slow.
    """

    name: str = ""
    written: int = 0
    dropped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {"name": self.name, "written": self.written, "dropped": self.dropped}


@dataclass
class Counters:
    """Of a whole run.

    Attributes:
        sources: By name.
        sinks: In their order.
        interrupted: Whether the run was told to end.
    """

    sources: dict[str, SourceCounters] = field(default_factory=dict)
    sinks: list[SinkCounters] = field(default_factory=list)
    interrupted: bool = False

    @property
    def frames(self) -> int:
        """Frames recognised, of all sources."""
        return sum(source.frames for source in self.sources.values())

    @property
    def dropped(self) -> int:
        """Frames left out, of all sources."""
        return sum(source.dropped for source in self.sources.values())

    @property
    def skipped(self) -> int:
        """Windows left out, of all sources."""
        return sum(source.skipped for source in self.sources.values())

    @property
    def predictions(self) -> int:
        """Predictions made, of all sources."""
        return sum(source.predictions for source in self.sources.values())

    @property
    def events(self) -> int:
        """Events begun, of all sources."""
        return sum(source.events for source in self.sources.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "sources": [source.to_dict() for source in self.sources.values()],
            "sinks": [sink.to_dict() for sink in self.sinks],
            "interrupted": self.interrupted,
        }
