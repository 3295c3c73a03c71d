"""A latency report: what was measured on which machine, in what state it was, as data with a published schema.

The schema is ``docs/reference/latency-report.schema.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmn_edge.errors import DataError
from mmn_edge.latency.comparison import Comparison
from mmn_edge.latency.measurement import Measurement, Pace
from mmn_edge.system.conditions import Conditions, busy_elsewhere, throttled_between

__all__ = ["SCHEMA", "Accuracy", "Operator", "Report", "read_measurements", "steadiness_warnings"]

SCHEMA = "mmn-edge latency report 1"

MAX_BYTES = 256 << 20

BUSY_CORES = 0.1
"""Others who take more than so much of one core show in latencies."""

UNSTEADY = 1.15
"""The slowest tenth of a run against the fastest, by their medians."""

MANY_OUTLIERS = 0.02


@dataclass(frozen=True)
class Operator:
    """Time of one kind of operator, by the backend's own profiler.

    Attributes:
        model: Whose.
        precision: Of which model.
        backend: Whose profiler.
        kind: Such as ``MatMul``.
        count: Operators of the kind.
        ms: Their time in one call, the mean of several.
        share: Of all operators' time, 0 to 1.
    """

    model: str
    precision: str
    backend: str
    kind: str
    count: int
    ms: float
    share: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Accuracy:
    """How many of the labelled clips a model gets right, asked in the same run as it is timed.

    Attributes:
        model: Which.
        precision: Which of its models.
        backend: What ran it.
        data: The clips.
        clips: How many.
        top1: The share whose likeliest class is right.
        low: Lower bound of the 95 % interval.
        high: Upper bound.
        p50_ms: Its median latency at one window a call, in this report.
        front: Whether no other is both as accurate and faster, or as fast and more accurate.
        choice: Whether it is the fastest that loses nothing against the most accurate.
    """

    model: str
    precision: str
    backend: str
    data: str
    clips: int
    top1: float
    low: float
    high: float
    p50_ms: float
    front: bool = False
    choice: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Report:
    """All that a run of ``mmn-edge profile`` found.

    Attributes:
        created: UTC, as in RFC 3339.
        machine: Facts by name.
        before: The machine when it began.
        after: When it ended.
        cores: Cores that this process may use.
        measurements: Every setting.
        operators: Times of operators, where asked for.
        accuracies: Where labelled clips were given.
        memory: Mebibytes by what they are of.
        comparison: Of two models, where asked for.
        notes: What was not measured, and why.
    """

    created: str
    machine: Mapping[str, str]
    before: Conditions
    after: Conditions
    measurements: Sequence[Measurement] = ()
    operators: Sequence[Operator] = ()
    accuracies: Sequence[Accuracy] = ()
    memory: Mapping[str, float] = field(default_factory=dict)
    comparison: Comparison | None = None
    notes: Sequence[str] = ()

    @property
    def elsewhere(self) -> float | None:
        """Cores' worth that other processes took meanwhile."""
        return busy_elsewhere(self.before, self.after)

    @property
    def warnings(self) -> list[str]:
        """Why the figures may not be those of a quiet machine, and what to do about it."""
        found = []
        elsewhere = self.elsewhere
        if elsewhere is not None and elsewhere > BUSY_CORES:
            found.append(
                f"the machine was busy: other processes took {elsewhere:.1f} of {self.machine.get('cores', '?')} "
                "cores. Latencies are longer and less steady than on a quiet machine: end what else runs, and measure "
                "again"
            )
        governor = self.machine.get("clock governor", "performance")
        if governor != "performance":
            found.append(
                f"the clock governor is {governor}, so clocks change with the load: "
                "sudo cpupower frequency-set -g performance"
            )
        if "free" in self.machine.get("clocks", ""):
            found.append("the Jetson's clocks are free to change: sudo jetson_clocks holds them")
        if limits := throttled_between(self.before, self.after):
            found.append(f"the machine throttled ({', '.join(limits)}): cool it, or choose a lower power mode")
        for measurement in self.measurements:
            found += steadiness_warnings(measurement)
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "schema": SCHEMA,
            "created": self.created,
            "machine": dict(self.machine),
            "conditions": {
                "before": self.before.to_dict(),
                "after": self.after.to_dict(),
                "cores_taken_by_others": self.elsewhere,
                "throttled_by": throttled_between(self.before, self.after),
            },
            "warnings": self.warnings,
            "notes": list(self.notes),
            "measurements": [entry.to_dict() for entry in self.measurements],
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
            "accuracy": [entry.to_dict() for entry in self.accuracies],
            "operators": [entry.to_dict() for entry in self.operators],
            "memory_mib": dict(self.memory),
        }


def steadiness_warnings(measurement: Measurement) -> list[str]:
    """What makes one setting's figures doubtful: a drift over the run, or many outliers."""
    samples = measurement.samples_ms
    found = []
    tenth = len(samples) // 10
    if tenth >= 5:
        medians = [sorted(samples[k * tenth : (k + 1) * tenth])[tenth // 2] for k in range(10)]
        if max(medians) > UNSTEADY * min(medians):
            found.append(
                f"unsteady ({measurement.title}): the median of a tenth of the run went from {min(medians):.3g} to "
                f"{max(medians):.3g} ms. Look at the timeline, and measure for longer (--seconds)"
            )
    summary = measurement.summary()
    if summary.outliers > max(MANY_OUTLIERS * len(samples), 3):
        found.append(
            f"{summary.outliers} of {len(samples)} calls took longer than {summary.outlier_ms:.3g} ms "
            f"({measurement.title}): something interrupts this process"
        )
    return found


@dataclass(frozen=True)
class Earlier:
    """A report that was read from a file."""

    path: Path
    machine: Mapping[str, str]
    measurements: Sequence[Measurement]
    warnings: Sequence[str]


def read_measurements(path: Path) -> Earlier:
    """Read a report's machine and measurements.

    Raises:
        DataError: The file cannot be read, is no latency report, or is one of another version.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES >> 20} MiB: it is no latency report")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise DataError(f"{path} cannot be read ({reason}): give what mmn-edge profile -o r.json wrote") from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise DataError(f"{path} is no latency report of this version: make it with mmn-edge profile -o r.json")
    try:
        return Earlier(
            path,
            {str(name): str(fact) for name, fact in values["machine"].items()},
            [_measurement(entry) for entry in values["measurements"]],
            [str(entry) for entry in values["warnings"]],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is a damaged latency report ({error}): measure again") from error


def _measurement(values: dict[str, Any]) -> Measurement:
    pace = values["pace"]
    return Measurement(
        model=str(values["model"]),
        sha256=values["sha256"],
        backend=str(values["backend"]),
        precision=str(values["precision"]),
        threads=None if values["threads"] is None else int(values["threads"]),
        batch=int(values["batch"]),
        scope=str(values["scope"]),
        load_ms=float(values["load_ms"]),
        first_call_ms=float(values["first_call_ms"]),
        warm_up_calls=int(values["warm_up"]["calls"]),
        warm_up_ms=float(values["warm_up"]["ms"]),
        samples_ms=_times(values["samples_ms"]),
        starts_s=tuple(map(float, values["starts_s"])),
        turns=tuple((int(turn["windows"]), float(turn["seconds"])) for turn in values["turns"]),
        pace=None
        if pace is None
        else Pace(
            float(pace["fps"]), int(pace["frames"]), int(pace["misses"]), int(pace["skipped"]), _times(pace["ages_ms"])
        ),
        stages_ms={str(name): _times(times) for name, times in values["stages_ms"].items()},
    )


def _times(values: Sequence[Any]) -> tuple[float, ...]:
    times = tuple(map(float, values))
    if not times or not all(math.isfinite(value) and value >= 0 for value in times):
        raise ValueError("its times are no positive numbers")
    return times
