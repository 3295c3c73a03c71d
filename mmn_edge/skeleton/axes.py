"""Where the axes of coordinates point, and turning coordinates from some axes into others.

Directions are those of somebody who looks through the camera: ``right`` and ``left``, ``down`` and ``up``, ``away``
from the camera and ``toward`` it. Images have ``("right", "down")``; so has whatever comes with two numbers a joint.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mmn_edge.errors import DataError
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["IMAGE", "Axes", "declared", "turned"]

Axes = tuple[str, ...]
"""The direction in which each coordinate grows."""

IMAGE: Axes = ("right", "down")

_DIRECTIONS = {"right": (0, 1), "left": (0, -1), "down": (1, 1), "up": (1, -1), "away": (2, 1), "toward": (2, -1)}


def declared(values: object, where: str) -> Axes:
    """What a file or a stream declares as its ``axes``.

    Raises:
        DataError: These are not two or three directions that differ in kind.
    """
    if isinstance(values, list) and len(values) in (2, 3) and all(isinstance(value, str) for value in values):
        kinds = {_DIRECTIONS[value][0] for value in values if value in _DIRECTIONS}
        if len(kinds) == len(values):
            return tuple(values)
    raise DataError(
        f'{where}: "axes" names where each coordinate grows to as seen from the camera, such as ["right", "up", '
        '"toward"]: one each of right or left, down or up, away or toward'
    )


def turned(keypoints: FloatArray, have: Axes, want: Axes) -> FloatArray:
    """Coordinates ``(..., C)`` along other axes.

    Args:
        keypoints: ``(..., C)``, along ``have``.
        have: C directions.
        want: At most C directions; what they leave out, such as the depth, is dropped.

    Returns:
        ``(..., len(want))``; the same array where nothing is to be done.

    Raises:
        ValueError: ``want`` has a direction that ``have`` lacks.
    """
    if have == want:
        return keypoints
    columns, signs = _turn(have, want)
    return keypoints[..., columns] * signs


@lru_cache
def _turn(have: Axes, want: Axes) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Which coordinate becomes which, and with which sign."""
    kinds = [_DIRECTIONS[direction][0] for direction in have]
    columns = [kinds.index(_DIRECTIONS[direction][0]) for direction in want]
    signs = [_DIRECTIONS[have[i]][1] * _DIRECTIONS[d][1] for i, d in zip(columns, want, strict=True)]
    return np.array(columns, dtype=np.intp), np.array(signs, dtype=np.float32)
