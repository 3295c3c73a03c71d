"""Proof without a GPU that engines compute in the types that they should: every precision of both configurations and of
two streams in one graph is built by the project's own builder in TensorRT for RTX, for compute capability 8.6, and its
kernels are read back.

Nothing is run: that needs a GPU. Weights are random, since types do not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mmn_edge.bundle.manifest import PRECISIONS
from mmn_edge.convert.deploy.deploy import deployed, merged_sites
from mmn_edge.convert.deploy.interfaces import KeypointsGraph, StreamsGraph, window_index
from mmn_edge.convert.deploy.onnx_graph import onnx_graph
from mmn_edge.convert.graph.half import halved
from mmn_edge.convert.graph.lint import lint
from mmn_edge.convert.graph.quantized import quantized, quantized_layers
from mmn_edge.convert.graph.writer import save_onnx
from mmn_edge.convert.tensorrt.engine import EngineOptions, build_engine
from mmn_edge.convert.tensorrt.kernels import KernelReport
from mmn_edge.drift.windows import as_features, sample_windows
from mmn_edge.model import labels, presets
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.network.quantization import calibrate, default_kept, enable, quantize, quantized_sites, sites
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import Preprocessing

pytest.importorskip("tensorrt_rtx", reason="PROOF SKIPPED: no engine was built, since tensorrt-rtx is not installed")

pytestmark = pytest.mark.proof

Models = dict[str, tuple[onnx.ModelProto, Collection[str]]]
"""Precision -> model, and the layers that are kept in a wider type."""


def models(preset: str, *streams: str, depth: int | None = None) -> Models:
    """One graph of a network a stream, fed with keypoints, in all precisions; ``depth`` blocks a scale, or all."""
    known = presets.get(preset)
    layout = layouts.get(known.layout)
    arch = Architecture(num_classes=len(labels.get(known.labels)), num_joints=layout.num_joints)
    if depth is not None:
        arch = replace(arch, depth=depth)
    torch.manual_seed(0)
    windows = sample_windows(arch, count=2)
    index_t = window_index(arch.num_frames)
    members, layers, kept = {}, {}, []
    for stream in streams:
        network = MMN(arch).eval()
        preprocessing = Preprocessing.for_layout(layout, stream)
        members[stream] = (deployed(network, index_t), preprocessing, 1 / len(streams))
        prefix = f"{stream}." if len(streams) > 1 else ""
        merged = merged_sites(network)
        quantize(network, default_kept(network))
        features = as_features(windows, preprocessing, arch.num_people).values()
        calibrate(network, [[torch.from_numpy(values) for values in features]])
        enable(network, set(quantized_sites(network)).difference(merged))
        found = quantized_layers(network)
        layers |= {prefix + name: layer for name, layer in found.items()}
        kept += [prefix + name for name in sites(network) if name not in found]
    graph = (StreamsGraph(members) if len(streams) > 1 else KeypointsGraph(*members[streams[0]][:2])).eval()
    single = onnx_graph(graph)
    half = halved(single)
    return {
        "fp32": (single, ()),
        "fp16": (half, ()),
        "int8": (quantized(single, layers), kept),
        "int8-fp16": (quantized(half, layers), kept),
    }


# Two streams have one block a scale of three: an engine of all takes long, and all blocks are alike.
CONFIGURATIONS: dict[str, Callable[[], Models]] = {
    "ma52": lambda: models("ma52", "joint"),
    "imigue": lambda: models("imigue", "joint"),
    "two streams": lambda: models("ma52", "joint", "bone", depth=1),
}

PRODUCTS = {"ma52": 169, "imigue": 169, "two streams": 130}
"""Convolutions and matrix products in each."""


def build(model: onnx.ModelProto, precision: str, folder: Path) -> KernelReport:
    path = folder / f"model.{precision}.onnx"
    save_onnx(model, path)
    options = EngineOptions(compute_capabilities=("SM86",))
    target = path.with_suffix(".engine")
    return build_engine(path, target, precision=precision, flavour="tensorrt_rtx", options=options).kernels


def prove(model: onnx.ModelProto, kept: Collection[str], precision: str, folder: Path) -> KernelReport:
    """Lint a model, build it, and find every product computed in the type that the lint has found for it."""
    report = lint(model, kept, precision=precision)
    kernels = build(model, precision, folder)
    check(report.quantized, report.half, kernels)
    return kernels


def check(quantized_names: Collection[str], half_names: Collection[str], kernels: KernelReport) -> None:
    assert kernels.unseen == ()
    assert kernels.wrong == ()
    expected = dict.fromkeys(kernels.types, "float")
    expected |= dict.fromkeys(half_names, "half") | dict.fromkeys(quantized_names, "int8")
    assert kernels.types == expected


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_precision_builds_and_computes_in_its_types(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    made = CONFIGURATIONS[name]()
    assert tuple(made) == PRECISIONS
    counts = set()
    for precision, (model, kept) in made.items():
        kernels = prove(model, kept, precision, tmp_path)
        found = {kind: row for kind, row in kernels.counts.items() if kind != "other kernels"}
        head, *body = kernels.rows()
        for row in (head, *body):
            record_property(
                "summary", f"{name:12} {precision:10} {row[0]:16}" + "".join(f"{cell:>8}" for cell in row[1:])
            )
        counts.add(len(kernels.types))
        used = {kind for row in found.values() for kind in row}
        assert (
            used
            == {"fp32": {"float"}, "fp16": {"half"}, "int8": {"int8", "float"}, "int8-fp16": {"int8", "half"}}[
                precision
            ]
        )
    assert counts == {PRODUCTS[name]}


def float_product() -> onnx.ModelProto:
    """Two products: one in half precision, one that was forgotten in float32."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(16, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], "graph/Cast", to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["h", "w"], ["a"], "first/MatMul"),
        helper.make_node("Cast", ["a"], ["b"], "graph/Cast_2", to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["b", "v"], ["y"], "second/MatMul"),
    ]
    constants = [numpy_helper.from_array(weights.astype(np.float16), "w"), numpy_helper.from_array(weights, "v")]
    return tiny(nodes, constants)


def wrong_axis() -> onnx.ModelProto:
    """An int8 product whose weights have one scale a row, which no int8 kernel can apply."""
    constants = [
        numpy_helper.from_array(np.float32(0.1), "s"),
        numpy_helper.from_array(np.int8(0), "z"),
        numpy_helper.from_array(np.random.default_rng(0).integers(-127, 128, (16, 16)).astype(np.int8), "w"),
        numpy_helper.from_array(np.linspace(0.01, 0.02, 16, dtype=np.float32), "ws"),
        numpy_helper.from_array(np.zeros(16, np.int8), "wz"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "fc/QuantizeLinear"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "fc/DequantizeLinear"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "fc/DequantizeLinear_2", axis=0),
        helper.make_node("MatMul", ["d", "wd"], ["y"], "fc/MatMul"),
    ]
    return tiny(nodes, constants)


def tiny(nodes: list[onnx.NodeProto], constants: list[TensorProto]) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, 16])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 16])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_the_proof_fails_for_a_product_left_in_float32(tmp_path: Path) -> None:
    kernels = build(float_product(), "fp16", tmp_path)
    assert kernels.types == {"first/MatMul": "half", "second/MatMul": "float"}
    with pytest.raises(AssertionError):
        check((), ("first/MatMul", "second/MatMul"), kernels)


def test_the_proof_fails_for_a_quantized_product_without_an_int8_kernel(tmp_path: Path) -> None:
    kernels = build(wrong_axis(), "int8", tmp_path)
    assert kernels.wrong == ("fc/MatMul is int8 in the model and float in the engine (runtime_fusion)",)
    with pytest.raises(AssertionError):
        check(("fc/MatMul",), (), kernels)
