from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mmn_edge.bundle import Bundle
from mmn_edge.convert.layers import compare_layers
from mmn_edge.errors import BundleError
from mmn_edge.layer_drift import THRESHOLDS
from mmn_edge.skeleton import FloatArray
from mmn_edge.windows import sample_windows

PLANTED = "MFM.2.blocks.0.proj/MatMul"


@pytest.fixture(scope="module")
def inputs(small_bundle: Path) -> dict[str, FloatArray]:
    return {"keypoints": sample_windows(Bundle.open(small_bundle).manifest.architecture, count=2)}


def perturbed(path: Path, target: Path, factor: float) -> Path:
    """The model with the weights of one product multiplied."""
    model = onnx.load(str(path))
    product = next(node for node in model.graph.node if node.name == PLANTED)
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == product.input[1])
    values = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array((values * factor).astype(values.dtype), weight.name))
    onnx.save_model(model, str(target))
    return target


def test_a_model_has_the_layers_of_itself(small_precisions: Path, inputs: dict[str, FloatArray]) -> None:
    model = Bundle.open(small_precisions).model("fp32")
    drift = compare_layers(model, model, inputs, threshold=1e-9)
    assert drift.first is None
    assert len(drift.layers) > 150
    assert {layer.error for layer in drift.layers} == {0.0}
    names = [layer.name for layer in drift.layers]
    assert {"projection.0/Conv", PLANTED.replace("MatMul", "Add"), "head/Gemm", "graph/Softmax"} <= set(names)
    assert PLANTED not in names  # the layer's result is what its bias was added to


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_rounding_of_a_sound_model_begins_at_no_single_layer(
    small_precisions: Path, inputs: dict[str, FloatArray], precision: str
) -> None:
    bundle = Bundle.open(small_precisions)
    drift = compare_layers(bundle.model("fp32"), bundle.model(precision), inputs, threshold=THRESHOLDS[precision])
    assert drift.first is None
    errors = {layer.name: layer.error for layer in drift.layers}
    assert len(errors) == len(drift.layers) > 150
    assert errors["graph/Sub"] == 0  # preprocessing is float32 in every precision
    assert 0 < errors["head/Gemm"] < 0.1


def test_rounding_that_a_difference_of_frames_lays_bare_is_not_where_drift_begins(
    small_precisions: Path, inputs: dict[str, FloatArray]
) -> None:
    bundle = Bundle.open(small_precisions)
    drift = compare_layers(bundle.model("fp32"), bundle.model("fp16"), inputs, threshold=0.02)
    difference = next(layer for layer in drift.layers if layer.name == "MFM.0.blocks.0/Sub")
    assert difference.error > 0.02
    assert difference.error < 2 * difference.inherited


def test_a_planted_error_is_found_where_it_begins(
    small_precisions: Path, inputs: dict[str, FloatArray], tmp_path: Path
) -> None:
    bundle = Bundle.open(small_precisions)
    model = perturbed(bundle.model("fp16"), tmp_path / "model.onnx", 1.5)
    drift = compare_layers(bundle.model("fp32"), model, inputs, threshold=0.1)
    assert drift.first is not None
    assert drift.first.name == PLANTED.replace("MatMul", "Add")
    assert drift.first.inherited < 0.01
    assert drift.first.error > 0.1
    assert drift.first in drift.jumps(3)


def test_overflow_is_found_where_it_begins(
    small_precisions: Path, inputs: dict[str, FloatArray], tmp_path: Path
) -> None:
    bundle = Bundle.open(small_precisions)
    model = perturbed(bundle.model("fp16"), tmp_path / "model.onnx", np.inf)
    drift = compare_layers(bundle.model("fp32"), model, inputs, threshold=0.1)
    assert drift.first is not None
    assert drift.first.name == PLANTED.replace("MatMul", "Add")
    assert not np.isfinite(drift.first.error)


def test_models_of_other_networks_are_refused(
    inputs: dict[str, FloatArray], small_bundle: Path, tmp_path: Path
) -> None:
    path = Bundle.open(small_bundle).model()
    model = onnx.load(str(path))
    for node in model.graph.node:
        node.name = f"other.{node.name}"
    onnx.save_model(model, str(tmp_path / "other.onnx"))
    with pytest.raises(BundleError, match="no layers of the same name and shape"):
        compare_layers(path, tmp_path / "other.onnx", inputs, threshold=0.1)
