import numpy as np

from mmn_edge.train.augmentation import erase


def test_erase_zeroes_an_axis_or_a_run_of_frames() -> None:
    window = np.ones((2, 64, 44, 1), np.float32)
    axes = runs = 0
    for seed in range(300):
        out = erase(window, 0.5, np.random.default_rng(seed))
        dead_axes = [c for c in range(2) if not out[c].any()]
        assert len(dead_axes) <= 1
        axes += len(dead_axes)
        alive = out[[c for c in range(2) if c not in dead_axes]]
        dead = np.flatnonzero(~alive.any(axis=(0, 2, 3)))
        if len(dead):
            runs += 1
            assert 4 <= len(dead) <= 16
            assert (np.diff(dead) == 1).all()
    assert 100 < axes < 200
    assert 100 < runs < 200
    assert window.all(), "the input must not change"


def test_nothing_at_probability_zero() -> None:
    window = np.ones((2, 64, 44, 1), np.float32)
    assert erase(window, 0.0, np.random.default_rng(0)) is window
