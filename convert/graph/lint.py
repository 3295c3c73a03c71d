"""What TensorRT asks of a model in fp32, fp16 or int8, checked node by node before anything is built.

The rules are those of "Working with Quantized Types" in TensorRT's documentation (10.x), and what its parser and
builder were seen to refuse, or to build without int8 kernels (``docs/explanation/engines.md``). ONNX Runtime takes
more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from mmn_edge.convert.graph.element_types import element_types, type_error
from mmn_edge.errors import VerificationError
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["LintReport", "lint", "site_of"]

MAX_OPSET = 20
"""The newest that TensorRT 10.3 (JetPack 6) parses."""

HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum")
NORMS = (
    "LayerNormalization",
    "BatchNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "LpNormalization",
    "ReduceMean",
    "Softmax",
    "Sigmoid",
)
NORMALIZING = tuple(name for name in NORMS if name.endswith("Normalization") and name != "BatchNormalization")
"""Those that sum squares of their input, which half precision has no range for."""


@dataclass(frozen=True)
class LintReport:
    """What a model holds that passed.

    Attributes:
        pairs: QuantizeLinear nodes, each followed by its DequantizeLinear.
        int8_weights: Weights stored as int8.
        quantized: Names of the products and convolutions with int8 operands.
        half: Names of those with half-precision operands.
        kept: Names of those in a wider type than the precision's: for int8 half and float, for fp16 float.
    """

    pairs: int
    int8_weights: int
    quantized: tuple[str, ...]
    half: tuple[str, ...]
    kept: tuple[str, ...]


def lint(model: onnx.ModelProto, kept: Collection[str], *, precision: str = "int8") -> LintReport:
    """Check a model against TensorRT's rules.

    Args:
        model: Nodes named ``<site>/<operator>``, weights inside.
        kept: The sites whose products, and those of sites below, may be in a wider type than the precision's.
        precision: ``"fp32"``, ``"fp16"``, ``"int8"`` or ``"int8-fp16"``.

    Raises:
        VerificationError: A rule is broken; the message names the node.
    """
    return _Linter(model, frozenset(kept), precision).run()


def site_of(node: str) -> str:
    """The layer that a node belongs to."""
    return node.partition("/")[0]


class _Linter:
    def __init__(self, model: onnx.ModelProto, kept: frozenset[str], precision: str) -> None:
        self.model = model
        self.kept = kept
        self.precision = precision
        self.nodes = list(model.graph.node)
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
                self.constants.update((node.output[0], value) for value in values)
        self.producer = {output: node for node in self.nodes for output in node.output}
        self.consumers: dict[str, list[tuple[NodeProto, int]]] = {}
        for node in self.nodes:
            for position, name in enumerate(node.input):
                self.consumers.setdefault(name, []).append((node, position))

    def run(self) -> LintReport:
        opset = self._check_opsets()
        quantizers = [node for node in self.nodes if node.op_type == "QuantizeLinear"]
        dequantizers = [node for node in self.nodes if node.op_type == "DequantizeLinear"]
        for node in [*quantizers, *dequantizers]:
            self._check_parameters(node)
        for node in quantizers:
            self._check_quantize(node)
        for node in dequantizers:
            self._check_dequantize(node)
        types = element_types(self.model)
        for node in self.nodes:
            self._check_types(node, types, opset)
        quantized: list[str] = []
        half: list[str] = []
        kept: list[str] = []
        for node in self.nodes:
            if node.op_type in HEAVY:
                int8 = self._check_quantized(node)
                half_precision = types.get(node.input[0]) == TensorProto.FLOAT16
                if int8:
                    quantized.append(node.name)
                elif half_precision:
                    half.append(node.name)
                narrow = int8 or self.precision == "fp32" or (self.precision == "fp16" and half_precision)
                if not narrow:
                    self._check_kept(node)
                    kept.append(node.name)
                    if self.precision == "int8-fp16" and not half_precision:
                        raise VerificationError(f"{_name(node)} is in float32 among half precision")
        weights = {node.input[0] for node in dequantizers if node.input[0] in self.constants}
        return LintReport(len(quantizers), len(weights), tuple(quantized), tuple(half), tuple(kept))

    def _check_opsets(self) -> int:
        """The version of the standard operators."""
        versions = [entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")]
        version = max(versions, default=1)
        if version > MAX_OPSET:
            raise VerificationError(f"the model needs opset {version}, and TensorRT 10.3 parses {MAX_OPSET}")
        for node in self.nodes:
            if node.domain not in ("", "ai.onnx"):
                raise VerificationError(
                    f"{_name(node)} is of domain {node.domain}: TensorRT takes standard operators only"
                )
        return version

    def _check_types(self, node: NodeProto, types: dict[str, int], opset: int) -> None:
        """One type for all inputs that ONNX says are of one, and norms in float32."""
        problem = type_error(node, types, opset)
        if problem:
            raise VerificationError(f"{_name(node)} {problem}")
        if node.op_type in NORMALIZING and types.get(node.input[0]) == TensorProto.FLOAT16:
            raise VerificationError(
                f"{_name(node)} is in half precision, where its sum of squares overflows: cast around it to float32"
            )

    def _check_parameters(self, node: NodeProto) -> None:
        """Scale and zero point: constant, positive, int8, zero."""
        stored = self.constants.get(node.input[0])
        if node.op_type == "DequantizeLinear" and stored is not None and stored.data_type == TensorProto.INT32:
            raise VerificationError(
                f"{_name(node)} dequantizes int32, a quantized bias: leave biases in floating point"
            )
        scale = self.constants.get(node.input[1])
        if scale is None:
            raise VerificationError(f"{_name(node)} has a scale that is no constant")
        steps = _array(scale)
        if not (np.isfinite(steps).all() and (steps > 0).all()):
            raise VerificationError(f"{_name(node)} has a scale that is not positive and finite")
        zero = self.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if zero is None:
            raise VerificationError(
                f"{_name(node)} has no constant zero point, which makes it uint8: give an int8 zero"
            )
        if zero.data_type != TensorProto.INT8:
            kind = TensorProto.DataType.Name(zero.data_type).lower()
            raise VerificationError(f"{_name(node)} is of {kind}: TensorRT's symmetric quantization is int8")
        if _array(zero).any():
            raise VerificationError(
                f"{_name(node)} has a zero point other than 0: TensorRT's quantization is symmetric"
            )

    def _check_quantize(self, node: NodeProto) -> None:
        if node.input[0] in self.constants:
            raise VerificationError(f"{_name(node)} quantizes a constant at run time: store the weights as int8")
        if _array(self.constants[node.input[1]]).size != 1:
            raise VerificationError(
                f"{_name(node)} has a scale a channel for an activation: one for the tensor is needed"
            )
        users = self.consumers.get(node.output[0], [])
        if not users or any(user.op_type != "DequantizeLinear" for user, _ in users):
            raise VerificationError(f"{_name(node)} is not followed by DequantizeLinear alone")

    def _check_dequantize(self, node: NodeProto) -> None:
        source = self.producer.get(node.input[0])
        stored = self.constants.get(node.input[0])
        if stored is not None:
            if stored.data_type != TensorProto.INT8:
                raise VerificationError(f"{_name(node)} dequantizes a constant that is not int8")
        elif source is None or source.op_type != "QuantizeLinear":
            raise VerificationError(
                f"{_name(node)} dequantizes what is neither int8 weights nor a QuantizeLinear's output"
            )
        elif not np.array_equal(_array(self.constants[source.input[1]]), _array(self.constants[node.input[1]])):
            raise VerificationError(f"{_name(node)} has another scale than its {_name(source)}")
        for user, position in self.consumers.get(node.output[0], []):
            if user.op_type in NORMS:
                raise VerificationError(
                    f"{_name(user)} is fed by {_name(node)}: norms and statistics stay in floating point"
                )
            if user.op_type not in HEAVY or position > 1:
                what = "a bias" if user.op_type in (*HEAVY, "Add") and stored is not None else "no product"
                raise VerificationError(f"{_name(node)} feeds {what} of {_name(user)}: only products are quantized")
            if stored is not None:
                self._check_axis(node, user, position, len(stored.dims))

    def _check_axis(self, node: NodeProto, user: NodeProto, position: int, rank: int) -> None:
        """Weights with one scale a channel: the channels must be those of the output."""
        if _array(self.constants[node.input[1]]).size == 1:
            return
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1) % rank
        transposed = next((a.i for a in user.attribute if a.name == "transB"), 0)
        expected = 0 if user.op_type == "Conv" or (user.op_type == "Gemm" and transposed) else rank - 1
        if position != 1 or axis != expected:
            raise VerificationError(
                f"{_name(node)} has its scales along axis {axis} of the weights of {_name(user)}, whose output "
                f"channels are axis {expected}: TensorRT would not run it in int8"
            )

    def _check_quantized(self, node: NodeProto) -> bool:
        """Whether a product is quantized: both operands must be, or none."""
        sources = [self.producer.get(name) for name in node.input[:2]]
        flags = [source is not None and source.op_type == "DequantizeLinear" for source in sources]
        if any(flags) and node.op_type == "Einsum":
            raise VerificationError(f"{_name(node)} is quantized, and TensorRT has no int8 Einsum: write it as MatMul")
        if any(flags) and not all(flags):
            raise VerificationError(f"{_name(node)} has one quantized operand and one in floating point")
        return all(flags)

    def _check_kept(self, node: NodeProto) -> None:
        """A product in a wider type than the precision's must be one that was kept on purpose."""
        site = f"{site_of(node.name)}."
        if not any(site.startswith(f"{kept}.") for kept in self.kept):
            state = "quantized" if self.precision.startswith("int8") else "in half precision"
            raise VerificationError(f"{_name(node)} is not {state}, and its layer is not among those kept on purpose")


def _name(node: NodeProto) -> str:
    return f"{node.op_type} node {node.name or node.output[0]}"


def _array(tensor: TensorProto) -> FloatArray:
    array: FloatArray = numpy_helper.to_array(tensor).astype(np.float32)
    return array
