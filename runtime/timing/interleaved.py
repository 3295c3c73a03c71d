"""Two models in one process, in turns A B B A and B A A B, so that a machine whose speed drifts is fair to both."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from mmn_edge.runtime.timing.measuring import MAX_SECONDS, Loaded, load, timed_calls
from mmn_edge.runtime.timing.targets import Target

__all__ = ["Rounds", "measure_in_rounds", "measure_interleaved"]

Rounds = tuple[list[list[float]], list[list[float]]]

LOADS = ("AB", "BA", "BA", "AB")
"""Both models are loaded anew so many times, each first as often: where a model comes to lie in memory makes a
percent or two, and the one that is loaded second has the better place more often."""

CALLS = 2
"""Timed calls of a leg. One more before them is not timed: the other model has emptied the caches."""

FEWEST_ROUNDS = 8
MOST_ROUNDS = 20_000


def measure_interleaved(
    a: Target,
    b: Target,
    *,
    seconds: float,
    threads: int | None = None,
    batch: int = 1,
    on_note: Callable[[str], None] = lambda text: None,
    on_round: Callable[[float], None] = lambda share: None,
) -> tuple[Rounds, tuple[str, str]]:
    """Load two models in one process, again and again, and measure them in rounds.

    Args:
        a: The first model.
        b: The second.
        seconds: For so long in all, without loading, and for 8 rounds of each loading at least.
        threads: Threads within an operator.
        batch: Windows in a call.
        on_note: Told what is to be known of the backends.
        on_round: Called with the share done before each round.

    Returns:
        Milliseconds of the calls of A and of B, ``(rounds, 4)`` each, and what ran them.
    """
    found: Rounds = ([], [])
    names = {}
    for number, order in enumerate(LOADS):
        with ExitStack() as stack:
            loaded = {}
            for letter in order:
                loaded[letter] = load(a if letter == "A" else b, threads, on_note if not number else lambda text: None)
                stack.enter_context(loaded[letter].closing())
                runner = loaded[letter].runner
                names[letter] = f"{loaded[letter].target.name} ({runner.precision}, {runner.name}, batch {batch})"
            rounds = measure_in_rounds(
                loaded["A"],
                loaded["B"],
                seconds=seconds / len(LOADS),
                batch=batch,
                on_round=lambda share, number=number: on_round((number + share) / len(LOADS)),  # type: ignore[misc]
            )
            found[0].extend(rounds[0])
            found[1].extend(rounds[1])
    return found, (names["A"], names["B"])


def measure_in_rounds(
    a: Loaded, b: Loaded, *, seconds: float, batch: int = 1, on_round: Callable[[float], None] = lambda share: None
) -> Rounds:
    """Milliseconds of the calls of A and of B, ``(rounds, 4)`` each.

    Args:
        a: The first model.
        b: The second.
        seconds: For so long, and for 8 rounds at least.
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
