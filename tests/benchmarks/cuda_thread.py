"""What it costs to hand a call to the thread that owns the CUDA context, against calling at once, in turns.

    python tests/benchmarks/cuda_thread.py [--calls 5000]

No GPU: the driver is empty functions, so that pushing and popping the context are no part of it.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from types import SimpleNamespace
from typing import Any
from unittest import mock

from mmn_edge.runtime.backends.tensorrt import cuda
from mmn_edge.system import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    arguments = parser.parse_args()
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    with mock.patch.object(cuda, "load_driver", empty_driver), cuda.CudaThread() as thread:
        turns = [(timed(nothing), timed(lambda: thread.call(nothing))) for _ in range(arguments.calls)]
    direct, handed = (median(times) * 1e6 for times in zip(*turns, strict=True))
    print(f"\na call at once: {direct:.2f} µs, handed over: {handed:.1f} µs, {handed - direct:.1f} µs more (medians)")


def nothing() -> None:
    pass


def timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def empty_driver() -> Any:
    context = SimpleNamespace(push=nothing, detach=nothing)
    device = SimpleNamespace(retain_primary_context=lambda: context)
    return SimpleNamespace(
        init=nothing, Device=lambda index: device, Context=SimpleNamespace(pop=nothing), Error=RuntimeError
    )


if __name__ == "__main__":
    main()
