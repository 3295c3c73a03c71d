"""Each rule broken in a model of a few nodes: a quantized convolution, then a quantized product, then a norm."""

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mmn_edge.convert.graph.lint import lint, site_of
from mmn_edge.errors import VerificationError

Edit = Callable[[onnx.ModelProto], None]


def tensor(name: str, values: object, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def good() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="conv/QuantizeLinear"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], name="conv/DequantizeLinear"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], name="conv/DequantizeLinear_2", axis=0),
        helper.make_node("Conv", ["xd", "wd", "b"], ["c"], name="conv/Conv"),
        helper.make_node("Transpose", ["c"], ["t"], name="graph/Transpose", perm=[0, 2, 3, 1]),
        helper.make_node("LayerNormalization", ["t", "gamma"], ["n"], name="norm/LayerNormalization"),
        helper.make_node("QuantizeLinear", ["n", "s", "z"], ["nq"], name="fc/QuantizeLinear"),
        helper.make_node("DequantizeLinear", ["nq", "s", "z"], ["nd"], name="fc/DequantizeLinear"),
        helper.make_node("DequantizeLinear", ["m", "ms", "mz"], ["md"], name="fc/DequantizeLinear_2", axis=1),
        helper.make_node("MatMul", ["nd", "md"], ["p"], name="fc/MatMul"),
        helper.make_node("Add", ["p", "b"], ["a"], name="fc/Add"),
        helper.make_node("MatMul", ["a", "f"], ["y"], name="mapping/MatMul"),
    ]
    constants = [
        tensor("s", 0.1),
        tensor("z", 0, np.int8),
        tensor("w", rng.integers(-127, 128, (4, 3, 1, 1)), np.int8),
        tensor("ws", [0.1, 0.2, 0.3, 0.4]),
        tensor("wz", [0, 0, 0, 0], np.int8),
        tensor("b", [0, 1, 2, 3]),
        tensor("gamma", [1, 1, 1, 1]),
        tensor("m", rng.integers(-127, 128, (4, 4)), np.int8),
        tensor("ms", [0.1, 0.2, 0.3, 0.4]),
        tensor("mz", [0, 0, 0, 0], np.int8),
        tensor("f", rng.normal(size=(4, 4))),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 2, 4])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def node(model: onnx.ModelProto, name: str) -> NodeProto:
    (found,) = (entry for entry in model.graph.node if entry.name == name)
    return found


def replace(model: onnx.ModelProto, name: str, values: object, dtype: type = np.float32) -> None:
    (found,) = (entry for entry in model.graph.initializer if entry.name == name)
    found.CopyFrom(tensor(name, values, dtype))


def test_a_good_model_passes_and_is_described() -> None:
    model = good()
    onnx.checker.check_model(model, full_check=True)
    report = lint(model, {"mapping"})
    assert report.pairs == 2
    assert report.int8_weights == 2
    assert report.quantized == ("conv/Conv", "fc/MatMul")
    assert report.kept == ("mapping/MatMul",)
    assert site_of(report.kept[0]) == "mapping"


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 21


def foreign(model: onnx.ModelProto) -> None:
    node(model, "conv/QuantizeLinear").domain = "com.microsoft"


def zero_point(model: onnx.ModelProto) -> None:
    replace(model, "z", 3, np.int8)


def no_zero_point(model: onnx.ModelProto) -> None:
    del node(model, "fc/DequantizeLinear_2").input[2]


def unsigned(model: onnx.ModelProto) -> None:
    replace(model, "z", 0, np.uint8)


def negative_scale(model: onnx.ModelProto) -> None:
    replace(model, "ws", [0.1, -0.2, 0.3, 0.4])


def dynamic_scale(model: onnx.ModelProto) -> None:
    node(model, "fc/QuantizeLinear").input[1] = "x"


def scale_a_channel(model: onnx.ModelProto) -> None:
    replace(model, "s", [0.1, 0.2, 0.3])


def other_scale(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(tensor("s2", 0.2))
    node(model, "conv/DequantizeLinear").input[1] = "s2"


def weight_axis(model: onnx.ModelProto) -> None:
    node(model, "fc/DequantizeLinear_2").attribute[0].i = 0


def convolution_axis(model: onnx.ModelProto) -> None:
    node(model, "conv/DequantizeLinear_2").attribute[0].i = 1


def int32_bias(model: onnx.ModelProto) -> None:
    model.graph.initializer.extend([tensor("b32", [0, 1, 2, 3], np.int32), tensor("z32", 0, np.int32)])
    model.graph.node.insert(3, helper.make_node("DequantizeLinear", ["b32", "s", "z32"], ["bd"], name="conv/Bias"))
    node(model, "conv/Conv").input[2] = "bd"


def int8_bias(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(tensor("b8", [0, 1, 2, 3], np.int8))
    model.graph.node.insert(3, helper.make_node("DequantizeLinear", ["b8", "s", "z"], ["bd"], name="fc/Bias"))
    node(model, "fc/Add").input[1] = "bd"


def quantized_norm(model: onnx.ModelProto) -> None:
    model.graph.node.insert(5, helper.make_node("QuantizeLinear", ["t", "s", "z"], ["tq"], name="norm/Q"))
    model.graph.node.insert(6, helper.make_node("DequantizeLinear", ["tq", "s", "z"], ["td"], name="norm/D"))
    node(model, "norm/LayerNormalization").input[0] = "td"


def float_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(tensor("wf", np.ones((4, 3, 1, 1))))
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["wf", "s", "z"], ["wq"], name="conv/Weights"))
    node(model, "conv/DequantizeLinear_2").input[0] = "wq"


def half_quantized(model: onnx.ModelProto) -> None:
    node(model, "fc/MatMul").input[0] = "n"


def forgotten(model: onnx.ModelProto) -> None:
    node(model, "mapping/MatMul").name = "proj/MatMul"


def einsum(model: onnx.ModelProto) -> None:
    product = node(model, "fc/MatMul")
    product.op_type = "Einsum"
    product.attribute.append(helper.make_attribute("equation", "...k,kn->...n"))


def lonely(model: onnx.ModelProto) -> None:
    node(model, "conv/DequantizeLinear").input[0] = "w"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (newer, "the model needs opset 21, and TensorRT 10.3 parses 20"),
        (foreign, "QuantizeLinear node conv/QuantizeLinear is of domain com.microsoft"),
        (zero_point, "node conv/QuantizeLinear has a zero point other than 0"),
        (no_zero_point, "node fc/DequantizeLinear_2 has no constant zero point"),
        (unsigned, "node conv/QuantizeLinear is of uint8"),
        (negative_scale, "node conv/DequantizeLinear_2 has a scale that is not positive"),
        (dynamic_scale, "node fc/QuantizeLinear has a scale that is no constant"),
        (scale_a_channel, "node conv/QuantizeLinear has a scale a channel for an activation"),
        (other_scale, "node conv/DequantizeLinear has another scale than its QuantizeLinear node conv/QuantizeLinear"),
        (weight_axis, "node fc/DequantizeLinear_2 has its scales along axis 0 of the weights of MatMul node fc/MatMul"),
        (convolution_axis, "whose output channels are axis 0"),
        (int32_bias, "node conv/Bias dequantizes int32, a quantized bias"),
        (int8_bias, "node fc/Bias feeds a bias of Add node fc/Add"),
        (quantized_norm, "node norm/LayerNormalization is fed by DequantizeLinear node norm/D: norms"),
        (float_weights, "node conv/Weights quantizes a constant at run time"),
        (half_quantized, "MatMul node fc/MatMul has one quantized operand"),
        (forgotten, "MatMul node proj/MatMul is not quantized"),
        (einsum, "Einsum node fc/MatMul is quantized, and TensorRT has no int8 Einsum"),
        (lonely, "QuantizeLinear node conv/QuantizeLinear is not followed by DequantizeLinear"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_broken_rule_is_named_with_its_node(edit: Edit, message: str) -> None:
    model = good()
    edit(model)
    with pytest.raises(VerificationError, match=re.escape(message)):
        lint(model, {"mapping"})
