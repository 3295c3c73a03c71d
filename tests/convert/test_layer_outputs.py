from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.convert.graph.lint import HEAVY, site_of
from mmn_edge.convert.layer_outputs import compare_layers
from mmn_edge.drift.layers import THRESHOLDS
from mmn_edge.drift.windows import sample_windows
from mmn_edge.errors import BundleError
from mmn_edge.skeleton.frame import FloatArray

PLANTED = "MFM.2.blocks.0.proj"


@pytest.fixture(scope="module")
def inputs(small_bundle: Path) -> dict[str, FloatArray]:
    return {"keypoints": sample_windows(Bundle.open(small_bundle).manifest.architecture, count=2)}


def perturbed(path: Path, target: Path, factor: float) -> Path:
    """The model with the weights of one product multiplied."""
    model = onnx.load(str(path))
    product = next(node for node in model.graph.node if node.op_type in HEAVY and site_of(node.name) == PLANTED)
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
    assert {"graph/ReduceMin", "fusion.res_conv/Conv", "head/Gemm", "graph/Softmax"} <= set(names)
    assert len([name for name in names if site_of(name) == PLANTED]) == 1  # a layer's result, not its steps


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_rounding_of_a_sound_model_begins_at_no_single_layer(
    small_precisions: Path, inputs: dict[str, FloatArray], precision: str
) -> None:
    bundle = Bundle.open(small_precisions)
    drift = compare_layers(bundle.model("fp32"), bundle.model(precision), inputs, threshold=THRESHOLDS[precision])
    assert drift.first is None
    errors = {layer.name: layer.error for layer in drift.layers}
    assert len(errors) == len(drift.layers) > 150
    assert errors["graph/ReduceMin"] == 0  # preprocessing is float32 in every precision
    assert 0 < errors["head/Gemm"] < 0.1


@pytest.mark.parametrize("difference", ["Sub", "Conv"])
def test_errors_that_a_difference_of_frames_lays_bare_are_not_where_drift_begins(
    tmp_path: Path, difference: str
) -> None:
    rng = np.random.default_rng(0)
    shape = (1, 1, 64, 16)
    paths = [tmp_path / "reference.onnx", tmp_path / "model.onnx"]
    for path, noise in zip(paths, (0.0, 3e-4), strict=True):
        onnx.save_model(difference_of_frames(difference, noise * rng.normal(size=shape)), str(path))
    frames = (1 + 1e-3 * rng.normal(size=shape)).astype(np.float32)  # they differ by a thousandth
    drift = compare_layers(*paths, {"x": frames}, threshold=THRESHOLDS["fp16"])
    maps, out = drift.layers
    assert maps.error < 1e-3
    assert out.error > 0.1
    assert out.inherited == pytest.approx(out.error, rel=0.1)
    assert drift.first is None


def difference_of_frames(operator: str, noise: npt.ArrayLike) -> onnx.ModelProto:
    """Maps with some noise, and then their change from frame to frame."""
    constants = {
        "noise": np.asarray(noise, np.float32),
        "taps": np.array([-1, 1], np.float32).reshape(1, 1, 2, 1),
        **{
            name: np.array([value])
            for name, value in {"start": 0, "second": 1, "last": 63, "end": 64, "axis": 2}.items()
        },
    }
    nodes = [helper.make_node("Add", ["x", "noise"], ["maps"], "site.0/Add")]
    if operator == "Conv":
        nodes.append(helper.make_node("Conv", ["maps", "taps"], ["out"], "site.1/Conv"))
    else:
        nodes += [
            helper.make_node("Slice", ["maps", "second", "end", "axis"], ["later"], "site.1/Slice"),
            helper.make_node("Slice", ["maps", "start", "last", "axis"], ["earlier"], "site.1/Slice_2"),
            helper.make_node("Sub", ["later", "earlier"], ["out"], "site.1/Sub"),
        ]
    graph = helper.make_graph(
        nodes,
        "difference",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 64, 16])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 1, 63, 16])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_a_planted_error_is_found_where_it_begins(
    small_precisions: Path, inputs: dict[str, FloatArray], tmp_path: Path
) -> None:
    bundle = Bundle.open(small_precisions)
    model = perturbed(bundle.model("fp16"), tmp_path / "model.onnx", 1.5)
    drift = compare_layers(bundle.model("fp32"), model, inputs, threshold=0.1)
    assert drift.first is not None
    assert site_of(drift.first.name) == PLANTED
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
    assert site_of(drift.first.name) == PLANTED
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
