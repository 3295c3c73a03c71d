"""Latencies of a bundle's precisions, measured in turns: a machine whose speed drifts treats them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["measure_in_turns"]

ROUNDS = 5
WARM_UP_CALLS = 3
MINIMUM_CALLS = 5


def measure_in_turns(
    bundle: Bundle,
    precisions: Sequence[str],
    inputs: Mapping[str, FloatArray],
    *,
    rounds: int = ROUNDS,
    seconds: float = 0.4,
    backend: str | None = None,
    threads: int | None = None,
    on_round: Callable[[int], None] = lambda number: None,
) -> dict[str, list[float]]:
    """Milliseconds of single calls of every precision, memory to memory.

    Precisions take turns, several rounds of them. Each is loaded for its turn alone, because idle threads of another
    session would disturb, and warmed up.

    Args:
        bundle: What to measure.
        precisions: Its models.
        inputs: What each call gets, by name; real windows, as their values may matter to the time.
        rounds: Turns of each precision.
        seconds: Length of a turn, after the warm-up; at least 5 calls are timed.
        backend: Name of the backend; None means what the bundle runs on by default.
        threads: Threads within an operator; None means the backend's default.
        on_round: Called with the number of each round before it.

    Returns:
        By precision, the time of every timed call.
    """
    spent: dict[str, list[float]] = {precision: [] for precision in precisions}
    for number in range(rounds):
        on_round(number)
        for precision in precisions:
            with open_backend(bundle, backend, precision=precision, threads=threads) as model:
                for _ in range(WARM_UP_CALLS):
                    model.run(inputs)
                turn: list[float] = []
                while len(turn) < MINIMUM_CALLS or sum(turn) < seconds * 1e3:
                    began = time.perf_counter()
                    model.run(inputs)
                    turn.append((time.perf_counter() - began) * 1e3)
            spent[precision] += turn
    return spent
