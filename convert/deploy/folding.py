"""What building a deploy form takes: layers from given weights, and batch norms as what they are in evaluation."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["conv", "folded", "linear", "scale_and_shift", "weights"]

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


def weights(layer: object) -> tuple[Tensor, Tensor | None]:
    """Weights and bias of a convolution, ``(out, in / groups, kt, kv)``, or of a linear layer, ``(out, in)``."""
    assert isinstance(layer, (nn.Conv2d, nn.Linear)), layer
    return layer.weight, layer.bias


def scale_and_shift(norm: object) -> tuple[Tensor, Tensor]:
    """A batch norm in evaluation mode is ``x * scale + shift``, one number each a channel."""
    assert isinstance(norm, nn.BatchNorm2d), norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def folded(convolution: object, norm: object) -> tuple[Tensor, Tensor]:
    """Weights and bias of a convolution that includes the batch norm after it."""
    assert isinstance(convolution, nn.Conv2d), convolution
    scale, shift = scale_and_shift(norm)
    bias = shift if convolution.bias is None else convolution.bias * scale + shift
    return convolution.weight * scale[:, None, None, None], bias


def conv(
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: tuple[int, ...] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution with the weights ``(out, in / groups, kt, kv)``."""
    layer = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        (stride[0], stride[1]),
        padding,
        groups=groups,
        bias=bias is not None,
        device="meta",
    )
    return _with(layer, weight, bias)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with the weights ``(out, in)``."""
    return _with(nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta"), weight, bias)


def _with(layer: _Layer, weight: Tensor, bias: Tensor | None) -> _Layer:
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer
