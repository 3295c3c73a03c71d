"""The unit of a skeleton stream: one frame with the persons seen in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["FloatArray", "Frame", "Person"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Person:
    """One tracked person in one frame.

    Attributes:
        id: Stays the same for the same person from frame to frame.
        keypoints: Float32 ``(V, C)`` in the units of the stream (pixels, metres); NaN for a joint not seen.
        scores: Float32 ``(V,)``, confidence in 0..1; 0 for a joint not seen.
    """

    id: int
    keypoints: FloatArray
    scores: FloatArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment of a skeleton stream.

    Attributes:
        time: Seconds; never runs backwards within a stream.
        layout: The name of the skeleton layout, see :mod:`mmn_edge.skeleton.layouts`.
        persons: The persons seen, possibly none.
        runs: In the recording of a live run, the calls of the model after this frame and before the next: each the ids
            of the persons whose windows were run together. Windows that were due and are in none were skipped. None
            where nothing is said, and every window that is due is run.
        tracked: Whether whoever sent it follows persons: otherwise their ids are no more than an order.
    """

    time: float
    layout: str
    persons: tuple[Person, ...]
    runs: tuple[tuple[int, ...], ...] | None = None
    tracked: bool = True
