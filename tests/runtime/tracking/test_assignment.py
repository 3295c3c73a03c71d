from __future__ import annotations

import itertools

import numpy as np
import pytest

from mmn_edge.runtime.tracking.assignment import assign


@pytest.mark.parametrize("seed", range(200))
def test_no_other_pairs_cost_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = (int(n) for n in rng.integers(1, 5, 2))
    cost = rng.uniform(0, 2, (rows, columns))
    cost[rng.random((rows, columns)) < 0.2] = np.inf
    pairs = assign(cost, 1.0)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(cost[pair] < 1.0 for pair in pairs)
    total = sum(cost[pair] for pair in pairs) + rows - len(pairs)
    least = min(
        sum(
            cost[row, column] if column < columns and cost[row, column] < 1.0 else 1.0 for row, column in enumerate(one)
        )
        for one in itertools.permutations(range(columns + rows), rows)
    )
    assert total == pytest.approx(least)


def test_nobody_and_many() -> None:
    assert assign(np.zeros((0, 3)), 1.0) == assign(np.zeros((3, 0)), 1.0) == []
    order = np.random.default_rng(0).permutation(64)
    cost = np.ones((64, 64))
    cost[np.arange(64), order] = 0.1
    assert assign(cost, 2.0) == list(enumerate(order.tolist()))
