"""MMN in half precision, with islands of float32 where half precision has not enough range or steps.

Float32 stay: all of the preprocessing, the sum of embedding and positional term, layer norms, and the statistics over
frames and joints. Everything else, the projection included, has half-precision weights and arithmetic.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mmn_edge.network import MMN

__all__ = ["halved"]


def halved(network: MMN) -> MMN:
    """A copy of a network, in evaluation mode, whose maps are float16; for graphs of ``dtype`` float16."""
    network = copy.deepcopy(network).eval()
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.LayerNorm):
            network.set_submodule(name, _FloatNorm(module))
        elif isinstance(module, nn.BatchNorm2d):
            network.set_submodule(name, _Affine(module))
        elif module is not network:  # whose own parameter is the positional term
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.half()
    return network


class _FloatNorm(nn.Module):
    """A layer norm in float32 between half-precision layers."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(x.float())
        return normalised.to(x.dtype)


class _Affine(nn.Module):
    """A batch norm of evaluation mode as what it is, one factor and one summand a channel.

    Folded in float32: a running variance below 6e-8 would be 0 in half precision.
    """

    factor: Tensor
    summand: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        with torch.no_grad():
            factor = norm.weight / torch.sqrt(variance + norm.eps)
            summand = norm.bias - mean * factor
        self.register_buffer("factor", factor.half().reshape(1, -1, 1, 1))
        self.register_buffer("summand", summand.half().reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.summand
