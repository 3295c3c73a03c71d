"""A graph in int8: QuantizeLinear and DequantizeLinear around products, weights stored as int8.

Derived from another graph, node by node: the same nodes under the same names, and beside each product of a
quantized layer the operators that TensorRT's explicit quantization reads. Weights are taken as they stand in the
graph, where batch norms are folded into them: one step an output channel scales with its channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mmn_edge.convert.graph.lint import HEAVY, site_of
from mmn_edge.convert.graph.rewriting import replace
from mmn_edge.errors import VerificationError
from mmn_edge.network import MMN
from mmn_edge.network.quantization import LEVELS, Quantizer, quantized_sites
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["Site", "quantized", "quantized_layers"]

HALF_SCALES = 19
"""The opset that lets scales be of half precision."""

SMALLEST = 1e-8
"""The least range: a scale must be positive, and the weights of a dead channel are all 0."""


@dataclass(frozen=True)
class Site:
    """How one layer is quantized.

    Attributes:
        amax: The largest input that int8 represents.
        per_channel: Whether each output channel of the weights has a step of its own.
    """

    amax: float
    per_channel: bool


def quantized_layers(network: MMN) -> dict[str, Site]:
    """The layers of a network whose fake quantization is on, by name."""
    found = {}
    for name in quantized_sites(network):
        quantizer = network.get_submodule(f"{name}.quantizer")
        assert isinstance(quantizer, Quantizer)
        if not quantizer.enabled:
            continue
        found[name] = Site(float(quantizer.amax), quantizer.axis is not None)
    return found


def quantized(model: onnx.ModelProto, layers: Mapping[str, Site]) -> onnx.ModelProto:
    """A copy of a model in which these layers' products have int8 operands.

    Scales are of the type that the model's maps are of, and so is what comes out of the products: a model from
    :func:`mmn_edge.convert.graph.half.halved` stays in half precision around them.

    Args:
        model: Nodes named ``<site>/<operator>``, weights inside, as second operands.
        layers: By site.

    Raises:
        VerificationError: A layer is not in the graph as one product of a value and constant weights.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    products: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        if node.op_type in HEAVY:
            products.setdefault(site_of(node.name), []).append(node)
    added: dict[str, list[NodeProto]] = {}
    for site, layer in layers.items():
        found = products.get(site, [])
        if len(found) != 1 or found[0].input[1] not in constants:
            raise VerificationError(
                f"the layer {site} has an int8 range, and the graph holds no single product of it with "
                "constant weights: keep it in floating point"
            )
        tensors, nodes = _quantize(site, found[0], numpy_helper.to_array(constants[found[0].input[1]]), layer)
        graph.initializer.extend(tensors)
        added[found[0].name] = nodes
    ordered = [part for node in graph.node for part in (*added.get(node.name, ()), node)]
    replace(graph, nodes=ordered)
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer):
        for entry in result.opset_import:  # no operator that is used here changed in it, but for its types
            entry.version = max(entry.version, HALF_SCALES)
    return result


def _quantize(site: str, node: NodeProto, weight: FloatArray, layer: Site) -> tuple[list[TensorProto], list[NodeProto]]:
    """Give a product int8 operands; what must be added to the graph before it."""
    transposed = next((attribute for attribute in node.attribute if attribute.name == "transB"), None)
    if transposed is not None and transposed.i:
        # As [K, N], like the other products: TensorRT would not look for weights behind a transposition.
        weight, transposed.i = weight.T, 0
    kind = weight.dtype
    weight = weight.astype(np.float32)
    axis = 0 if node.op_type == "Conv" else weight.ndim - 1
    others = tuple(other for other in range(weight.ndim) if other != axis) if layer.per_channel else None
    scale = np.maximum(np.abs(weight).max(axis=others), np.float32(SMALLEST)) / np.float32(LEVELS)
    shaped = scale.reshape([-1 if other == axis else 1 for other in range(weight.ndim)]) if layer.per_channel else scale
    steps = np.round(weight / shaped).astype(np.int8)
    values = {
        f"{site}.input_scale": (np.float32(layer.amax) / np.float32(LEVELS)).astype(kind),
        f"{site}.input_zero": np.int8(0),
        f"{site}.weight_int8": np.ascontiguousarray(steps),
        f"{site}.weight_scale": scale.astype(kind),
        f"{site}.weight_zero": np.zeros(scale.shape, np.int8),
    }
    input_scale, input_zero, weights, weight_scale, weight_zero = values
    value, product = node.input[0], f"{node.input[0]}.{site}"
    stepped, dequantized = f"{product}.int8", f"{product}.dequantized"
    options: dict[str, Any] = {"axis": axis} if layer.per_channel else {}
    nodes = [
        helper.make_node("QuantizeLinear", [value, input_scale, input_zero], [stepped], f"{site}/QuantizeLinear"),
        helper.make_node(
            "DequantizeLinear", [stepped, input_scale, input_zero], [dequantized], f"{site}/DequantizeLinear"
        ),
        helper.make_node(
            "DequantizeLinear",
            [weights, weight_scale, weight_zero],
            [f"{site}.weight_dequantized"],
            f"{site}/DequantizeLinear_2",
            **options,
        ),
    ]
    node.input[0], node.input[1] = dequantized, f"{site}.weight_dequantized"
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in values.items()], nodes
