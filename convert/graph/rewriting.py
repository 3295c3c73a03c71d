"""What the passes over an ONNX graph share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnx import GraphProto, NodeProto, TensorProto

__all__ = ["replace"]


def replace(graph: GraphProto, *, nodes: Sequence[NodeProto], constants: Iterable[TensorProto] = ()) -> None:
    """Exchange the nodes of a graph, in place.

    Args:
        graph: The graph.
        nodes: In topological order; they may be the graph's own.
        constants: Added to the graph's. Constants that no node takes any more are dropped.
    """
    copies = []
    for node in nodes:
        copy = NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    used = {name for node in copies for name in node.input}
    kept = []
    for tensor in (*graph.initializer, *constants):
        if tensor.name in used:
            kept.append(TensorProto())
            kept[-1].CopyFrom(tensor)
    del graph.node[:]
    del graph.initializer[:]
    graph.node.extend(copies)
    graph.initializer.extend(kept)
