from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from mmn_edge.convert.graph.writer import OPSET, GraphWriter, operator_counts, save_onnx


def test_nodes_are_named_by_site_and_operator() -> None:
    g = GraphWriter()
    layer = g.at("block").at("fc")
    assert layer("Relu", "x") == "block.fc/Relu"
    assert layer("Relu", "y") == "block.fc/Relu_2"
    assert g("Relu", "z") == "graph/Relu"
    assert g.at("block")("Concat", "x", "y", axis=1) == "block/Concat"


def test_what_was_computed_before_is_not_computed_again() -> None:
    g = GraphWriter()
    first = g.at("joint")("Gather", "x", g.integers([1, 0]), axis=2)
    assert g.at("bone")("Gather", "x", g.integers([1, 0]), axis=2) == first
    assert g.at("bone")("Gather", "x", g.integers([1, 0]), axis=1) == "bone/Gather"
    assert g.at("bone")("Gather", "x", g.integers([0, 1]), axis=1) == "bone/Gather_2"


def test_integers_are_stored_once_and_never_taken_for_others() -> None:
    g = GraphWriter()
    values = [[2], [2, 3], [23], [-1, 4], *(list(range(start, start + 10)) for start in range(4)), [4], [7]]
    names = [g.integers(entry) for entry in values]
    assert len(set(names)) == len(values)
    assert [g.integers(torch.tensor(entry)) for entry in values] == names


def small_model() -> onnx.ModelProto:
    """Rows of a window times a matrix, and back; the sum over frames."""
    g = GraphWriter()
    rows = g.reshape("x", -1, 3)
    product = g.at("fc")("MatMul", rows, g.at("fc").weights("weight", torch.arange(6.0).reshape(3, 2)))
    maps = g.reshape(g("Mul", product, g.number(0.5)), -1, 4, 2)
    left, right = g.halves(maps, axis=2)
    total = g("ReduceSum", g("Sub", left, right), g.integers([1]), keepdims=0)
    return g.model({"x": (4, 3)}, {"y": total, "first": g.slice(maps, 0, 1, axis=1)})


def test_a_model_runs_and_every_value_has_a_shape(tmp_path: Path) -> None:
    model = small_model()
    save_onnx(model, tmp_path / "m.onnx")
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    y, first = session.run(["y", "first"], {"x": x})
    maps = 0.5 * x @ np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_allclose(y, (maps[..., :1] - maps[..., 1:]).sum(1), rtol=1e-5)
    np.testing.assert_allclose(first, maps[:, :1], rtol=1e-5)
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    assert shapes["x"] == ["N", 4, 3]
    assert shapes["fc/MatMul"] == ["4*N", 2]
    assert shapes["graph/Reshape_2"] == ["N", 4, 2]
    assert shapes["y"] == ["N", 1]
    assert model.opset_import[0].version == OPSET
    assert operator_counts(tmp_path / "m.onnx")["Reshape"] == 2
    (weight,) = [tensor for tensor in model.graph.initializer if tensor.name == "fc.weight"]
    assert numpy_helper.to_array(weight).dtype == np.float32


def test_what_does_not_fit_together_is_refused_when_the_model_is_made() -> None:
    g = GraphWriter()
    product = g("MatMul", "x", g.weights("weight", torch.zeros(5, 2)))
    with pytest.raises(onnx.shape_inference.InferenceError, match="graph/MatMul"):
        g.model({"x": (4, 3)}, {"y": product})
