"""Timing the whole way of a frame: from a source over windows and the network to a prediction."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import cast

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import SourceError
from mmn_edge.latency.measurement import Measurement
from mmn_edge.runtime.backends.backend import Backend
from mmn_edge.runtime.recognizer import Recognizer
from mmn_edge.runtime.sources.grammar import open_source
from mmn_edge.runtime.timing.measuring import DIGITS, FEWEST_CALLS, Loaded

__all__ = ["measure_source"]

MOST_FRAMES = 1_000_000
LONGEST_WAIT = 60.0
"""Seconds for the first predictions, of which there shall be some."""


def measure_source(
    loaded: Loaded, bundle: Bundle, source: str, *, seconds: float, on_frame: Callable[[int], None] = lambda count: None
) -> Measurement:
    """Time the frames of a source that gave a prediction, one after another in one thread.

    Args:
        loaded: The bundle's model.
        bundle: The bundle.
        source: As ``mmn-edge run`` takes it.
        seconds: Stop so long after the first prediction, and after 20 predictions at least, where the source has them.
        on_frame: Called with the number of frames before each.

    Raises:
        SourceError: The source cannot be opened, or gave no prediction.
    """
    stages: dict[str, list[float]] = defaultdict(list)
    totals: list[float] = []
    starts: list[float] = []
    predictions = frames = 0
    with open_source(source) as stream:
        recognizer = Recognizer(bundle, cast("Backend", loaded.runner))
        observations = iter(stream)
        began = before = time.perf_counter()
        first: float | None = None
        while frames < MOST_FRAMES and before - (first or began) < (
            seconds if len(totals) >= FEWEST_CALLS else max(seconds, LONGEST_WAIT)
        ):
            on_frame(frames)
            before = time.perf_counter()
            observation = next(observations, None)
            if observation is None:
                break
            read = time.perf_counter()
            found = recognizer.feed(observation)
            done = time.perf_counter()
            frames += 1
            if not found:
                continue
            first = first if first is not None else done
            predictions += len(found)
            total = (done - before) * 1e3
            known = {**observation.latency_ms}
            known["rest of the source"] = max((read - before) * 1e3 - sum(known.values()), 0.0)
            known["map and cut"] = found[0].latency_ms["prepare"]
            known["network"] = found[0].latency_ms["infer"]
            known["rest"] = total - sum(known.values())
            for stage, ms in known.items():
                stages[stage].append(round(ms, DIGITS))
            totals.append(round(total, DIGITS))
            starts.append(round(before - began, 6))
        spent = time.perf_counter() - began
    if not totals:
        raise SourceError(
            f"{frames} frames came from {source} in {spent:.1f} s and gave no prediction: give a longer source"
        )
    return Measurement(
        model=loaded.target.name,
        sha256=loaded.target.sha256(loaded.runner.precision),
        backend=loaded.runner.name,
        precision=loaded.runner.precision,
        threads=loaded.threads,
        batch=1,
        scope=f"whole pipeline: one frame of {source} to its predictions, of the frames that gave one; one thread",
        load_ms=loaded.load_ms,
        first_call_ms=loaded.first_call_ms,
        warm_up_calls=0,
        warm_up_ms=0.0,
        samples_ms=tuple(totals),
        starts_s=tuple(starts),
        turns=((predictions, spent),),
        stages_ms={stage: tuple(values) for stage, values in stages.items() if len(values) == len(totals)},
    )
