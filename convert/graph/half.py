"""A float32 graph in half precision, with islands of float32 where half precision has not enough range or steps.

Derived from the float32 graph, node by node: the same nodes under the same names, in other types, with casts between.
Float32 stay: preprocessing and positional term with their sum, layer norms, the statistics over frames and joints, and
what follows the logits. Everything else, the projection included, has half-precision weights and arithmetic.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mmn_edge.convert.graph.lint import HEAVY
from mmn_edge.convert.graph.rewriting import replace
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["halved"]

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
JOINING = ("Add", "Div", "Mul", "Sub")
SUFFIX: dict[int, str] = {FLOAT: "float32", HALF: "float16"}


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a float32 model whose maps are float16; its inputs and outputs stay float32.

    Args:
        model: With types and shapes of every value, as :meth:`mmn_edge.convert.graph.writer.GraphWriter.model` gives
            them.
    """
    return _Halving(model).run()


class _Halving:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        graph = model.graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        values = [*graph.input, *graph.value_info, *graph.output]
        self.shapes = {
            value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]  # 0 where dynamic
            for value in values
        }
        self.kinds = {value.name: value.type.tensor_type.elem_type for value in values}
        self.inputs = {value.name for value in graph.input}
        self.outputs = {value.name for value in graph.output}
        self.casts: dict[tuple[str, int], str] = {}
        self.halves: dict[str, TensorProto] = {}
        self.nodes: list[NodeProto] = []

    def run(self) -> onnx.ModelProto:
        islands = self._islands()
        for index, node in enumerate(self.model.graph.node):
            if node.op_type == "BatchNormalization":
                self._fold(node)
            else:
                self._convert(node, FLOAT if index in islands else HALF)
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        replace(model.graph, nodes=self.nodes, constants=self.halves.values())
        for value in model.graph.value_info:
            value.type.tensor_type.elem_type = self.kinds[value.name]
        return model

    def _islands(self) -> set[int]:
        """The nodes that stay in float32, by place."""
        nodes = self.model.graph.node
        behind: set[str] = set()  # values that a product had a part in
        after = {"logits"}
        exact: set[str] = set()  # values of islands
        islands: set[int] = set()
        for index, node in enumerate(nodes):
            learned = node.op_type in HEAVY or not behind.isdisjoint(node.input)
            if learned:
                behind.update(node.output)
            positional = node.op_type == "Add" and any(
                self._is_map(name) and name not in behind and name not in self.inputs for name in node.input
            )
            final = not after.isdisjoint(node.input)
            if final:
                after.update(node.output)
            statistic = any(self._is_statistic(name) for name in [*node.input, *node.output])
            # What joins two values of islands is part of them: a quotient by a small deviation may need float32's
            # range until it is multiplied out.
            values = [name for name in node.input if name not in self.constants]
            joined = node.op_type in JOINING and len(values) > 1 and exact.issuperset(values)
            if not learned or positional or final or statistic or joined or node.op_type == "LayerNormalization":
                islands.add(index)
                exact.update(node.output)
        # The squares that a statistic is the mean of.
        squares = {name for index in islands for name in nodes[index].input if nodes[index].op_type == "ReduceMean"}
        islands |= {
            index
            for index, node in enumerate(nodes)
            if node.op_type in ("Pow", "Mul") and not squares.isdisjoint(node.output)
        }
        return islands

    def _is_map(self, name: str) -> bool:
        """Whether a value spans frames and joints, ``(N, C, T, V)``."""
        shape = self.constants[name].dims if name in self.constants else self.shapes.get(name, [])
        return len(shape) == 4 and shape[2] != 1 and shape[3] != 1

    def _is_statistic(self, name: str) -> bool:
        """Whether a value is one number a channel, ``(N, C, 1, 1)``."""
        return name not in self.constants and self.shapes.get(name, [])[2:] == [1, 1]

    def _convert(self, node: NodeProto, kind: int) -> None:
        """Add a node in float32 or half precision, behind the casts that it needs."""
        node = _copy(node)
        node.input[:] = [self._as(name, kind) for name in node.input]
        floating = [name for name in node.output if self.kinds.get(name) == FLOAT]
        final = self.outputs.intersection(floating) if kind == HALF else set()
        if kind == HALF:
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                    attribute.i = HALF
            self.kinds.update(dict.fromkeys(floating, HALF))
        node.output[:] = [f"{name}.{SUFFIX[HALF]}" if name in final else name for name in node.output]
        self.nodes.append(node)
        for name in final:
            self.nodes.append(_cast(f"{name}.{SUFFIX[HALF]}", name, FLOAT))
            self.kinds[name] = FLOAT

    def _as(self, name: str, kind: int) -> str:
        """The name under which a value is there in float32 or half precision; others keep theirs."""
        if name in self.constants:
            tensor = self.constants[name]
            return name if kind == FLOAT or tensor.data_type != FLOAT else self._half_constant(name, _array(tensor))
        known = self.kinds.get(name)
        if known not in SUFFIX or known == kind:
            return name
        if (name, kind) not in self.casts:
            self.casts[name, kind] = f"{name}.{SUFFIX[kind]}"
            self.nodes.append(_cast(name, self.casts[name, kind], kind))
        return self.casts[name, kind]

    def _half_constant(self, name: str, values: FloatArray) -> str:
        half = f"{name}.{SUFFIX[HALF]}"
        if half not in self.halves:
            self.halves[half] = numpy_helper.from_array(values.astype(np.float16), half)
        return half

    def _fold(self, node: NodeProto) -> None:
        """A batch norm as what it is, one factor and one summand a channel.

        Folded in float32: a running variance below 6e-8 would be 0 in half precision.
        """
        scale, bias, mean, variance = (_array(self.constants[name]) for name in node.input[1:5])
        epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + np.float32(epsilon))
        rank = len(self.shapes[node.input[0]])
        shape = [1, -1] + [1] * (rank - 2)
        output, site = node.output[0], node.name.partition("/")[0]
        factors = self._half_constant(f"{site}.factor", factor.reshape(shape))
        summands = self._half_constant(f"{site}.summand", (bias - mean * factor).reshape(shape))
        scaled = f"{output}.scaled"
        # The second goes by the norm's name, because it gives what the norm gave.
        self.nodes.append(helper.make_node("Mul", [self._as(node.input[0], HALF), factors], [scaled], f"{site}/Mul"))
        self.nodes.append(helper.make_node("Add", [scaled, summands], [output], node.name))
        self.kinds[output] = HALF


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], f"graph/Cast_{target}", to=kind)


def _copy(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _array(tensor: TensorProto) -> FloatArray:
    array: FloatArray = numpy_helper.to_array(tensor)
    return array
