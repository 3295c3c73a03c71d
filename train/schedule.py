"""The learning rate, and which parameters decay."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from mmn_edge.train.recipe import Optim

__all__ = ["HEAD", "learning_rate", "parameter_groups"]

HEAD = "head."
"""What the names of the head's weights begin with; all other weights are the body's."""


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
    """AdamW's parameter groups: all decay as published, or only the weights of matrices and convolutions.

    Where the body learns at another rate than the head, each has its own, with its share of the rate as ``rate``.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        plain = parameter.ndim > 1 and not name.startswith("STPE") and not name.endswith(("gconv", "adj"))
        decay = optim.weight_decay if optim.decay_all or plain else 0.0
        rate = 1.0 if name.startswith(HEAD) else optim.body_rate
        groups.setdefault((decay, rate), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "rate": rate}
        for (decay, rate), parameters in sorted(groups.items(), key=lambda group: group[0], reverse=True)
    ]
