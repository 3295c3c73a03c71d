"""Two ONNX models of one network, layer by layer: where does the second drift from the first?

Values are matched by the names of the nodes that give them, ``<site>/<operator>``, which conversion keeps the same in
every precision. They are read by making them outputs of the graph, which keeps ONNX Runtime from fusing some operators
across them: what is compared is nearly, not exactly, what runs when deployed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from mmn_edge.convert.graph.lint import HEAVY, site_of
from mmn_edge.drift.layers import Layer, LayerDrift
from mmn_edge.errors import BundleError
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system.extras import load_onnxruntime, session_options

__all__ = ["compare_layers"]

MOVING = (
    "Cast",
    "Concat",
    "Constant",
    "Expand",
    "Gather",
    "Reshape",
    "Shape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "QuantizeLinear",
    "DequantizeLinear",
)
"""Operators that compute nothing, or no layer's result."""

SUMS = ("Add", "Sub", "Sum")
"""Operators whose inputs' absolute errors come together in the result."""

GRAPH = "graph"
"""The site of what belongs to no layer."""


def compare_layers(reference: Path, model: Path, inputs: Mapping[str, FloatArray], *, threshold: float) -> LayerDrift:
    """Run both models on the same windows and compare the result of every layer.

    Args:
        reference: An ONNX model in float32.
        model: The same network in another precision.
        inputs: By name, one window or more along axis 0; they are run one by one, which bounds the memory.
        threshold: The relative error above which a layer counts as drifted.

    Raises:
        BundleError: The models have no layers in common, or cannot be loaded with their layers as outputs.
    """
    paths = (reference, model)
    graphs = [onnx.load(str(path)) for path in paths]
    names = _common(*graphs)
    runners = [_Runner(graph, names, path) for graph, path in zip(graphs, paths, strict=True)]
    errors = _errors(runners, names, inputs) if names else {}
    if not errors:
        raise BundleError(f"{model} and {reference} have no layers of the same name and shape: convert again")
    return LayerDrift(_layers(graphs[0], errors), len(next(iter(inputs.values()))), threshold)


def _errors(
    runners: Sequence[_Runner], names: Sequence[str], inputs: Mapping[str, FloatArray]
) -> dict[str, tuple[float, float]]:
    """Of each node its relative error, and its absolute one, a root mean square over elements."""
    squares, sizes = np.zeros((len(names), 2)), np.zeros(len(names))
    for index in range(len(next(iter(inputs.values())))):
        window = {name: values[index : index + 1] for name, values in inputs.items()}
        for place, (expected, found) in enumerate(zip(*(runner(window) for runner in runners), strict=True)):
            if found.shape != expected.shape:
                continue  # of the same name, and another value
            exact = expected.astype(np.float64)
            squares[place] += np.square(found - exact).sum(), np.square(exact).sum()
            sizes[place] += exact.size
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(squares[:, 0] == 0, 0.0, np.sqrt(squares[:, 0] / squares[:, 1]))
        absolute = np.sqrt(squares[:, 0] / sizes)
    measured = zip(names, sizes, relative.tolist(), absolute.tolist(), strict=True)
    return {name: (one, other) for name, size, one, other in measured if size}


def _common(reference: ModelProto, model: ModelProto) -> list[str]:
    """The nodes to compare: those of functions between layers, and the last one of each layer."""
    nodes = [node for node in reference.graph.node if node.op_type not in MOVING]
    last = {site_of(node.name): node.name for node in nodes}
    sites = set(last)
    holders = {GRAPH} | {site for site in sites if any(other.startswith(f"{site}.") for other in sites)}
    others = {node.name for node in model.graph.node}
    return [
        node.name
        for node in nodes
        if node.name in others and (site_of(node.name) in holders or node.name == last[site_of(node.name)])
    ]


class _Runner:
    """A model whose outputs are the first outputs of some nodes."""

    def __init__(self, model: ModelProto, names: list[str], path: Path) -> None:
        by_name = {node.name: node for node in model.graph.node}
        self.outputs = [by_name[name].output[0] for name in names]
        changed = ModelProto()
        changed.CopyFrom(model)
        known = {value.name for value in changed.graph.output}
        changed.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in dict.fromkeys(self.outputs) if name not in known
        )
        onnxruntime = load_onnxruntime()
        try:
            self.session = onnxruntime.InferenceSession(
                changed.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class
            raise BundleError(f"ONNX Runtime cannot load {path} with its layers as outputs: {error}") from error

    def __call__(self, inputs: Mapping[str, FloatArray]) -> list[FloatArray]:
        found: list[FloatArray] = self.session.run(self.outputs, dict(inputs))
        return found


def _layers(model: ModelProto, errors: Mapping[str, tuple[float, float]]) -> tuple[Layer, ...]:
    """The compared nodes with their errors, and what the errors of their inputs explain of them.

    Args:
        model: The reference.
        errors: Of each node compared, from :func:`_errors`.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    carried: dict[str, tuple[float, float]] = {}  # of a value: relative and absolute error, NaN where that is unknown
    layers = []
    for node in model.graph.node:
        came = [carried[name] for name in node.input if name in carried]
        inherited = max((relative for relative, _ in came), default=0.0)
        together = _together(node, [absolute for _, absolute in came], constants)
        if node.name in errors:
            relative, absolute = here = errors[node.name]
            explained = together * relative / absolute if absolute > 0 else math.nan
            if not math.isnan(explained):
                joins = node.op_type in SUMS and len(came) > 1
                inherited = explained if joins else max(inherited, explained)
            layers.append(Layer(node.name, relative, inherited))
        else:
            here = inherited, together
        carried.update(dict.fromkeys(node.output, here))
    return tuple(layers)


def _together(node: NodeProto, errors: Sequence[float], constants: Mapping[str, TensorProto]) -> float:
    """The absolute error that its inputs' make of a node, taken for independent; NaN where that is unknown."""
    if node.op_type in MOVING:
        return max(errors, default=0.0)
    if node.op_type in SUMS:
        return math.sqrt(sum(error**2 for error in errors))
    weights = [name for name in node.input[:2] if name in constants]
    if node.op_type in HEAVY and len(weights) == 1:
        return _gain(node, weights[0], constants) * max(errors, default=0.0)
    return math.nan


def _gain(node: NodeProto, name: str, constants: Mapping[str, TensorProto]) -> float:
    """By how much a product with constant weights multiplies independent errors: the root of its weights' squares."""
    weight = numpy_helper.to_array(constants[name]).astype(np.float64)
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    if node.op_type == "Conv":
        terms = weight[0].size
    else:
        terms = weight.shape[-1] if transposed or name == node.input[0] else weight.shape[-2]
    return math.sqrt(float(np.square(weight).mean()) * terms)
