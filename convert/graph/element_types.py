"""Element types in an ONNX graph, held against what ONNX says each operator takes.

A strongly typed TensorRT network casts nothing by itself: an operator whose inputs differ in type where ONNX says that
they are of one, or that has a type which its opset does not know, is refused by the parser. ONNX Runtime and ONNX's own
shape inference take some of these.
"""

from __future__ import annotations

import onnx
from onnx import NodeProto, TensorProto, defs

__all__ = ["element_types", "type_error"]


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """``TensorProto.DataType`` of every value and constant of a graph, as far as ONNX can infer it."""
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.HasField("tensor_type")
    }
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: kind for name, kind in types.items() if kind != TensorProto.UNDEFINED}


def type_error(node: NodeProto, types: dict[str, int], opset: int) -> str | None:
    """What is wrong with the types of a node's inputs, as the end of a sentence; None if nothing is.

    Args:
        node: Of the standard operators.
        types: From :func:`element_types`; what is not in there is taken to be right.
        opset: The model's.
    """
    try:
        schema = defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError:
        return f"is no operator of opset {opset}"
    bound: dict[str, tuple[int, str]] = {}
    for index, name in enumerate(node.input):
        kind = types.get(name)
        if kind is None:
            continue
        parameter = schema.inputs[min(index, len(schema.inputs) - 1)]
        if f"tensor({_name(kind)})" not in parameter.types:
            return f"takes {name} of {_name(kind)}, which opset {opset} does not have" + _newer(
                node, index, kind, opset
            )
        if parameter.option == defs.OpSchema.FormalParameterOption.Variadic and not parameter.is_homogeneous:
            continue
        first, of = bound.setdefault(parameter.type_str, (kind, name))
        if first != kind:
            return (
                f"takes {_name(first)} ({of}) and {_name(kind)} ({name}) where one type is needed: TensorRT casts "
                "nothing by itself"
            )
    return None


def _newer(node: NodeProto, index: int, kind: int, opset: int) -> str:
    """The first later opset in which an operator takes a type, for a message; empty where there is none."""
    for version in range(opset + 1, defs.onnx_opset_version() + 1):
        if f"tensor({_name(kind)})" in defs.get_schema(node.op_type, version, "").inputs[index].types:
            return f": export with opset {version}"
    return ""


def _name(kind: int) -> str:
    """``"float"``, ``"float16"``, ``"int8"``, as ONNX spells them."""
    return str(TensorProto.DataType.Name(kind)).lower()
