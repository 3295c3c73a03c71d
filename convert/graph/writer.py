"""ONNX graphs written operator by operator, nodes named by the layer that they belong to.

A layer's name is its *site*: :class:`GraphWriter` stands at one, and :meth:`GraphWriter.at` goes to one below. Values
are their names. The first axis of every value is the batch, in rows of frames and joints a multiple of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

import mmn_edge

__all__ = ["OPSET", "GraphWriter", "operator_counts", "save_onnx"]

OPSET = 20
"""The newest that TensorRT 10.3 (JetPack 6) parses, and the first with GELU as one operator."""

IR_VERSION = 10
"""The file format of that opset's time, which ONNX Runtime 1.18 reads."""

BATCH = "N"


class _Content:
    """What has been written so far, from all sites."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.integers: dict[tuple[int, ...], str] = {}
        self.known: dict[object, list[str]] = {}
        self.names: Counter[str] = Counter()


class GraphWriter:
    """Writes nodes of one site; ``graph("Add", x, y)`` writes one and gives its value.

    Nodes are named ``<site>/<operator>``, later ones of a site ``_2``, ``_3`` and so on; a value is named like the node
    that gives it. What was computed before is not computed again: the same operator on the same values gives the
    earlier value, at whatever site.
    """

    def __init__(self, site: str = "", content: _Content | None = None) -> None:
        self.site = site
        self._content = content or _Content()

    def at(self, name: str) -> GraphWriter:
        """A writer for the site ``name`` below this one."""
        return GraphWriter(f"{self.site}.{name}" if self.site else name, self._content)

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Write a node with one output."""
        (value,) = self._node(operator, inputs, attributes, 1)
        return value

    def halves(self, value: str, *, axis: int) -> tuple[str, str]:
        """Two equal parts of a value along an axis."""
        first, second = self._node("Split", (value,), {"axis": axis, "num_outputs": 2}, 2)
        return first, second

    def reshape(self, value: str, *shape: int) -> str:
        """A value in another shape; -1 stands for the first axis."""
        return self("Reshape", value, self.integers(shape))

    def slice(self, value: str, start: int, stop: int | None, *, axis: int) -> str:
        """The part ``[start:stop]`` of a value along an axis."""
        ends = np.iinfo(np.int64).max if stop is None else stop
        return self("Slice", value, *(self.integers([number]) for number in (start, ends, axis)))

    def weights(self, name: str, values: Tensor) -> str:
        """A constant of this site in float32."""
        full = f"{self.site}.{name}" if self.site else name
        array = np.ascontiguousarray(values.detach().numpy().astype(np.float32))
        self._content.constants[full] = numpy_helper.from_array(array, full)
        return full

    def number(self, value: float) -> str:
        """A constant number, of no axes."""
        name = f"number:{value!r}"
        self._content.constants[name] = numpy_helper.from_array(np.asarray(value, np.float32), name)
        return name

    def integers(self, values: Sequence[int] | Tensor) -> str:
        """Constant integers ``(n,)``: axes, shapes, indices. The same ones are stored once."""
        numbers = tuple(map(int, values))
        known = self._content.integers
        if numbers not in known:
            text = ",".join(map(str, numbers))
            name = f"integers:{text}" if len(numbers) < 8 else f"indices:{len(known)}"
            self._content.constants[name] = numpy_helper.from_array(np.array(numbers, np.int64), name)
            known[numbers] = name
        return known[numbers]

    def model(self, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, str]) -> ModelProto:
        """All that was written, as a model in float32 with the types and shapes of all values.

        Args:
            inputs: Shapes by name, without the batch.
            outputs: The value that each is.
        """
        final = {value: name for name, value in outputs.items()}
        for node in self._content.nodes:
            node.input[:] = [final.get(name, name) for name in node.input]
            node.output[:] = [final.get(name, name) for name in node.output]
        graph = helper.make_graph(
            self._content.nodes,
            "mmn",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape]) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            list(self._content.constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="mmn-edge",
            producer_version=mmn_edge.__version__,
        )
        # ONNX cannot infer a batch through a reshape to rows and back. Of a batch of one it infers all shapes, and of
        # which multiple of the batch the first axis is.
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
            first = value.type.tensor_type.shape.dim[0]
            first.dim_param = BATCH if first.dim_value == 1 else f"{first.dim_value}*{BATCH}"
        return model

    def _node(self, operator: str, inputs: Sequence[str], attributes: Mapping[str, Any], outputs: int) -> list[str]:
        content = self._content
        key = (operator, tuple(inputs), repr(sorted(attributes.items())))
        if key not in content.known:
            name = f"{self.site or 'graph'}/{operator}"
            content.names[name] += 1
            if content.names[name] > 1:
                name = f"{name}_{content.names[name]}"
            values = [name] if outputs == 1 else [f"{name}:{index}" for index in range(outputs)]
            content.nodes.append(helper.make_node(operator, inputs, values, name, **attributes))
            content.known[key] = values
        return content.known[key]


def save_onnx(model: ModelProto, path: Path) -> None:
    """Write a model, after the checker of ONNX has found nothing in it."""
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))


def operator_counts(path: Path) -> Counter[str]:
    """How often each operator occurs in an ONNX file."""
    return Counter(node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node)
