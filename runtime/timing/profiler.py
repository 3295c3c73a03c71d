"""Latency and throughput of a bundle on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import UsageError
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["Latency", "percentiles", "profile"]

WARM_UP_SECONDS = 0.3
MINIMUM_RUNS = 20
MAX_THREADS = 256


@dataclass(frozen=True)
class Latency:
    """Latency of one setting.

    Attributes:
        backend: What ran the model.
        precision: Which of the bundle's models.
        threads: Threads within an operator; None is the backend's default.
        batch: Windows in a call.
        runs: Timed calls.
        p50_ms: Median milliseconds of a call.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        windows_per_second: Throughput at the median.
    """

    backend: str
    precision: str
    threads: int | None
    batch: int
    runs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    windows_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def percentiles(milliseconds: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 90th and 99th percentile."""
    p50, p90, p99 = np.percentile(np.asarray(milliseconds), [50, 90, 99])
    return float(p50), float(p90), float(p99)


def profile(
    bundle: Bundle,
    *,
    batches: Sequence[int] = (1, 2, 4, 8),
    threads: Sequence[int | None] = (None,),
    seconds: float = 2.0,
    backend: str | None = None,
    precision: str | None = None,
    on_setting: Callable[[int | None], None] = lambda threads: None,
) -> Iterator[Latency]:
    """Measure calls of the model alone, from arrays in memory to arrays in memory.

    The batch sizes of one thread count are measured in turns, call by call, so that a machine whose speed drifts
    treats them alike. Thread counts come one after another, because idle threads of another session would disturb.

    Args:
        bundle: What to measure.
        batches: Windows in a call.
        threads: Thread counts; None is the backend's default.
        seconds: Time to spend on each setting, after a warm-up; at least 20 calls are timed.
        backend: Name of the backend; None means the default.
        precision: Which model; None means the default.
        on_setting: Called with each thread count before it is measured.

    Raises:
        UsageError: A batch or thread count below 1, or a time that is not positive.
    """
    if not batches or min(batches) < 1 or any(t is not None and not 1 <= t <= MAX_THREADS for t in threads):
        raise UsageError(f"batch sizes must be at least 1, and thread counts from 1 to {MAX_THREADS}")
    if not seconds > 0:
        raise UsageError(f"the time to measure must be positive, not {seconds} s")
    inputs = {batch: _random_inputs(bundle, batch) for batch in batches}
    for count in threads:
        on_setting(count)
        with open_backend(bundle, backend, precision=precision, threads=count) as model:
            for batch in batches:
                until = time.perf_counter() + WARM_UP_SECONDS
                while time.perf_counter() < until:
                    model.run(inputs[batch])
            spent: dict[int, list[float]] = {batch: [] for batch in batches}
            pending = list(batches)
            while pending:
                for batch in pending:
                    began = time.perf_counter()
                    model.run(inputs[batch])
                    spent[batch].append((time.perf_counter() - began) * 1e3)
                pending = [b for b in pending if len(spent[b]) < MINIMUM_RUNS or sum(spent[b]) < seconds * 1e3]
            name, ran = model.name, model.precision
        for batch in batches:
            p50, p90, p99 = percentiles(spent[batch])
            yield Latency(
                backend=name,
                precision=ran,
                threads=count,
                batch=batch,
                runs=len(spent[batch]),
                p50_ms=p50,
                p90_ms=p90,
                p99_ms=p99,
                windows_per_second=batch / p50 * 1e3,
            )


def _random_inputs(bundle: Bundle, batch: int) -> dict[str, FloatArray]:
    """Inputs of the right shapes; the values do not matter to the time as long as they are ordinary numbers."""
    rng = np.random.default_rng(0)
    shapes = {
        spec.name: [batch if axis == "N" else int(axis) for axis in spec.shape] for spec in bundle.manifest.inputs
    }
    return {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
