"""A moving average of weights, which is what gets validated and saved where a recipe asks for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["moving_average"]


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of parameters and buffers.

    The decay rises with the steps, ``min(decay, (1 + n) / (10 + n))``, so that the first weights are soon forgotten.
    """

    def update(averaged: Any, current: Any, steps: Tensor | int) -> None:
        count = float(steps)
        share = 1.0 - min(decay, (1.0 + count) / (10.0 + count))
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, share)
        else:
            for mine, theirs in zip(averaged, current, strict=True):
                mine.copy_(theirs)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
