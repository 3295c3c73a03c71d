"""A training recipe: every number that shapes a run, in one place, stored with the checkpoint."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from mmn_edge.errors import UsageError

__all__ = ["RECIPES", "Recipe", "get", "learning_rate"]


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's (ACM MM 2025, section 4.2, and the published settings).

    Attributes:
        width: Channels of the network.
        depth: Blocks at each of its four scales.
        epochs: Passes over the data.
        batch_size: Clips a step; the last incomplete batch is dropped.
        lr: Peak learning rate of AdamW.
        min_lr: Where the cosine ends.
        warmup_lr: Where the linear warm-up begins.
        warmup_epochs: Length of the warm-up; the cosine's clock is not shifted by it.
        weight_decay: Of AdamW, on all parameters.
        label_smoothing: Of the cross-entropy.
        drop_path: Stochastic depth of the last block.
        head_drop: Dropout before the head.
        sampling: How a training clip becomes a window: ``"random"`` frames, as published, or ``"uniform"``.
        erase: Probability of each augmentation of :mod:`mmn_edge.train.augmentation`.
        seed: Of everything random.
    """

    width: int = 96
    depth: int = 3
    epochs: int = 120
    batch_size: int = 64
    lr: float = 1e-3
    min_lr: float = 1e-5
    warmup_lr: float = 1e-7
    warmup_epochs: float = 20
    weight_decay: float = 0.1
    label_smoothing: float = 0.1
    drop_path: float = 0.3
    head_drop: float = 0.1
    sampling: str = "random"
    erase: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise UsageError(
                f"a run needs at least 1 epoch and a batch of 2 (BatchNorm), not {self.epochs} and {self.batch_size}"
            )
        if self.sampling not in ("random", "uniform"):
            raise UsageError(f"unknown sampling {self.sampling!r}: choose random or uniform")
        if not self.lr > 0:
            raise UsageError(f"the learning rate must be positive, not {self.lr}")

    def with_values(self, **values: Any) -> Recipe:
        """A copy with those values changed that are not None."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


RECIPES: dict[str, Recipe] = {
    "ma52": Recipe(erase=0.2),
    "imigue": Recipe(),
    # Small data: a longer look at each clip matters more than strong regularisation.
    "nw-ucla": Recipe(batch_size=32, warmup_epochs=5, drop_path=0.1),
    "jhmdb": Recipe(batch_size=32, warmup_epochs=5, drop_path=0.1),
    # A small network for a quick look. New clips every epoch, so hardly anything to overfit.
    "synthetic": Recipe(
        width=32,
        depth=1,
        epochs=28,
        batch_size=16,
        lr=3e-3,
        warmup_epochs=1,
        weight_decay=0.02,
        drop_path=0.0,
        head_drop=0.0,
        sampling="uniform",
    ),
}


def get(preset: str) -> Recipe:
    """The recipe of a preset; the paper's for presets without one of their own."""
    return RECIPES.get(preset, Recipe())


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate of optimizer step ``step``, counted from 0."""
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * step / warmup
    total = recipe.epochs * steps_per_epoch
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0)))
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * cosine
