"""What was timed, call by call, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmn_edge.latency.statistics import Estimate, Summary, summarise

__all__ = [
    "Energy",
    "Key",
    "Measurement",
    "Pace",
    "Throughput",
    "interval_words",
    "number_words",
    "percentile_words",
]

Key = tuple[str, str, str, str, int, str]


@dataclass(frozen=True)
class Pace:
    """Calls at a frame rate, as a camera makes them.

    Attributes:
        fps: Frames a second.
        frames: Frames that were due.
        misses: Of those, how many were not answered before the next one was due, with those that were skipped.
        skipped: Frames that nobody looked at, since the one before was still under way when the next came.
        ages_ms: From when a frame was due to its answer, of every answered one.
    """

    fps: float
    frames: int
    misses: int
    skipped: int
    ages_ms: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "fps": self.fps,
            "frames": self.frames,
            "misses": self.misses,
            "skipped": self.skipped,
            "age": summarise(self.ages_ms).to_dict(),
            "ages_ms": list(self.ages_ms),
        }


@dataclass(frozen=True)
class Energy:
    """Energy while calls were timed, back to back: all that the sensor sees, not this process alone.

    Attributes:
        joules: In all.
        seconds: In this time.
        windows: For so many windows.
        source: The sensor.
    """

    joules: float
    seconds: float
    windows: int
    source: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "watts": self.joules / self.seconds,
            "joules_per_window": self.joules / self.windows,
            "source": self.source,
        }


@dataclass(frozen=True)
class Throughput:
    """Windows a second, counted over whole turns with all that lies between calls."""

    windows_per_second: float
    slowest_turn: float
    fastest_turn: float

    @classmethod
    def of(cls, turns: Sequence[tuple[int, float]]) -> Throughput:
        """From the windows and the seconds of every turn."""
        rates = [windows / seconds for windows, seconds in turns]
        return cls(sum(w for w, _ in turns) / sum(s for _, s in turns), min(rates), max(rates))

    def to_dict(self) -> dict[str, float]:
        """As JSON-ready values."""
        return {
            "windows_per_second": self.windows_per_second,
            "slowest_turn": self.slowest_turn,
            "fastest_turn": self.fastest_turn,
        }


@dataclass(frozen=True)
class Measurement:
    """One setting of one model.

    Attributes:
        model: How the user calls it.
        sha256: Of the model's file; None for a pipeline of several parts without one.
        backend: What ran it, with its version.
        precision: Which of the bundle's models.
        threads: Threads within an operator; None is the backend's default.
        batch: Windows in a call: persons who are due at once.
        scope: What is timed, in words.
        load_ms: From the file to a model that can be called.
        first_call_ms: The first call, in which much is still made.
        warm_up_calls: Calls after it that were not counted.
        warm_up_ms: Their time.
        samples_ms: Every timed call in its order.
        starts_s: When each began, in seconds since the first.
        turns: Windows and seconds of every turn; empty when paced.
        pace: How it kept up with a frame rate; None back to back.
        energy: None where no sensor can be read.
        stages_ms: Of a pipeline: every stage's share of every sample.
    """

    model: str
    sha256: str | None
    backend: str
    precision: str
    threads: int | None
    batch: int
    scope: str
    load_ms: float
    first_call_ms: float
    warm_up_calls: int
    warm_up_ms: float
    samples_ms: tuple[float, ...]
    starts_s: tuple[float, ...]
    turns: tuple[tuple[int, float], ...] = ()
    pace: Pace | None = None
    energy: Energy | None = None
    stages_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def mode(self) -> str:
        """How calls followed one another."""
        return "back to back" if self.pace is None else f"paced at {self.pace.fps:g} a second"

    @property
    def key(self) -> Key:
        """What a measurement of another day must share to be compared with; versions may differ."""
        threads = "default" if self.threads is None else str(self.threads)
        return (self.backend.split(" ")[0], self.precision, self.scope, threads, self.batch, self.mode)

    @property
    def title(self) -> str:
        """In a few words."""
        threads = "default threads" if self.threads is None else f"{self.threads} thread" + "s" * (self.threads > 1)
        return f"{self.precision}, {self.backend}, {threads}, batch {self.batch}, {self.mode}"

    def summary(self) -> Summary:
        """The latencies in numbers."""
        return summarise(self.samples_ms)

    def throughput(self) -> Throughput | None:
        """Measured throughput; None when paced, where it is the frame rate."""
        return Throughput.of(self.turns) if self.turns else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values: what was measured, and what follows."""
        throughput = self.throughput()
        return {
            "model": self.model,
            "sha256": self.sha256,
            "backend": self.backend,
            "precision": self.precision,
            "threads": self.threads,
            "batch": self.batch,
            "scope": self.scope,
            "mode": self.mode,
            "load_ms": self.load_ms,
            "first_call_ms": self.first_call_ms,
            "warm_up": {"calls": self.warm_up_calls, "ms": self.warm_up_ms},
            "latency": self.summary().to_dict(),
            "throughput": None if throughput is None else throughput.to_dict(),
            "pace": None if self.pace is None else self.pace.to_dict(),
            "energy": None if self.energy is None else self.energy.to_dict(),
            "stages": {name: summarise(values).to_dict() for name, values in self.stages_ms.items()},
            "turns": [{"windows": windows, "seconds": seconds} for windows, seconds in self.turns],
            "samples_ms": list(self.samples_ms),
            "starts_s": list(self.starts_s),
            "stages_ms": {name: list(values) for name, values in self.stages_ms.items()},
        }


def percentile_words(summary: Summary, percent: float) -> str:
    """A percentile with its interval for a table, or how many more calls it takes."""
    found = summary.percentile(percent)
    if found.estimate is None:
        return f"{found.more_calls} more calls"
    return interval_words(found.estimate)


def interval_words(estimate: Estimate) -> str:
    """Such as ``12.3 [12.1, 12.9]``."""
    if estimate.low is None or estimate.high is None:
        return number_words(estimate.value)
    return f"{number_words(estimate.value)} [{number_words(estimate.low)}, {number_words(estimate.high)}]"


def number_words(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
