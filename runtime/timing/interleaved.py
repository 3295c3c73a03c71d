"""Two models in one process, in turns A B B A and B A A B, so that a machine whose speed drifts is fair to both."""

from __future__ import annotations

import time
from collections.abc import Callable

from mmn_edge.runtime.timing.measuring import MAX_SECONDS, Loaded, timed_calls

__all__ = ["Rounds", "measure_in_rounds"]

Rounds = tuple[list[list[float]], list[list[float]]]

CALLS = 2
"""Timed calls of a leg. One more before them is not timed: the other model has emptied the caches."""

FEWEST_ROUNDS = 16
MOST_ROUNDS = 20_000


def measure_in_rounds(
    a: Loaded, b: Loaded, *, seconds: float, batch: int = 1, on_round: Callable[[float], None] = lambda share: None
) -> Rounds:
    """Milliseconds of the calls of A and of B, ``(rounds, 4)`` each.

    Args:
        a: The first model.
        b: The second.
        seconds: For so long, and for 16 rounds at least.
        batch: Windows in a call.
        on_round: Called with the share done before each round.
    """
    seconds = min(seconds, MAX_SECONDS)
    runs = [(model.runner.run, model.target.inputs(batch)) for model in (a, b)]
    for run, inputs in runs:
        timed_calls(run, inputs, seconds=0.1, fewest=3)
    found: Rounds = ([], [])
    began = time.perf_counter()
    while len(found[0]) < FEWEST_ROUNDS or time.perf_counter() - began < seconds:
        number = len(found[0])
        if number >= MOST_ROUNDS:
            break
        on_round(min(1.0, max((time.perf_counter() - began) / seconds, 0.0)))
        spent: tuple[list[float], list[float]] = ([], [])
        for which in (0, 1, 1, 0) if number % 2 == 0 else (1, 0, 0, 1):
            run, inputs = runs[which]
            run(inputs)
            calls = timed_calls(run, inputs, seconds=0, fewest=CALLS)
            spent[which].extend((end - start) / 1e6 for start, end in zip(calls.began, calls.ended, strict=True))
        found[0].append(spent[0])
        found[1].append(spent[1])
    return found
