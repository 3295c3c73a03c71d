"""The inputs of the four temporal scales, made from the embedding's last hidden layer.

Every scale's input is an affine function of that layer, which has only ``3 * C_in`` channels: the last 1x1 convolution,
the positional term and the strided convolutions between scales are all affine. Where the positional term is a constant,
each scale is computed from the hidden layer directly (:class:`ComposedPyramid`), which is a sixth of the arithmetic.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

from mmn_edge.convert.folding import conv, exact, folded, linear, weights
from mmn_edge.network import MMN
from mmn_edge.network.mmn import time_code

__all__ = ["ComposedPyramid", "Pyramid"]


class Pyramid(nn.Module):
    """Scale after scale, as the network is written: for a time index that comes with every window."""

    STPE: Tensor

    def __init__(self, network: MMN) -> None:
        super().__init__()
        weight, bias = weights(network.projection[4])
        self.width = network.arch.width
        self.projection = linear(weight.flatten(1), bias)
        self.register_buffer("STPE", network.STPE.detach().transpose(0, 1).clone())
        self.reductions = nn.ModuleList(
            conv(*folded(layer.get_submodule("reduction"), layer.get_submodule("bn")), stride=(2, 1))
            for layer in network.DSs
        )

    def forward(self, hidden: Tensor, index_t: Tensor | None) -> list[Tensor]:
        """Map ``(N, T, V, 3 * C_in)`` and a time index ``(N, T)`` to rows ``(N * T / 2**s * V, C)`` for each scale."""
        assert index_t is not None
        frames, joints = hidden.shape[1:3]
        rows = self.projection(hidden.flatten(0, 2)).reshape(-1, frames, joints, self.width)
        positional = time_code(exact(index_t), self.width).unsqueeze(2) * exact(self.STPE)
        x = (exact(rows) + positional).to(rows.dtype)
        scales = [x.reshape(-1, self.width)]
        x = x.permute(0, 3, 1, 2)
        for reduction in self.reductions:
            x = reduction(torch.cat([x[:, :, :1], x], dim=2))
            scales.append(x.permute(0, 2, 3, 1).reshape(-1, self.width))
        return scales


class ComposedPyramid(nn.Module):
    """Each scale from windows of frames of the hidden layer, plus a constant."""

    def __init__(self, network: MMN, positional: Tensor) -> None:
        super().__init__()
        weight, bias = weights(network.projection[4])
        assert bias is not None
        # A frame's taps: which frames of the hidden layer it is made of, and the weights of each, (3 * C_in, C).
        taps: list[list[int]] = [[t] for t in range(network.arch.num_frames)]
        kernel = [weight.flatten(1).T]
        constant = positional + bias[:, None, None]
        scales = [Composed(taps, kernel, constant)]
        for downsample in network.DSs:
            reduction, _ = folded(downsample.get_submodule("reduction"), downsample.get_submodule("bn"))
            kernel = [tap @ reduction[:, :, k, 0].T for k in range(3) for tap in kernel]
            taps = [list(chain(taps[max(2 * t - 1, 0)], taps[2 * t], taps[2 * t + 1])) for t in range(len(taps) // 2)]
            constant = downsample(constant)
            scales.append(Composed(taps, kernel, constant))
        self.scales = nn.ModuleList(scales)

    def forward(self, hidden: Tensor, index_t: Tensor | None) -> list[Tensor]:
        """Map ``(N, T, V, 3 * C_in)`` to rows ``(N * T / 2**s * V, C)`` for each scale."""
        return [scale(hidden) for scale in self.scales]


class Composed(nn.Module):
    """One scale as one product.

    Args:
        taps: For each of its frames the frames of the hidden layer that it is made of, equally many.
        kernel: The weights of each tap, ``(3 * C_in, C)``.
        constant: What is added, ``(1, C, T / 2**s, V)``.
    """

    frames: Tensor
    weight: Tensor
    constant: Tensor

    def __init__(self, taps: list[list[int]], kernel: list[Tensor], constant: Tensor) -> None:
        super().__init__()
        # Taps that are the same frame throughout are one: away from the first frame, windows overlap.
        merged: dict[tuple[int, ...], Tensor] = {}
        for frames, weight in zip(zip(*taps, strict=True), kernel, strict=True):
            merged[frames] = merged[frames] + weight if frames in merged else weight
        self.shape = (len(taps), len(merged))
        self.identity = self.shape[1] == 1
        self.register_buffer("frames", torch.tensor(list(merged)).T.flatten())
        self.register_buffer("weight", torch.cat(list(merged.values())).clone())
        self.register_buffer("constant", constant.permute(0, 2, 3, 1).flatten(1, 2).clone())

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(N, T, V, 3 * C_in)`` to rows ``(N * T / 2**s * V, C)``."""
        frames, taps = self.shape
        joints, channels = hidden.shape[2:]
        if not self.identity:
            hidden = hidden.index_select(1, self.frames).reshape(-1, frames, taps, joints, channels).transpose(2, 3)
        rows = hidden.reshape(-1, frames * joints, taps * channels)
        x = torch.matmul(rows, self.weight)
        return (exact(x) + exact(self.constant)).to(x.dtype).reshape(-1, self.weight.shape[1])
