"""What TensorRT's parser and builder do not take, each as a model of a few nodes: our lint refuses it by node.

Where TensorRT for RTX refuses it as well, its own error becomes ours and names the node, too; where it builds without
the int8 product that was asked for, the kernels say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mmn_edge.convert.graph.lint import lint
from mmn_edge.convert.tensorrt.engine import EngineOptions, build_engine
from mmn_edge.errors import EngineError, VerificationError

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT
node = helper.make_node


def tensor(name: str, values: object, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def model(nodes: list[NodeProto], constants: list[TensorProto], *, opset: int = 18) -> onnx.ModelProto:
    """From ``x`` float32 ``(N, 8, 16)`` to ``y``."""
    inputs = [helper.make_tensor_value_info("x", FLOAT, ["N", 8, 16])]
    outputs = [helper.make_tensor_value_info("y", FLOAT, ["N", 8, 16])]
    graph = helper.make_graph(nodes, "rule", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def product(
    *,
    zero: int = 0,
    axis: int = 1,
    scale: object = 0.1,
    operator: NodeProto | None = None,
    half: bool = False,
    opset: int = 18,
) -> onnx.ModelProto:
    """A quantized matrix product, sound by default; in half precision but for its ends with ``half``."""
    kind = np.float16 if half else np.float32
    constants = [
        tensor("s", scale, kind),
        tensor("z", np.full(np.shape(scale), zero), np.int8),
        tensor("w", np.random.default_rng(0).integers(-127, 128, (16, 16)), np.int8),
        tensor("ws", np.linspace(0.01, 0.02, 16), kind),
        tensor("wz", np.zeros(16), np.int8),
    ]
    options = {"axis": 2} if np.ndim(scale) else {}
    nodes = [
        node("QuantizeLinear", ["h" if half else "x", "s", "z"], ["q"], "fc/QuantizeLinear", **options),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], "fc/DequantizeLinear", **options),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "fc/DequantizeLinear_2", axis=axis),
        operator or node("MatMul", ["d", "wd"], ["p" if half else "y"], "fc/MatMul"),
    ]
    if half:
        nodes.insert(0, node("Cast", ["x"], ["h"], "graph/Cast", to=HALF))
        nodes.append(node("Cast", ["p"], ["y"], "graph/Cast_2", to=FLOAT))
    return model(nodes, constants, opset=opset)


def bias() -> onnx.ModelProto:
    made = product(operator=node("MatMul", ["d", "wd"], ["p"], "fc/MatMul"))
    made.graph.initializer.extend([tensor("b", np.arange(16), np.int32), tensor("bs", 0.001)])
    made.graph.node.append(node("DequantizeLinear", ["b", "bs"], ["bd"], "fc/Bias"))
    made.graph.node.append(node("Add", ["p", "bd"], ["y"], "fc/Add"))
    return made


def norm(kind: type, *, to: int = HALF) -> onnx.ModelProto:
    nodes = [
        node("Cast", ["x"], ["h"], "graph/Cast", to=to),
        node("LayerNormalization", ["h", "gamma", "beta"], ["n"], "norm/LayerNormalization"),
        node("Cast", ["n"], ["y"], "graph/Cast_2", to=FLOAT),
    ]
    return model(nodes, [tensor("gamma", np.ones(16), kind), tensor("beta", np.zeros(16), kind)])


def addition() -> onnx.ModelProto:
    nodes = [node("Cast", ["x"], ["h"], "graph/Cast", to=HALF), node("Add", ["h", "x"], ["y"], "fc/Add")]
    return model(nodes, [])


def mixed_product() -> onnx.ModelProto:
    nodes = [node("Cast", ["x"], ["h"], "graph/Cast", to=HALF), node("MatMul", ["h", "w"], ["y"], "fc/MatMul")]
    return model(nodes, [tensor("w", np.eye(16))])


def forgotten() -> onnx.ModelProto:
    """An fp16 graph whose only product stayed in float32."""
    return model([node("MatMul", ["x", "w"], ["y"], "fc/MatMul")], [tensor("w", np.eye(16))])


EINSUM = node("Einsum", ["d", "wd"], ["y"], "fc/Einsum", equation="...k,kn->...n")


@dataclass(frozen=True)
class Rule:
    """A broken rule.

    Attributes:
        broken: The model.
        says: What our lint says.
        refused: What TensorRT for RTX 1.7.1 says; None where it builds.
        wrong: What its kernels are then found to do wrong; None where nothing is (it takes more than TensorRT 10.3).
        precision: What the model is meant to be.
        kept: Layers that may stay in a wider type.
    """

    broken: Callable[[], onnx.ModelProto]
    says: str
    refused: str | None = None
    wrong: str | None = None
    precision: str = "int8"
    kept: tuple[str, ...] = ()


LOST = "fc/MatMul is int8 in the model and float in the engine (runtime_fusion)"

RULES = {
    "zero point": Rule(
        lambda: product(zero=3),
        "QuantizeLinear node fc/QuantizeLinear has a zero point other than 0",
        refused="node 0, fc/QuantizeLinear (QuantizeLinear): INVALID_NODE, .*Non-zero zero point",
    ),
    "int32 bias": Rule(
        bias,
        "DequantizeLinear node fc/Bias dequantizes int32, a quantized bias",
        refused="node 4, fc/Bias (DequantizeLinear): INVALID_NODE, .*input has type Int32",
    ),
    "mixed addition": Rule(
        addition,
        "Add node fc/Add takes float16 (h) and float (x) where one type is needed",
        refused="node 1, fc/Add (Add): INVALID_NODE, .*must have same input types",
    ),
    "mixed product": Rule(
        mixed_product,
        "MatMul node fc/MatMul takes float16 (h) and float (w) where one type is needed",
        refused="node 1, fc/MatMul (MatMul): INVALID_NODE, .*must have same input types",
    ),
    "half norm, float gamma": Rule(
        lambda: norm(np.float32),
        "LayerNormalization node norm/LayerNormalization takes float16 (h) and float (gamma)",
        refused="node 1, norm/LayerNormalization (LayerNormalization): INVALID_NODE, .*must have identical types",
    ),
    "half norm": Rule(
        lambda: norm(np.float16),
        "LayerNormalization node norm/LayerNormalization is in half precision, where its sum of squares overflows",
        precision="fp16",
    ),
    "weight axis": Rule(
        lambda: product(axis=0),
        "node fc/DequantizeLinear_2 has its scales along axis 0 of the weights of MatMul node fc/MatMul,",
        wrong=LOST,
    ),
    "activation a channel": Rule(
        lambda: product(scale=np.linspace(0.1, 0.2, 16)),
        "QuantizeLinear node fc/QuantizeLinear has a scale a channel for an activation",
        wrong=LOST,
    ),
    "Einsum": Rule(
        lambda: product(operator=EINSUM), "Einsum node fc/Einsum is quantized, and TensorRT has no int8 Einsum"
    ),
    "half scales, opset 18": Rule(
        lambda: product(half=True),
        "QuantizeLinear node fc/QuantizeLinear takes h of float16, which opset 18 does not have: export with opset 19",
    ),
    "opset": Rule(lambda: product(opset=21), "the model needs opset 21, and TensorRT 10.3 parses 20"),
    "float product in fp16": Rule(
        forgotten, "MatMul node fc/MatMul is not in half precision, and its layer is not among those", precision="fp16"
    ),
    "float product among half ones": Rule(
        forgotten, "MatMul node fc/MatMul is in float32 among half precision", precision="int8-fp16", kept=("fc",)
    ),
    "unknown operator": Rule(
        lambda: model([node("Erfinv", ["x"], ["y"], "strange/Erfinv")], []),
        "Erfinv node strange/Erfinv is no operator of opset 18",
        refused="node 0, strange/Erfinv (Erfinv): ",
    ),
}
SOUND = {
    "int8": (product, "int8"),
    "half scales, opset 19": (lambda: product(half=True, opset=19), "int8-fp16"),
    "float norm": (lambda: norm(np.float32, to=FLOAT), "fp16"),
}


@pytest.mark.parametrize("name", RULES)
def test_the_lint_names_the_node(name: str) -> None:
    rule = RULES[name]
    with pytest.raises(VerificationError, match=re.escape(rule.says)):
        lint(rule.broken(), rule.kept, precision=rule.precision)


@pytest.mark.parametrize("name", SOUND)
def test_the_lint_takes_what_is_sound(name: str) -> None:
    make, precision = SOUND[name]
    lint(make(), (), precision=precision)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.refused or rule.wrong])
def test_tensorrt_refuses_it_by_node_or_loses_the_int8_product(name: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="PROOF SKIPPED: nothing was parsed, since tensorrt-rtx is not installed")
    rule = RULES[name]
    path, target = tmp_path / "rule.onnx", tmp_path / "rule.engine"
    path.write_bytes(rule.broken().SerializeToString())
    options = EngineOptions(compute_capabilities=("SM86",))
    if rule.refused is None:
        build = build_engine(path, target, precision="int8", flavour="tensorrt_rtx", options=options)
        assert build.kernels.wrong == (rule.wrong,)
        return
    start, _, end = rule.refused.partition(".*")
    with pytest.raises(EngineError, match=r"cannot read rule\.onnx: " + re.escape(start) + ".*" + re.escape(end)):
        build_engine(path, target, precision="int8", flavour="tensorrt_rtx", options=options)
    assert not target.exists()
