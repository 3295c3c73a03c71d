"""The augmentations that the published training applies to a window, each with its own chance.

The published code also rotates, scales, shifts, jitters and reverses the clip, but after the window was taken, so
these have no effect there and are left out here.
"""

from __future__ import annotations

import numpy as np

from mmn_edge.skeleton import FloatArray

__all__ = ["erase"]


def erase(window: FloatArray, probability: float, rng: np.random.Generator) -> FloatArray:
    """Zero one coordinate axis, or a run of 4 to 16 frames, of features ``(C, T, V, M)``, each by chance."""
    if rng.random() < probability:
        window = window.copy()
        window[rng.integers(window.shape[0])] = 0.0
    if rng.random() < probability:
        window = window.copy()
        length = int(rng.integers(4, 17))
        start = int(rng.integers(0, max(window.shape[1] - length, 0) + 1))
        window[:, start : start + length] = 0.0
    return window
