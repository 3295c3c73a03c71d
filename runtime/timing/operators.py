"""Where the time goes within a model: by kind of operator, from the backends' own profilers."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

from mmn_edge.latency.report import Operator
from mmn_edge.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mmn_edge.runtime.backends.openvino import OpenVinoBackend
from mmn_edge.runtime.timing.targets import Target

__all__ = ["operator_times"]

CALLS = 20
WARM_UP_CALLS = 3


def operator_times(target: Target, precision: str, threads: int | None = None) -> list[Operator]:
    """Time of each kind of operator in a call of one window, longest first; empty where a backend has no profiler.

    Profiling makes calls slower, so that shares tell more than the times.

    Args:
        target: The model; a bundle's.
        precision: Which of its models.
        threads: Threads within an operator.
    """
    if target.bundle is None or target.backend not in (None, "onnxruntime", "openvino"):
        return []
    file, inputs = target.bundle.model(precision), target.inputs(1)
    spent: dict[str, float] = defaultdict(float)
    names: dict[str, set[str]] = defaultdict(set)
    with tempfile.TemporaryDirectory() as folder:
        if target.backend == "openvino":
            with OpenVinoBackend(file, precision=precision, threads=threads, profiling=True) as openvino:
                name = openvino.name
                for number in range(WARM_UP_CALLS + CALLS):
                    openvino.run(inputs)
                    if number >= WARM_UP_CALLS:
                        for operator, kind, ms in openvino.operator_times():
                            spent[kind] += ms / CALLS
                            names[kind].add(operator)
        else:
            with OnnxRuntimeBackend(file, precision=precision, threads=threads, profiling=Path(folder)) as onnxruntime:
                name = onnxruntime.name
                for _ in range(WARM_UP_CALLS + CALLS):
                    onnxruntime.run(inputs)
                for operator, kind, ms in onnxruntime.operator_times():
                    spent[kind] += ms / (WARM_UP_CALLS + CALLS)
                    names[kind].add(operator)
    total = sum(spent.values()) or 1.0
    return [
        Operator(target.name, precision, name, kind, len(names[kind]), ms, ms / total)
        for kind, ms in sorted(spent.items(), key=lambda item: -item[1])
    ]
