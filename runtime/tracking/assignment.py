"""Pairs of least total cost: the Hungarian method, by shortest augmenting paths, in NumPy.

After R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
problems", Computing 38 (1987), without its initialisation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["assign"]

Array = npt.NDArray[np.float64]


def assign(cost: npt.ArrayLike, limit: float) -> list[tuple[int, int]]:
    """Which row goes with which column, so that the total cost is least.

    Args:
        cost: ``(R, C)``; infinite where the two cannot be a pair.
        limit: A row and a column may be left without a partner at this cost, so no pair costs more.

    Returns:
        Pairs of a row and a column, by row.
    """
    costs = np.asarray(cost, dtype=np.float64)
    rows, columns = costs.shape
    if not rows or not columns:
        return []
    best = costs.argmin(axis=1).tolist()
    least = costs.min(axis=1).tolist()
    wanted = [(row, best[row]) for row in range(rows) if least[row] < limit]
    if len({column for _, column in wanted}) == len(wanted):
        return wanted  # everybody has what is best for it
    usable = np.where(costs < limit, costs, 2 * limit)
    # Column C + r stands for row r being left out.
    alone = np.where(np.eye(rows, dtype=bool), limit, np.inf)
    partner = _solve(np.hstack([usable, alone]))
    return [(row, int(column)) for row, column in enumerate(partner) if column < columns and costs[row, column] < limit]


def _solve(costs: Array) -> npt.NDArray[np.int64]:
    """The column of each row; there are at least as many columns as rows."""
    rows, columns = costs.shape
    rise, fall = np.zeros(rows), np.zeros(columns)
    holder, held = np.full(columns, -1), np.full(rows, -1)
    for row in range(rows):
        shortest = np.full(columns, np.inf)
        before = np.full(columns, -1)
        done = np.zeros(columns, dtype=bool)
        seen: list[tuple[int, float]] = [(row, 0.0)]
        current, length = row, 0.0
        while True:
            through = length + costs[current] - rise[current] - fall
            better = ~done & (through < shortest)
            shortest[better] = through[better]
            before[better] = current
            column = int(np.where(done, np.inf, shortest).argmin())
            length = float(shortest[column])
            done[column] = True
            if holder[column] < 0:
                break
            current = int(holder[column])
            seen.append((current, length))
        for one, at in seen:
            rise[one] += length - at
        fall[done] += shortest[done] - length
        while True:  # back along the path, each row gives its column to the one before
            one = int(before[column])
            holder[column] = one
            column, held[one] = held[one], column
            if one == row:
                break
    return held
