"""A fake-quantized network as ONNX wants it: int8 weights stored, QuantizeLinear and DequantizeLinear around inputs.

Every quantized layer becomes one that emits these operators and nothing else new, layer by layer, so that any network
whose layers are those of :mod:`mmn_edge.network.quantization` can be exported, whatever lies between them.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmn_edge.network import MMN
from mmn_edge.network.mmn import JointMixing
from mmn_edge.network.quantization import Quantizer, quantized_sites

__all__ = ["frozen"]


def frozen(network: MMN) -> MMN:
    """A copy of a fake-quantized network, in evaluation mode, for export only: PyTorch cannot run it."""
    network = copy.deepcopy(network).eval()
    for name in quantized_sites(network):
        layer = network.get_submodule(name)
        new: nn.Module
        if isinstance(layer, nn.Conv2d):
            new = _Conv2d(layer)
        elif isinstance(layer, nn.Linear):
            new = _Linear(layer)
        else:
            assert isinstance(layer, JointMixing), name
            block = network.get_submodule(name.rpartition(".")[0])
            new = _JointMixing(layer, block.get_parameter("gconv"))
        network.set_submodule(name, new.eval())
    return network


class _Frozen(nn.Module):
    """The constants of a quantized layer: the input's step, int8 weights, and the weights' steps.

    Args:
        quantizer: The layer's fake quantization.
        weight: Its weights.
        transpose: Whether to store the last two axes exchanged, so that the product needs no Transpose, behind which
            TensorRT would not find the weights.
    """

    input_scale: Tensor
    weight: Tensor
    weight_scale: Tensor

    def __init__(self, quantizer: Quantizer, weight: Tensor, *, transpose: bool) -> None:
        super().__init__()
        with torch.no_grad():
            scale = quantizer.weight_scale(weight)
            _, values = quantizer(weight.new_zeros(1), weight)
            axis = quantizer.axis
            shaped = scale if axis is None else scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
            steps = (values / shaped).round().to(torch.int8)
        self.axis = axis
        if transpose:
            steps = steps.transpose(-1, -2)
            self.axis = None if axis is None else weight.ndim - 1 - axis
        self.register_buffer("input_scale", quantizer.input_scale().detach().clone())
        self.register_buffer("weight", steps.contiguous())
        self.register_buffer("weight_scale", scale)

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input after its Q/DQ pair, and the weights after their DQ."""
        scale = self.input_scale.to(x.dtype)
        zero = torch.zeros((), dtype=torch.int8)
        steps = torch.onnx.ops.symbolic("QuantizeLinear", (x, scale, zero), dtype=torch.int8, shape=x.shape)
        weight_scale = self.weight_scale.to(x.dtype)
        return _dequantize(steps, scale, zero, None), _dequantize(
            self.weight, weight_scale, torch.zeros_like(weight_scale, dtype=torch.int8), self.axis
        )


class _Conv2d(_Frozen):
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(_quantizer(layer), layer.weight, transpose=False)
        self.bias = layer.bias
        self.options = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, x: Tensor) -> Tensor:
        x, weight = self.inputs(x)
        return F.conv2d(x, weight, self.bias, *self.options)  # type: ignore[arg-type]


class _Linear(_Frozen):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(_quantizer(layer), layer.weight, transpose=True)
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        x, weight = self.inputs(x)
        return torch.matmul(x, weight) + self.bias


class _JointMixing(_Frozen):
    def __init__(self, layer: JointMixing, gconv: Tensor) -> None:
        super().__init__(_quantizer(layer), gconv, transpose=True)
        self.heads = layer.heads

    def forward(self, x: Tensor, gconv: Tensor) -> Tensor:
        batch, channels, frames, joints = x.shape
        grouped, matrices = self.inputs(x.reshape(batch, self.heads, (channels // self.heads) * frames, joints))
        return torch.matmul(grouped, matrices).reshape(batch, channels, frames, joints)


def _quantizer(layer: nn.Module) -> Quantizer:
    quantizer = layer.get_submodule("quantizer")
    assert isinstance(quantizer, Quantizer)
    return quantizer


def _dequantize(steps: Tensor, scale: Tensor, zero: Tensor, axis: int | None) -> Tensor:
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    value: Tensor = torch.onnx.ops.symbolic(
        "DequantizeLinear", (steps, scale, zero), attributes, dtype=scale.dtype, shape=steps.shape
    )
    return value
