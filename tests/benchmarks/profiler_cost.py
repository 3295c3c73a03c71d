"""What timing a call costs: the profiler's loop on a model that does nothing, against a bare loop with the same clock.

    python tests/benchmarks/profiler_cost.py [--calls 100000] [--rounds 9]

Both loops take turns; each figure is the median of all rounds, in microseconds a call.
"""

import argparse
import time
from collections.abc import Mapping
from statistics import median

from mmn_edge.runtime.timing.measuring import timed_calls
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system import machine


def nothing(inputs: Mapping[str, FloatArray]) -> None:
    """A model that does nothing."""


def bare(calls: int) -> None:
    """Two readings of the clock around each call, and nothing kept."""
    clock = time.perf_counter
    for _ in range(calls):
        clock()
        nothing({})
        clock()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    loops, within, bares = [], [], []
    for _ in range(options.rounds):
        began = time.perf_counter()
        calls = timed_calls(nothing, {}, seconds=0, fewest=options.calls)
        loops.append((time.perf_counter() - began) / options.calls * 1e6)
        within.append(median(end - start for start, end in zip(calls.began, calls.ended, strict=True)) / 1e3)
        began = time.perf_counter()
        bare(options.calls)
        bares.append((time.perf_counter() - began) / options.calls * 1e6)
    print(
        f"the profiler's loop {median(loops):.3f} us a call, a bare perf_counter loop {median(bares):.3f}: it costs "
        f"{median(loops) - median(bares):.3f} us more between calls. In a sample itself: {median(within):.3f} us"
    )


if __name__ == "__main__":
    main()
