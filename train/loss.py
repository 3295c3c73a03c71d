"""What is minimised: cross-entropy with the recipe's label smoothing, mixup, logit adjustment and distillation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmn_edge.train.recipe import Recipe

__all__ = ["Objective"]


class Objective:
    """The training loss of a batch.

    Args:
        recipe: Its ``optim.label_smoothing``, ``data.mixup``, ``data.logit_adjustment`` and ``qat`` count.
        shares: Share of each class among the training clips, ``(K,)``.
        teacher: The network whose outputs are distilled; None: no distillation.
    """

    def __init__(self, recipe: Recipe, shares: Tensor, teacher: nn.Module | None = None) -> None:
        self._recipe, self._teacher = recipe, teacher
        # A class without clips has no finite logarithm: it counts as the rarest that has some.
        self._prior = recipe.data.logit_adjustment * shares.clamp_min(float(shares[shares > 0].min())).log()

    def __call__(
        self, network: nn.Module, x: Tensor, index_t: Tensor, target: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """The mean loss of features ``(N, C, T, V, M)`` with time index ``(N, T)`` and labels ``(N,)``."""
        recipe, other, share = self._recipe, target, 1.0
        if recipe.data.mixup:
            share = float(rng.beta(recipe.data.mixup, recipe.data.mixup))
            order = torch.from_numpy(rng.permutation(len(target))).to(target.device)
            x, other = share * x + (1 - share) * x[order], target[order]
            index_t = share * index_t + (1 - share) * index_t[order]
        logits = network(x, index_t).float()
        loss = share * self._cross_entropy(logits, target)
        if share < 1.0:
            loss = loss + (1 - share) * self._cross_entropy(logits, other)
        if self._teacher is None or not recipe.qat.distillation:
            return loss
        with torch.no_grad():
            taught = self._teacher(x, index_t).float()
        weight, temperature = recipe.qat.distillation, recipe.qat.temperature
        # Hinton et al., "Distilling the Knowledge in a Neural Network", 2015: T^2 keeps the gradients' size.
        divergence = temperature**2 * F.kl_div(
            F.log_softmax(logits / temperature, dim=1),
            F.log_softmax(taught / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return weight * divergence + (1 - weight) * loss

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        smoothing = self._recipe.optim.label_smoothing
        if not self._recipe.data.logit_adjustment:
            return F.cross_entropy(logits, target, label_smoothing=smoothing)
        # Smoothing is of what the network will say. Of the adjusted logits it would raise rare and absent classes above
        # the right one, by as much as the prior lowers them.
        uniform = -F.log_softmax(logits, dim=1).mean()
        return (1 - smoothing) * F.cross_entropy(logits + self._prior, target) + smoothing * uniform
