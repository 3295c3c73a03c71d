"""Splits of a data set: every class has the same share in each of them, as far as whole recordings or persons allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmn_edge.errors import UsageError

__all__ = ["DEFAULT", "GROUPS", "draw", "draw_groups", "folds", "parse"]

GROUPS = ("recording", "person", "session")
"""What clips may have in common that must not be on both sides of a split."""

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


def draw_groups(
    labels: Sequence[int], groups: Sequence[str], plan: Mapping[str, float], *, seed: int = 0
) -> dict[str, list[int]]:
    """Share out whole groups of clips, such as all clips of a person, so that classes come near their shares.

    The largest group first, each is given to the split that it brings nearest to its share of every class; a random
    order decides between equals.

    Args:
        labels: The class of every clip.
        groups: What each clip belongs to.
        plan: Shares by split; what is left of 1 is in no split.
        seed: Of the random choice.

    Returns:
        For every split the indices of its clips, in order.

    Raises:
        UsageError: There are fewer groups than splits.
    """
    names = sorted(set(groups))
    if len(names) < len(plan):
        raise UsageError(
            f"{len(plan)} splits cannot be drawn of {len(names)} ({', '.join(names[:10])}): one for each at least"
        )
    rest = 1 - sum(plan.values())
    shares = np.array([*plan.values(), *([rest] if rest > 1e-6 else [])])
    classes = {label: index for index, label in enumerate(sorted(set(labels)))}
    counts = {name: np.zeros(len(classes)) for name in names}
    for label, group in zip(labels, groups, strict=True):
        counts[group][classes[label]] += 1
    total = sum(counts.values())
    wanted = shares[:, None] * total
    given = np.zeros_like(wanted)
    order = np.random.default_rng(seed).permutation(len(names))
    taken: dict[str, int] = {}
    for name in sorted((names[index] for index in order), key=lambda name: -counts[name].sum()):
        gap = given - wanted
        loss = (((gap + counts[name]) ** 2 - gap**2) / total).sum(axis=1)  # by how much each split would be off
        empty = [s for s in range(len(plan)) if not given[s].any()]
        left = len(names) - len(taken)
        # Where as many splits are empty as groups are left, each gets one.
        allowed = empty if left <= len(empty) else range(len(shares))
        chosen = min(allowed, key=lambda s: loss[s])
        taken[name] = chosen
        given[chosen] += counts[name]
    return {
        split: [index for index, group in enumerate(groups) if taken[group] == number]
        for number, split in enumerate(plan)
    }


def folds(number: int) -> dict[str, float]:
    """A plan of equal shares, ``fold0`` and so on.

    Raises:
        UsageError: Fewer than two.
    """
    if number < 2:
        raise UsageError(
            f"{number} folds make no sense: at least 2 are needed, to train on one and measure on the other"
        )
    return {f"fold{index}": 1 / number for index in range(number)}


def _shared_out(count: int, shares: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[int]:
    """Whole numbers that add up to ``count``, rounded by the largest remainders."""
    exact = count * shares
    whole = np.floor(exact + 1e-9).astype(int)
    rest = np.argsort(whole - exact, kind="stable")[: count - int(whole.sum())]
    whole[rest] += 1
    return [int(number) for number in whole]
