"""How fast one window is: ONNX Runtime on the exported graph against eager PyTorch, interleaved, in one process.

    python tests/benchmarks/inference.py [--threads 1] [--seconds 10]

Weights are random: they do not change the time. Prints medians and the ratio of the medians.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch

from mmn_edge import labels, layouts, machine, presets
from mmn_edge.architecture import Architecture
from mmn_edge.convert.exporter import export_onnx, operator_counts, save_onnx
from mmn_edge.convert.graph import KeypointsGraph
from mmn_edge.network import MMN
from mmn_edge.preprocess import Preprocessing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each preset")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    print(f"batch 1, {arguments.threads} thread(s), torch {torch.__version__}, onnxruntime {onnxruntime.__version__}\n")
    print(f"{'preset':8} {'nodes':>6} {'eager p50 ms':>13} {'ORT p50 ms':>11} {'eager / ORT':>12} {'rounds':>7}")
    for name in ("ma52", "imigue"):
        eager, ort, nodes, rounds = measure(name, arguments.threads, arguments.seconds)
        print(f"{name:8} {nodes:>6} {eager:>13.1f} {ort:>11.1f} {eager / ort:>12.2f} {rounds:>7}")


def measure(name: str, threads: int, seconds: float) -> tuple[float, float, int, int]:
    preset = presets.get(name)
    layout = layouts.get(preset.layout)
    assert preset.labels is not None
    network = MMN(Architecture(len(labels.get(preset.labels)), layout.num_joints)).eval()
    graph = KeypointsGraph(network, Preprocessing.for_layout(layout, "joint")).eval()
    window = np.random.default_rng(0).normal(300, 40, (2, 64, layout.num_joints, 2)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save_onnx(export_onnx(graph, graph.input_names, (torch.from_numpy(window),)), path)
        nodes = sum(operator_counts(path).values())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    one = window[:1]
    tensor = torch.from_numpy(one)

    def eager() -> None:
        with torch.inference_mode():
            graph(tensor)

    def ort() -> None:
        session.run(None, {"keypoints": one})

    for _ in range(3):
        eager(), ort()
    times: tuple[list[float], list[float]] = ([], [])
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for call, spent in zip((eager, ort), times, strict=True):
            spent.append(timed(call))
    return median(times[0]), median(times[1]), nodes, len(times[0])


def timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
