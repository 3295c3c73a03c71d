"""The inputs of the four temporal scales, made from the embedding's last hidden layer.

Every scale's input is an affine function of that layer, which has only ``3 * C_in`` channels: the last 1x1 convolution,
the positional term and the strided convolutions between scales are all affine. Where the positional term is a constant,
each scale comes from the hidden layer directly (:func:`composed`), which is a sixth of the arithmetic.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

from mmn_edge.convert.deploy.folding import conv, folded, weights
from mmn_edge.network import MMN

__all__ = ["Composed", "Reduction", "composed"]


class Reduction(nn.Module):
    """One strided convolution between scales, for a time index that comes with every window."""

    def __init__(self, downsample: nn.Module) -> None:
        super().__init__()
        weight, bias = folded(downsample.get_submodule("reduction"), downsample.get_submodule("bn"))
        self.conv = conv(weight, bias, stride=(2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, V, C)`` to ``(N, T/2, V, C)``."""
        out: Tensor = self.conv(torch.cat([x[:, :1], x], dim=1).permute(0, 3, 1, 2))
        return out.permute(0, 2, 3, 1)


def composed(network: MMN, positional: Tensor) -> list[Composed]:
    """Each scale's input from windows of frames of the hidden layer.

    Args:
        network: In float64.
        positional: The positional term ``(1, C, T, V)``.
    """
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
    return scales


class Composed(nn.Module):
    """One scale's input as one product.

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
        self.windows = (-1, len(taps), len(merged))
        self.register_buffer("frames", torch.tensor(list(merged)).T.flatten())
        self.register_buffer("weight", torch.cat(list(merged.values())))
        self.register_buffer("constant", constant.permute(0, 2, 3, 1).contiguous())

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(N, T, V, 3 * C_in)`` to ``(N, T / 2**s, V, C)``."""
        if self.windows[2] > 1:
            joints, channels = hidden.shape[2:]
            hidden = hidden.index_select(1, self.frames).reshape(*self.windows, joints, channels)
            hidden = hidden.transpose(2, 3).flatten(3)
        return torch.matmul(hidden, self.weight) + self.constant
