"""The learning rate, and which parameters decay."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from mmn_edge.train.recipe import Optim

__all__ = ["learning_rate", "parameter_groups"]


def learning_rate(optim: Optim, step: int, steps_per_epoch: int) -> float:
    """The learning rate of optimizer step ``step``, counted from 0: linear warm-up, then a cosine."""
    warmup = round(optim.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return optim.warmup_lr + (optim.lr - optim.warmup_lr) * step / warmup
    total = optim.epochs * steps_per_epoch
    begin = warmup if optim.shift_cosine else 0
    share = min((step - begin) / max(total - begin, 1), 1.0)
    return optim.min_lr + (optim.lr - optim.min_lr) * 0.5 * (1 + math.cos(math.pi * share))


def parameter_groups(network: nn.Module, optim: Optim) -> list[dict[str, Any]]:
    """AdamW's parameter groups: all decay as published, or only the weights of matrices and convolutions."""
    if optim.decay_all:
        return [{"params": list(network.parameters()), "weight_decay": optim.weight_decay}]
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        plain = parameter.ndim > 1 and not name.startswith("STPE") and not name.endswith(("gconv", "adj"))
        (decayed if plain else free).append(parameter)
    return [
        {"params": decayed, "weight_decay": optim.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
