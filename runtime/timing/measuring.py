"""Timing calls: back to back in turns, or paced at a frame rate as a camera makes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mmn_edge.errors import UsageError
from mmn_edge.latency.measurement import Energy, Measurement, Pace
from mmn_edge.runtime.timing.targets import Runner, Target
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system import power

__all__ = ["Calls", "Loaded", "load", "measure_back_to_back", "measure_paced", "timed_calls"]

MAX_THREADS = 256
WARM_UP_SECONDS = 0.3
WARM_UP_CALLS = 3
TURNS = 5
"""Turns of every batch size, so that a machine whose speed drifts treats them alike."""
FEWEST_CALLS = 20
MOST_CALLS = 100_000
MAX_SECONDS = 24 * 3600.0

DIGITS = 6
"""Milliseconds are kept to the nanosecond, which is the clock's unit."""


@dataclass(frozen=True)
class Calls:
    """Timed calls: nanoseconds of the clock at which each began and ended."""

    began: list[int]
    ended: list[int]


@dataclass(frozen=True)
class Loaded:
    """A model that is ready, and what it took.

    Attributes:
        target: Which.
        runner: What runs it.
        threads: As asked for.
        load_ms: From the file to a model that can be called.
        first_call_ms: Of one window.
    """

    target: Target
    runner: Runner
    threads: int | None
    load_ms: float
    first_call_ms: float

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Release the model at the end of the block."""
        try:
            yield
        finally:
            self.runner.__exit__(None, None, None)

    def measurement(self, batch: int, calls: Calls, warm_up: Calls, turns: Sequence[tuple[int, float]]) -> Measurement:
        """The calls of one setting."""
        first = calls.began[0]
        return Measurement(
            model=self.target.name,
            sha256=self.target.sha256(self.runner.precision),
            backend=self.runner.name,
            precision=self.runner.precision,
            threads=self.threads,
            batch=batch,
            scope=self.target.scope,
            load_ms=self.load_ms,
            first_call_ms=self.first_call_ms,
            warm_up_calls=len(warm_up.began),
            warm_up_ms=sum(_milliseconds(warm_up)),
            samples_ms=tuple(_milliseconds(calls)),
            starts_s=tuple(round((began - first) / 1e9, 6) for began in calls.began),
            turns=tuple(turns),
        )


def load(target: Target, threads: int | None = None, on_note: Callable[[str], None] = lambda text: None) -> Loaded:
    """Load a model and call it once; the caller releases ``runner``.

    Raises:
        UsageError: A thread count below 1 or absurdly large.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"thread counts are from 1 to {MAX_THREADS}, not {threads}")
    inputs = target.inputs(1)
    runner = target.open(threads, on_note)
    began = time.perf_counter()
    runner.__enter__()
    ready = time.perf_counter()
    try:
        runner.run(inputs)
    except BaseException:
        runner.__exit__(None, None, None)
        raise
    return Loaded(target, runner, threads, (ready - began) * 1e3, (time.perf_counter() - ready) * 1e3)


def timed_calls(
    run: Callable[[Mapping[str, FloatArray]], object],
    inputs: Mapping[str, FloatArray],
    *,
    seconds: float,
    fewest: int,
    most: int = MOST_CALLS,
) -> Calls:
    """Call again and again, and note when each call began and ended."""
    clock = time.perf_counter_ns
    began: list[int] = []
    ended: list[int] = []
    until = clock() + int(seconds * 1e9)
    now = 0
    while (now < until or len(began) < fewest) and len(began) < most:
        before = clock()
        run(inputs)
        now = clock()
        began.append(before)
        ended.append(now)
    return Calls(began, ended)


def measure_back_to_back(
    loaded: Loaded,
    batches: Sequence[int],
    *,
    seconds: float,
    fewest: int = FEWEST_CALLS,
    on_turn: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """Time calls of every batch size, one right after the other.

    Args:
        loaded: The model.
        batches: Windows in a call.
        seconds: Time for each batch size, spread over 5 turns.
        fewest: Calls of each at least.
        on_turn: Called before each turn.

    Raises:
        UsageError: A batch below 1, or a time that is not positive.
    """
    if not batches or min(batches) < 1:
        raise UsageError("batch sizes must be at least 1")
    if not 0 < seconds <= MAX_SECONDS:
        raise UsageError(f"the time to measure is positive and at most a day, not {seconds} s")
    run = loaded.runner.run
    inputs = {batch: loaded.target.inputs(batch) for batch in batches}
    calls = {batch: Calls([], []) for batch in batches}
    turns: dict[int, list[tuple[int, float]]] = {batch: [] for batch in batches}
    warm_ups: dict[int, Calls] = {}
    joules = dict.fromkeys(batches, 0.0)
    sensed = True
    for turn in range(TURNS):
        for batch in batches:
            on_turn()
            if not turn:
                warm_ups[batch] = timed_calls(run, inputs[batch], seconds=WARM_UP_SECONDS, fewest=WARM_UP_CALLS)
            before = power.rapl()
            began = time.perf_counter()
            part = timed_calls(
                run, inputs[batch], seconds=seconds / TURNS, fewest=-(-fewest // TURNS), most=MOST_CALLS // TURNS
            )
            spent = time.perf_counter() - began
            after = power.rapl()
            turns[batch].append((batch * len(part.began), spent))
            calls[batch].began.extend(part.began)
            calls[batch].ended.extend(part.ended)
            if before is not None and after is not None:
                joules[batch] += after.since(before)
            elif (watts := power.total_watts(power.rails())) is not None:
                joules[batch] += watts * spent
            else:
                sensed = False
    source = "RAPL, processor packages" if power.rapl() is not None else "INA3221, read once a turn"
    found = []
    for batch in batches:
        entry = loaded.measurement(batch, calls[batch], warm_ups[batch], turns[batch])
        if sensed:
            windows, spent = (sum(values) for values in zip(*turns[batch], strict=True))
            entry = replace(entry, energy=Energy(joules[batch], spent, int(windows), source))
        found.append(entry)
    return found


def measure_paced(loaded: Loaded, fps: float, *, seconds: float, batch: int = 1) -> Measurement:
    """Call once a frame, as a camera would have it, and sleep between.

    Clocks fall asleep as well, so that a call can take longer than back to back. Where a call is still under way when
    the next frames are due, the newest of them is taken and the others are skipped, as in a live run.

    Args:
        loaded: The model.
        fps: Frames a second.
        seconds: For so long, and for 20 frames at least.
        batch: Persons who are due at each frame.

    Raises:
        UsageError: A frame rate or time that makes no sense.
    """
    if not 0 < fps <= 1000:
        raise UsageError(f"a frame rate is positive and at most 1000 a second, not {fps:g}")
    if not 0 < seconds <= MAX_SECONDS:
        raise UsageError(f"the time to measure is positive and at most a day, not {seconds} s")
    clock, run, inputs = time.perf_counter_ns, loaded.runner.run, loaded.target.inputs(batch)
    warm_up = timed_calls(run, inputs, seconds=WARM_UP_SECONDS, fewest=WARM_UP_CALLS)
    period = 1e9 / fps
    frames = min(max(int(seconds * fps), FEWEST_CALLS), MOST_CALLS)
    calls, ages = Calls([], []), []
    misses = skipped = frame = 0
    start = clock() + int(period)
    while frame < frames:
        due = start + int(frame * period)
        wait = due - clock()
        if wait > 0:
            time.sleep(wait / 1e9)
        before = clock()
        run(inputs)
        after = clock()
        calls.began.append(before)
        calls.ended.append(after)
        ages.append((after - due) / 1e6)
        misses += after - due > period
        # The newest frame that is due by now, or the next one.
        newest = max(frame + 1, int((after - start) // period))
        passed = min(newest, frames) - frame - 1
        skipped += passed
        misses += passed
        frame = newest
    entry = loaded.measurement(batch, calls, warm_up, ())
    return replace(entry, pace=Pace(fps, frames, misses, skipped, tuple(round(age, DIGITS) for age in ages)))


def _milliseconds(calls: Calls) -> list[float]:
    return [round((ended - began) / 1e6, DIGITS) for began, ended in zip(calls.began, calls.ended, strict=True)]
