"""What building an engine costs and what it computes in which type, for each precision of both configurations.

    python tests/benchmarks/engines.py [--rounds 3] [--compute-capability SM86]

Built by TensorRT for RTX without a GPU, each build in a process of its own, so that its memory can be told. Weights are
random: types and kernels do not depend on them. Prints medians, and ratios to fp32.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from mmn_edge.system import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compute-capability", default="SM86")
    parser.add_argument("--build", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        print(json.dumps(build(Path(arguments.build[0]), arguments.build[1], arguments.compute_capability)))
        return
    try:
        import tensorrt_rtx
    except ImportError:
        print('skipped: tensorrt-rtx is not installed: pip install "mmn-edge[tensorrt-rtx]"')
        return
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    print(f"tensorrt_rtx {tensorrt_rtx.__version__}, {arguments.compute_capability}, batch 1 to 8\n")
    columns = f"{'preset':8} {'':9} {'CPU s':>6} {'/ fp32':>7} {'peak MiB':>9} {'engine MB':>10}"
    print(f"{columns}  convolutions / matrix products / other kernels")
    with tempfile.TemporaryDirectory() as name:
        for preset in ("ma52", "imigue"):
            baseline = None
            for precision, path in export(preset, Path(name)).items():
                options = ["--compute-capability", arguments.compute_capability, "--build", str(path), precision]
                command = [sys.executable, __file__, *options]
                rounds = [
                    json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                    for _ in range(arguments.rounds)
                ]
                seconds = median(entry["seconds"] for entry in rounds)
                baseline = baseline or seconds
                counts = " / ".join(
                    " ".join(f"{count} {kind}" for kind, count in row.items()) for row in rounds[0]["counts"].values()
                )
                print(
                    f"{preset:8} {precision:9} {seconds:>6.1f} {seconds / baseline:>7.2f} "
                    f"{median(entry['peak_mib'] for entry in rounds):>9.0f} {rounds[0]['bytes'] / 1e6:>10.1f}  {counts}"
                )


def build(model: Path, precision: str, capability: str) -> dict[str, Any]:
    """Build once; to be called in a fresh process."""
    from mmn_edge.convert.tensorrt.engine import EngineOptions, build_engine

    options = EngineOptions(compute_capabilities=(capability,))
    target = model.with_suffix(".engine")
    built = build_engine(model, target, precision=precision, flavour="tensorrt_rtx", options=options)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": peak_mib(),
        "bytes": target.stat().st_size,
        "counts": built.kernels.counts,
    }


def peak_mib() -> float:
    """The largest resident memory; ``ru_maxrss`` would be that of the process that this one was forked from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def export(name: str, folder: Path) -> dict[str, Path]:
    """The ONNX files of a preset by precision, all layers but the sensitive ones in int8."""
    import torch

    from mmn_edge.convert.deploy.deploy import deployed, merged_sites
    from mmn_edge.convert.deploy.interfaces import KeypointsGraph, window_index
    from mmn_edge.convert.deploy.onnx_graph import onnx_graph
    from mmn_edge.convert.graph.half import halved
    from mmn_edge.convert.graph.quantized import quantized, quantized_layers
    from mmn_edge.convert.graph.writer import save_onnx
    from mmn_edge.drift.windows import as_features, sample_windows
    from mmn_edge.model import labels, presets
    from mmn_edge.model.architecture import Architecture
    from mmn_edge.network import MMN
    from mmn_edge.network.quantization import calibrate, default_kept, enable, quantize, quantized_sites
    from mmn_edge.skeleton import layouts
    from mmn_edge.skeleton.preprocess import Preprocessing

    preset = presets.get(name)
    layout = layouts.get(preset.layout)
    assert preset.labels is not None
    network = MMN(Architecture(len(labels.get(preset.labels)), layout.num_joints)).eval()
    preprocessing = Preprocessing.for_layout(layout, "joint")
    windows = sample_windows(network.arch, count=2)
    graph = KeypointsGraph(deployed(network, window_index(network.arch.num_frames)), preprocessing).eval()
    single = onnx_graph(graph)
    merged = merged_sites(network)
    quantize(network, default_kept(network))
    calibrate(network, [[torch.from_numpy(x) for x in as_features(windows, preprocessing, 1).values()]])
    enable(network, set(quantized_sites(network)).difference(merged))
    half, layers = halved(single), quantized_layers(network)
    models = {"fp32": single, "fp16": half, "int8": quantized(single, layers), "int8-fp16": quantized(half, layers)}
    for precision, model in models.items():
        save_onnx(model, folder / f"{name}.{precision}.onnx")
    return {precision: folder / f"{name}.{precision}.onnx" for precision in models}


if __name__ == "__main__":
    main()
