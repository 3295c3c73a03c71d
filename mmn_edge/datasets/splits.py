"""Splits of a data set drawn class by class: every class has the same share in each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmn_edge.errors import UsageError

__all__ = ["DEFAULT", "draw", "parse"]

DEFAULT = "train=0.85,val=0.15"


def parse(text: str) -> dict[str, float]:
    """Parse ``"train=0.8,val=0.2"``.

    Raises:
        UsageError: It has another form, a split twice, a share that is not above 0, or more than 1 in all.
    """
    plan: dict[str, float] = {}
    for part in text.split(","):
        name, sign, share = part.strip().partition("=")
        try:
            value = float(share)
        except ValueError:
            value = 0.0
        if not name or not sign or name in plan or not 0 < value <= 1:
            raise UsageError(f"splits are given as {DEFAULT}, names with shares above 0, not {text!r}")
        plan[name] = value
    if sum(plan.values()) > 1 + 1e-6:
        raise UsageError(f"the shares of {text!r} are more than 1 in all: no clip can be in two of these splits")
    return plan


def draw(
    labels: Sequence[int], plan: Mapping[str, float], *, seed: int = 0, blocks: bool = False
) -> dict[str, list[int]]:
    """Share out clips, each class by itself.

    Args:
        labels: The class of every clip.
        plan: Shares by split; what is left of 1 is in no split.
        seed: Of the random choice.
        blocks: Keep the order: the first clips of a class for the first split and so on. Clips recorded one after the
            other resemble each other; a random choice has such neighbours on both sides.

    Returns:
        For every split the indices of its clips, in order.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[int]] = {split: [] for split in plan}
    shares = np.array([*plan.values(), max(1 - sum(plan.values()), 0)])
    for label in sorted(set(labels)):
        members = np.flatnonzero(np.asarray(labels) == label)
        if not blocks:
            members = rng.permutation(members)
        ends = np.cumsum(_shared_out(len(members), shares))
        for split, part in zip(plan, np.split(members, ends[:-1]), strict=False):
            drawn[split] += part.tolist()
    return {split: sorted(indices) for split, indices in drawn.items()}


def _shared_out(count: int, shares: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[int]:
    """Whole numbers that add up to ``count``, rounded by the largest remainders."""
    exact = count * shares
    whole = np.floor(exact + 1e-9).astype(int)
    rest = np.argsort(whole - exact, kind="stable")[: count - int(whole.sum())]
    whole[rest] += 1
    return [int(number) for number in whole]
