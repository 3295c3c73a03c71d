from __future__ import annotations

import pytest

from mmn_edge.convert.tensorrt.kernels import Kernel, Product, match, read_kernels

# The formats of TensorRT for RTX 1.7 (made by building) and of TensorRT 10.x (as people quote its log), names changed.
RTX = "\n".join(
    (
        "Layers:",
        "Name: head/MatMul_myl0_3, LayerType: gemm, Inputs: [ { Name: q.1_myl0, Dimensions: [4,4], "
        "Strides: [4,1], StrideOrder: [1,0], Datatype: Int8, Format: (Linear) Row major linear format "
        "}], Constants: [ { Name: w_myl0, Dimensions: [4,4], Strides: [4,1], StrideOrder: [1,0], "
        "Datatype: Int8, Format: (Linear) Row major linear format }, { Name: alpha_myl0, Dimensions: "
        "[1], Strides: [1], StrideOrder: [0], Datatype: Float, Format: (Linear) Row major linear format "
        "}], Outputs: [ { Name: arg_5_myl0, Dimensions: [4,4], Strides: [4,1], StrideOrder: [1,0], "
        "Datatype: Float, Format: (Linear) Row major linear format }], TacticName: __myelin_CASK_STUB, "
        "StreamId: 0, Metadata: [ONNX Layer: head/MatMul][ONNX Layer: head/DequantizeLinear]",
        "Name: __mye1_myl0_4, LayerType: wait, Inputs: [], Constants: [], Outputs: [], TacticName: , "
        "StreamId: 1, EventId: 25, Metadata: ",
        "Name: __myl_CorrErf_myl0_5, LayerType: kgen, Inputs: [ { Name: x, Dimensions: [-1,2], Strides: "
        "[2,1], StrideOrder: [1,0], Datatype: Half, Format: (NHWC) Channel major format }], Constants: "
        "[], Outputs: [ { Name: y, Dimensions: [-1,2], Strides: [2,1], StrideOrder: [1,0], Datatype: "
        "Half, Format: (NHWC) Channel major format }], TacticName: t, StreamId: 0, Metadata: [ONNX "
        "Layer: stem/Conv]__gemm_from_conv1x1",
        "",
        "I/O Tensors:",
        " Name: x, IOMode: Input, DataType: Float, Dimensions: [1,3], Location: Device",
    )
)
TENSORRT = "\n".join(
    (
        "Layers:",
        "Name: Reformatting CopyNode for Input Tensor 0 to stem + relu, LayerType: Reformat, Inputs: [ { "
        "Name: in, Location: Device, Dimensions: [1,3,8,8], Format/Datatype: Row major linear FP32 }], "
        "Outputs: [ { Name: r, Location: Device, Dimensions: [1,3,8,8], Format/Datatype: Channel major "
        "FP16 format where channel % 8 == 0 }], ParameterType: Reformat, Origin: REFORMAT, TacticValue: "
        "0x00000000000003e8, StreamId: 0, Metadata: ",
        "Name: stem + relu, LayerType: CaskConvolution, Inputs: [ { Name: r, Location: Device, "
        "Dimensions: [1,3,8,8], Format/Datatype: Thirty-two wide channel vectorized row major Int8 "
        "format }], Outputs: [ { Name: out, Location: Device, Dimensions: [1,4,8,8], Format/Datatype: "
        'Half }], ParameterType: Convolution, Kernel: [3,3], Weights: {"Type": "Int8", "Count": 108}, '
        "HasBias: 1, TacticName: sm80_xmma, TacticValue: 0x1, StreamId: 0, Metadata: [ONNX Layer: "
        "stem/Conv]\x1e[ONNX Layer: stem/Relu]",
        "Name: head_myl9_4, LayerType: gemm, Inputs: [ { Name: out, Dimensions: [1,4], Format/Datatype: "
        "Half }, { Name: w, Dimensions: [4,10], Format/Datatype: Half }, { Name: alpha, Dimensions: [1], "
        "Format/Datatype: Float }], Outputs: [ { Name: y, Dimensions: [1,10], Format/Datatype: Half }], "
        "TacticName: sm50_xmma, StreamId: 0, Metadata: [ONNX Layer: head/Gemm]",
    )
)


def test_the_log_of_tensorrt_for_rtx() -> None:
    assert read_kernels(["Engine generation completed.", RTX]) == (
        Kernel("head/MatMul_myl0_3", "gemm", ("int8",), ("float",), ("head/MatMul", "head/DequantizeLinear")),
        Kernel("__mye1_myl0_4", "wait", (), (), ()),
        Kernel("__myl_CorrErf_myl0_5", "kgen", ("half",), ("half",), ("stem/Conv",)),
    )


def test_the_log_of_tensorrt_10() -> None:
    reformat, convolution, gemm = read_kernels([TENSORRT])
    assert (reformat.kind, reformat.type, reformat.outputs, reformat.origins) == ("Reformat", "float", ("half",), ())
    assert (convolution.type, convolution.outputs) == ("int8", ("half",))
    assert convolution.origins == ("stem/Conv", "stem/Relu")
    assert (gemm.kind, gemm.inputs, gemm.origins) == ("gemm", ("half", "half", "float"), ("head/Gemm",))


@pytest.mark.parametrize("log", [[], [""], ["Layers:\nName: x\nName: y, LayerType: gemm"], ['{"Layers": []}']])
def test_a_log_in_another_format_has_no_kernels_and_says_so(log: list[str]) -> None:
    assert read_kernels(log) == ()
    report = match([Product("stem/Conv", "convolution", "half")], ())
    assert report.unseen == ("stem/Conv",)
    assert report.rows() == [("kernels",), ("convolution",), ("matrix product",), ("other kernels",)]


def kernel(name: str, kind: str, type_: str, *origins: str) -> Kernel:
    return Kernel(name, kind, (type_,), (type_,), origins)


def test_each_product_is_found_where_it_is_computed() -> None:
    kernels = [
        kernel("prepare", "kgen", "float", "stem/Conv", "stem/QuantizeLinear"),
        kernel("stem", "correlation", "int8", "stem/Conv", "stem/DequantizeLinear"),
        kernel("finish", "kgen", "float", "stem/Conv", "stem/Relu"),
        kernel("small", "kgen", "half", "tiny/MatMul", "tiny/Add"),
        kernel("head", "gemm", "float", "head/Gemm"),
        kernel("wait", "wait", "other"),
    ]
    products = [
        Product("stem/Conv", "convolution", "int8"),
        Product("tiny/MatMul", "matrix product", "float"),  # narrower than asked for: nothing is lost
        Product("head/Gemm", "matrix product", "half"),
    ]
    report = match(products, kernels)
    assert report.types == {"stem/Conv": "int8", "tiny/MatMul": "half", "head/Gemm": "float"}
    assert report.wrong == ("head/Gemm is half in the model and float in the engine (gemm)",)
    assert report.unseen == ()
    assert report.counts == {
        "convolution": {"int8": 1},
        "matrix product": {"half": 1, "float": 1},
        "other kernels": {"float": 2},
    }
    assert report.rows()[0] == ("kernels", "int8", "half", "float")
    assert report.rows()[1] == ("convolution", "1", "0", "0")


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("__myl_CastMulCastMulCastFc_myl0_2", "float"),
        ("__myl_CorrMulAddRelu_myl0_2", "int8"),
        ("__myl_CorrMulCastAdd_myl0_2", "int8"),
        ("stem/Conv_myl0_2", "int8"),
    ],
)
def test_a_kernel_that_casts_int8_before_it_multiplies_is_none(name: str, type_: str) -> None:
    assert kernel(name, "runtime_fusion", "int8").type == type_
