"""PyTorch to ONNX, with a dynamic batch axis."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

__all__ = ["OPSET", "export_onnx", "operator_counts", "save_onnx"]

OPSET = 20
"""The newest that TensorRT 10.3 (JetPack 6) parses, and the first with GELU as one operator."""

OUTPUT_NAMES = ("logits", "probabilities")


def export_onnx(graph: nn.Module, input_names: tuple[str, ...], example: tuple[Tensor, ...]) -> onnx.ModelProto:
    """``graph`` as ONNX; axis 0 of every input and output is the dynamic batch ``N``.

    Tracing takes many seconds, which is why other precisions are derived from what this returns.

    Args:
        graph: A module in evaluation mode that returns logits and probabilities.
        input_names: Names of its inputs, in order.
        example: Example inputs with a batch of at least 2 (a batch of 1 would be taken for a constant).

    Returns:
        A model in float32, with the types and shapes of all values, nodes named ``<site>/<operator>``, weights inside.
    """
    batch = torch.export.Dim("N", min=1)
    with _quiet():
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=input_names,
            output_names=OUTPUT_NAMES,
            dynamic_shapes=tuple({0: batch} for _ in example),
            verbose=False,
        )
    if program is None:
        raise AssertionError("torch.onnx.export(dynamo=True) returned no program")
    model = program.model_proto
    _name_nodes(model, _folded_norms(graph))
    _strip_traces(model)
    return model


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, after the checker of ONNX has found nothing in it."""
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))


def operator_counts(path: Path) -> Counter[str]:
    """How often each operator occurs in an ONNX file."""
    return Counter(node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node)


def _name_nodes(model: onnx.ModelProto, folded: dict[str, str]) -> None:
    """Name nodes by the module that they come from, ``MFM.0.blocks.0.mapping/MatMul``, as builders' logs show them."""
    taken: Counter[str] = Counter()
    for node in model.graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), "[]")
        path = [scope for scope in ast.literal_eval(scopes)[:-1] if scope]
        module = path[-1] if path else "graph"
        if node.op_type == "Conv":
            module = folded.get(module, module)
        # What is called a network holds one and is no layer.
        site = ".".join(part for part in module.split(".") if part != "network") or "graph"
        name = f"{site}/{node.op_type}"
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"


def _folded_norms(graph: nn.Module) -> dict[str, str]:
    """Batch norms that follow a convolution, which the exporter folds into one node under the norm's name."""
    return {
        f"{name}.{norm}" if name else norm: f"{name}.{convolution}" if name else convolution
        for name, module in graph.named_modules()
        for (convolution, first), (norm, second) in pairwise(module.named_children())
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)
    }


def _strip_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's stack traces: they hold local paths and are a third of the file's nodes' bytes."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter prints, logs and warns of: none of it is for users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
