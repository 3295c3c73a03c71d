"""What is minimised: cross-entropy (of one class, or of each) with the recipe's mixup, smoothing and distillation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmn_edge.model.task import DETECT
from mmn_edge.train.recipe import Recipe

__all__ = ["Objective", "detection_loss"]

FOCUS_OF_ABSENT = 4.0
"""Exponent of the asymmetric loss for classes that are not there; those that are get none, as its authors advise."""


def detection_loss(logits: Tensor, target: Tensor, kind: str = "bce") -> Tensor:
    """Mean loss of logits ``(N, K)`` as K questions with soft answers ``(N, K)``, summed over the classes.

    Args:
        logits: Of K sigmoids.
        target: 0 to 1.
        kind: ``bce``; or ``asymmetric`` (Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021),
            which makes little of absent classes that are said to be absent. Without its shift of probabilities, which
            needs hard targets.
    """
    if kind == "bce":
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    else:
        present, absent = F.logsigmoid(logits), F.logsigmoid(-logits)
        losses = -(target * present + (1 - target) * torch.sigmoid(logits).pow(FOCUS_OF_ABSENT) * absent)
    return losses.sum(1).mean()


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
        """The mean loss of features ``(N, C, T, V, M)``, time index ``(N, T)``, labels ``(N,)`` or ``(N, K)``."""
        recipe, other, share = self._recipe, target, 1.0
        if recipe.data.mixup:
            share = float(rng.beta(recipe.data.mixup, recipe.data.mixup))
            order = torch.from_numpy(rng.permutation(len(target))).to(target.device)
            x, other = share * x + (1 - share) * x[order], target[order]
            index_t = share * index_t + (1 - share) * index_t[order]
        logits = network(x, index_t).float()
        supervised = self._each_class if recipe.task == DETECT else self._cross_entropy
        loss = share * supervised(logits, target)
        if share < 1.0:
            loss = loss + (1 - share) * supervised(logits, other)
        if self._teacher is None or not recipe.qat.distillation:
            return loss
        with torch.no_grad():
            taught = self._teacher(x, index_t).float()
        weight, temperature = recipe.qat.distillation, recipe.qat.temperature
        if recipe.task == DETECT:
            soft = torch.sigmoid(taught / temperature)
            divergence = temperature**2 * F.binary_cross_entropy_with_logits(logits / temperature, soft)
            return weight * divergence + (1 - weight) * loss
        # Hinton et al., "Distilling the Knowledge in a Neural Network", 2015: T^2 keeps the gradients' size.
        divergence = temperature**2 * F.kl_div(
            F.log_softmax(logits / temperature, dim=1),
            F.log_softmax(taught / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return weight * divergence + (1 - weight) * loss

    def _each_class(self, logits: Tensor, target: Tensor) -> Tensor:
        return detection_loss(logits, target, self._recipe.detect.loss)

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        smoothing = self._recipe.optim.label_smoothing
        if not self._recipe.data.logit_adjustment:
            return F.cross_entropy(logits, target, label_smoothing=smoothing)
        # Smoothing is of what the network will say. Of the adjusted logits it would raise rare and absent classes above
        # the right one, by as much as the prior lowers them.
        uniform = -F.log_softmax(logits, dim=1).mean()
        return (1 - smoothing) * F.cross_entropy(logits + self._prior, target) + smoothing * uniform
