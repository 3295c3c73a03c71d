"""The deploy graph against what it is made of and against the machine: one window, interleaved, in one process.

    python tests/benchmarks/deploy_graph.py [--threads 1] [--seconds 20] [--cache build/deploy-graphs]
        [--parts latency,operators,scaling,memory] [--presets ma52,imigue]

(a) eager PyTorch of the trained network, (b) its plain export, (c) the deploy graph and (d) its int8 form, these three
in ONNX Runtime, and (e) and (f) the latter two in OpenVINO where that is installed. Calls take turns, so that a machine
whose speed drifts treats them alike. Wall time is what a user waits; CPU time, of one thread, is the one to trust where
other processes run. Ratios are of medians. Weights are random: they do not change the time.

The limit is the network's floating-point operations (of its convolutions and products, as trained) at the best sgemm
rate that any library here reached, before and after, at any of a few shapes.

Plain exports take long; graphs are kept in --cache.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from mmn_edge.convert.deploy.deploy import deployed, merged_sites
from mmn_edge.convert.deploy.interfaces import KeypointsGraph, window_index
from mmn_edge.convert.deploy.onnx_graph import onnx_graph
from mmn_edge.convert.graph.quantized import quantized, quantized_layers
from mmn_edge.convert.graph.writer import OPSET, save_onnx
from mmn_edge.drift.windows import as_features, sample_windows
from mmn_edge.errors import MissingDependencyError
from mmn_edge.model import labels, presets
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.network.quantization import calibrate, default_kept, enable, quantize, quantized_sites
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import Preprocessing
from mmn_edge.system import machine
from mmn_edge.system.extras import load_openvino

Array = np.ndarray
Call = Callable[[], object]

PERSONS = (1, 2, 4, 8, 16)
FRAMES = (32, 64, 128)
PARTS = ("latency", "operators", "scaling", "memory")
WARM_UP = 5
MOVING = ("Reshape", "Transpose", "Concat", "Split", "Slice", "Gather", "ReorderInput", "ReorderOutput")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each preset's latencies")
    parser.add_argument("--cache", type=Path, default=Path("build/deploy-graphs"))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--presets", default="ma52,imigue")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    torch.set_num_threads(arguments.threads)
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    print(f"batch 1, {arguments.threads} thread(s), torch {torch.__version__}, onnxruntime {onnxruntime.__version__}")
    arguments.cache.mkdir(parents=True, exist_ok=True)
    for name in arguments.presets.split(","):
        subject = Subject(name, arguments.cache)
        if "latency" in parts:
            latency(subject, arguments.threads, arguments.seconds)
        if "operators" in parts:
            operators(subject, arguments.threads)
    subject = Subject("ma52", arguments.cache)
    if "scaling" in parts:
        scaling(arguments.cache, arguments.threads)
    if "memory" in parts:
        memory(subject)


class Subject:
    """One configuration with random weights, and its exported graphs."""

    def __init__(self, name: str, cache: Path, **options: int) -> None:
        preset = presets.get(name)
        layout = layouts.get(preset.layout)
        assert preset.labels is not None
        self.name = name
        self.arch = replace(Architecture(len(labels.get(preset.labels)), layout.num_joints), **options)
        self.preprocessing = Preprocessing.for_layout(layout, "joint")
        self.cache = cache
        torch.manual_seed(0)
        self.network = MMN(self.arch).eval()
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        self.windows = sample_windows(self.arch, count=8)

    def path(self, kind: str) -> Path:
        """The file of a graph: ``naive``, ``deploy`` or ``int8``."""
        path = self.cache / f"{self.name}-{self.arch.num_frames}.{kind}.onnx"
        if not path.exists():
            print(f"exporting {path}", file=sys.stderr)
            save_onnx(self._export(kind), path)
        return path

    def graph(self, *, deploy: bool) -> KeypointsGraph:
        network = deployed(self.network, window_index(self.arch.num_frames)) if deploy else self.network
        return KeypointsGraph(network, self.preprocessing).eval()

    def _export(self, kind: str) -> onnx.ModelProto:
        if kind == "int8":
            torch.manual_seed(0)
            fake = MMN(self.arch).eval()
            fake.load_state_dict(self.network.state_dict())
            quantize(fake, default_kept(fake))
            inputs = as_features(self.windows, self.preprocessing, self.arch.num_people)
            calibrate(fake, [[torch.from_numpy(x) for x in inputs.values()]])
            enable(fake, set(quantized_sites(fake)).difference(merged_sites(fake)))
            return quantized(onnx.load(str(self.path("deploy"))), quantized_layers(fake))
        graph = self.graph(deploy=kind == "deploy")
        if kind == "deploy":
            return onnx_graph(graph)
        program = torch.onnx.export(
            graph,
            (torch.from_numpy(self.windows[:2]),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["keypoints"],
            output_names=["logits", "probabilities"],
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
        )
        assert program is not None
        return program.model_proto

    def flops(self) -> int:
        """Of one window, in the network as it was trained."""
        with FlopCounterMode(display=False) as counter:
            self.graph(deploy=False)(torch.from_numpy(self.windows[:1]))
        return int(counter.get_total_flops())


def latency(subject: Subject, threads: int, seconds: float) -> None:
    window = subject.windows[:1]
    eager, tensor = subject.graph(deploy=False), torch.from_numpy(window)

    def run_eager() -> None:
        with torch.inference_mode():
            eager(tensor)

    calls: dict[str, Call] = {"(a) eager PyTorch": run_eager}
    for label, kind in (("(b) plain export", "naive"), ("(c) deploy graph", "deploy"), ("(d) deploy, int8", "int8")):
        calls[label] = ort_call(subject.path(kind), window, threads)
    for label, kind in (("(e) deploy, OpenVINO", "deploy"), ("(f) int8, OpenVINO", "int8")):
        if (openvino := openvino_call(subject.path(kind), window, threads)) is not None:
            calls[label] = openvino
    rates = [sgemm_rate(threads)]
    wall, cpu = interleaved(calls, seconds)
    rates.append(sgemm_rate(threads))
    where, rate = max((max(found.items(), key=lambda item: item[1]) for found in rates), key=lambda item: item[1])
    flops = subject.flops()
    limit = flops / rate / 1e9 * 1e3
    print(f"\n{subject.name}: {flops / 1e9:.3f} GFLOP; sgemm " + ", ".join(f"{k} {v:.0f}" for k, v in rates[0].items()))
    print(f"the limit is {limit:.1f} ms: {rate:.0f} GFLOP/s ({where}); {len(next(iter(wall.values())))} rounds")
    columns = ("wall p50", "CPU p50", "(a) /", "(b) /", "/ limit", "GFLOP/s", "share")
    print(f"{'ms':22}" + "".join(f"{column:>10}" for column in columns))
    base = cpu if threads == 1 else wall
    first, second = (median(base[label]) for label in list(calls)[:2])
    for label in calls:
        spent = median(base[label])
        cells = (
            f"{median(wall[label]):.2f}",
            f"{median(cpu[label]):.2f}",
            f"{first / spent:.2f}",
            f"{second / spent:.2f}",
            f"{spent / limit:.2f}",
            f"{flops / spent / 1e6:.0f}",
            f"{limit / spent:.0%}",
        )
        print(f"{label:22}" + "".join(f"{cell:>10}" for cell in cells))
    print(f"ratios are of {'CPU' if threads == 1 else 'wall'} time")


PAUSE = 0.02
"""Seconds before each call: PyTorch's OpenMP threads go on spinning for some milliseconds after theirs."""


def interleaved(calls: Mapping[str, Call], seconds: float) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Wall and CPU milliseconds of each call, taking turns."""
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    wall, cpu = defaultdict(list), defaultdict(list)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(wall[next(iter(calls))]) < 15:
        for label, call in calls.items():
            time.sleep(PAUSE)
            began, used = time.perf_counter(), time.process_time()
            call()
            cpu[label].append((time.process_time() - used) * 1e3)
            wall[label].append((time.perf_counter() - began) * 1e3)
    return wall, cpu


def ort_session(path: Path | bytes, threads: int, *, profile: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Sessions take turns here: one whose threads go on spinning after its turn would slow the next one down.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    model = path if isinstance(path, bytes) else str(path)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def ort_call(path: Path, window: Array, threads: int) -> Call:
    session = ort_session(path, threads)
    return lambda: session.run(None, {"keypoints": window})


def openvino_call(path: Path, window: Array, threads: int) -> Call | None:
    try:
        openvino = load_openvino()
    except MissingDependencyError:
        return None
    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape(list(window.shape))
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    request = core.compile_model(model, "CPU", options).create_infer_request()
    request.set_input_tensor(0, openvino.Tensor(window))
    return request.infer


def sgemm_rate(threads: int) -> dict[str, float]:
    """The best GFLOP/s of a few shapes of float32 products, by library; CPU time where one thread runs."""
    rng = np.random.default_rng(0)
    clock = time.process_time if threads == 1 else time.perf_counter
    best: dict[str, float] = {}
    for m, k, n in ((1024, 1024, 1024), (2816, 96, 192), (352, 384, 384)):
        a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))
        session = ort_session(product_model(b), threads)
        left, right = torch.from_numpy(a), torch.from_numpy(b)
        calls: dict[str, Call] = {
            "ONNX Runtime": lambda session=session, a=a: session.run(None, {"x": a}),
            "torch": lambda left=left, right=right: left @ right,
        }
        if threads == 1:  # its threads are its own
            calls["numpy"] = lambda a=a, b=b: a @ b
        for library, call in calls.items():
            repeat = max(1, int(2e8 / (2 * m * k * n)))
            times = []
            for _ in range(12):
                began = clock()
                for _ in range(repeat):
                    call()
                times.append((clock() - began) / repeat)
            best[library] = max(best.get(library, 0.0), 2 * m * k * n / min(times) / 1e9)
    return best


def product_model(weights: Array) -> bytes:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["M", weights.shape[0]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["M", weights.shape[1]])
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def operators(subject: Subject, threads: int, runs: int = 30) -> None:
    """Where the deploy graph's time goes, by the operators that ONNX Runtime makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        session = ort_session(subject.path("deploy"), threads, profile=Path(folder) / "profile")
        for _ in range(runs):
            session.run(None, {"keypoints": subject.windows[:1]})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times, kinds = defaultdict(list), {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["name"]].append(event["dur"] / 1e3)
            kinds[event["name"]] = event["args"]["op_name"]
    spent, count = Counter[str](), Counter(kinds.values())
    for name, values in times.items():
        spent[kinds[name]] += median(values)
    total = sum(spent.values())
    print(f"\n{subject.name}, deploy graph by operator: {total:.1f} ms in {len(kinds)} nodes")
    for kind, value in spent.most_common(14):
        print(f"{kind:20} {count[kind]:5} {value:8.2f} ms {value / total:6.1%}")
    print(f"{'moving data':20} {'':5} {sum(spent[kind] for kind in MOVING):8.2f} ms")
    graph = onnx.load(str(subject.path("deploy"))).graph
    plain = onnx.load(str(subject.path("naive"))).graph
    print(f"nodes in the file: {len(graph.node)}, plain export {len(plain.node)}")


def scaling(cache: Path, threads: int) -> None:
    print(f"\nscaling, {threads} thread(s): median ms, and the exponent between neighbours")
    subject = Subject("ma52", cache)
    many = np.concatenate([subject.windows] * 2)
    session = ort_session(subject.path("deploy"), threads)
    calls: dict[str, Call] = {
        f"{count} persons": lambda count=count: session.run(None, {"keypoints": many[:count]}) for count in PERSONS
    }
    report(calls, PERSONS, threads)
    both = {"22 joints": Subject("imigue", cache), "44 joints": subject}
    report({label: ort_call(s.path("deploy"), s.windows[:1], threads) for label, s in both.items()}, (22, 44), threads)
    spans = {f"{count} frames": Subject("ma52", cache, num_frames=count) for count in FRAMES}
    report({label: ort_call(s.path("deploy"), s.windows[:1], threads) for label, s in spans.items()}, FRAMES, threads)


def report(calls: Mapping[str, Call], sizes: tuple[int, ...], threads: int) -> None:
    wall, cpu = interleaved(calls, 5.0)
    medians = [median((cpu if threads == 1 else wall)[label]) for label in calls]
    steps = [np.log(b / a) / np.log(y / x) for (a, b), (x, y) in zip(pairwise(medians), pairwise(sizes), strict=True)]
    slope = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
    for label, value, step in zip(calls, medians, [None, *steps], strict=True):
        print(f"{label:14} {value:8.2f}" + (f"   ^{step:.2f}" if step is not None else ""))
    print(f"{'fitted':14} {'':8}   ^{slope:.2f}")


def memory(subject: Subject) -> None:
    """Peak resident memory of a process that does nothing but run the network, and of one that runs next to nothing."""
    code = """
import sys
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 3
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feed = {i.name: numpy.ones([1 if isinstance(d, str) else d for d in i.shape], "float32") for i in session.get_inputs()}
for _ in range(20):
    session.run(None, feed)
# Of /proc, because getrusage counts what the process was before it became this program.
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""
    with tempfile.TemporaryDirectory() as folder:
        floor = Path(folder) / "floor.onnx"
        floor.write_bytes(product_model(np.ones((1, 1), np.float32)))
        print("\npeak resident memory, MB, of a process of its own")
        for label, path in (("floor", floor), *((kind, subject.path(kind)) for kind in ("naive", "deploy", "int8"))):
            done = subprocess.run(
                [sys.executable, "-c", code, str(path)],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
            )
            print(f"{label:8} {float(done.stdout):8.1f}")


if __name__ == "__main__":
    main()
