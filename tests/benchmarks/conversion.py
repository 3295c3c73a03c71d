"""How long a conversion takes: the whole command, its parts, and the graph against PyTorch's exporter.

    python tests/benchmarks/conversion.py [--preset ma52] [--times 3] [--exporter]

Commands run in processes of their own; wall time is what a user waits, CPU time is the one to trust where other
processes run. Weights are random: they do not change the time. The exporter takes half a minute, and is left out unless
it is asked for.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from mmn_edge.convert.deploy.deploy import deployed
from mmn_edge.convert.deploy.interfaces import KeypointsGraph, window_index
from mmn_edge.convert.deploy.onnx_graph import onnx_graph
from mmn_edge.convert.graph.half import halved
from mmn_edge.convert.graph.writer import OPSET
from mmn_edge.model import labels, presets
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import Preprocessing
from mmn_edge.system import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="ma52", choices=sorted(presets.PRESETS))
    parser.add_argument("--times", type=int, default=3, help="how often each is measured")
    parser.add_argument("--exporter", action="store_true", help="measure torch.onnx.export, too")
    arguments = parser.parse_args()
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    preset = presets.get(arguments.preset)
    layout = layouts.get(preset.layout)
    assert preset.labels is not None
    torch.manual_seed(0)
    network = MMN(Architecture(len(labels.get(preset.labels)), layout.num_joints)).eval()
    print(f"{arguments.preset}, median of {arguments.times}: wall s, CPU s")
    with tempfile.TemporaryDirectory() as name:
        checkpoint = Path(name) / "model.pt"
        torch.save(network.state_dict(), checkpoint)
        convert = ["convert", str(checkpoint), "--preset", arguments.preset]
        for command in (["--version"], ["--help"], convert):
            report(f"mmn-edge {command[0]}", arguments.times, lambda command=command: run(command))
    graph = KeypointsGraph(
        deployed(network, window_index(network.arch.num_frames)), Preprocessing.for_layout(layout, "joint")
    ).eval()
    single = onnx_graph(graph)
    report("deploy form", arguments.times, lambda: deployed(network, window_index(network.arch.num_frames)))
    written = report(f"its graph, {len(single.graph.node)} nodes", arguments.times, lambda: onnx_graph(graph))
    report("in half precision", arguments.times, lambda: halved(single))
    if arguments.exporter:
        exported = report("torch.onnx.export of the same", 1, lambda: export(graph, network.arch))
        print(f"writing the graph is {exported / written:.0f} times as fast as exporting it (CPU time)")


def report(what: str, times: int, call: Callable[[], object]) -> float:
    """Print and measure: the median of the CPU times."""
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), sum(os.times()[:4])
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(sum(os.times()[:4]) - cpu)
    print(f"  {what:36} {median(walls):7.2f} {median(cpus):7.2f}", flush=True)
    return median(cpus)


def run(command: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "mmn_edge", *command], check=True, capture_output=True)


def export(graph: torch.nn.Module, arch: Architecture) -> None:
    torch.onnx.export(
        graph,
        (torch.rand(2, arch.num_frames, arch.graph_joints, arch.in_channels),),
        dynamo=True,
        opset_version=OPSET,
        input_names=["keypoints"],
        output_names=["logits", "probabilities"],
        dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
        verbose=False,
    )


if __name__ == "__main__":
    main()
