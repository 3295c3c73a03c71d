"""What the numbers of a clip tell that no format says: which way is up, and joints that share one place."""

from __future__ import annotations

import math

import numpy as np

from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["crowded_place", "turned"]

CROWD = 3
"""Joints of a frame that must share one exact place, on average: still clips and mappings make pairs of them."""

MIN_TRUNK = 4
"""Joints of head, trunk and legs that must have been seen."""

ALIKE = 0.8
"""Correlation of a clip's mean pose with the layout's canonical one from which on its direction is believed."""

_TRUNK = frozenset(
    ["head", "face", "nose", "neck", "shoulder_centre", "spine", "spine_mid", "belly", "hip", "hip_centre", "pelvis"]
    + [f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "hip", "knee", "ankle")]
)
"""Arms go anywhere, and canonical poses enlarge faces and hands."""

FRAMES = 8
"""Of a clip in which a shared place is looked for first."""

_X = {"right": 1.0, "left": -1.0}
_Y = {"down": 1.0, "up": -1.0}


def turned(points: FloatArray, layout: str | None) -> float | None:
    """By how many degrees the body is turned in the picture: 0 upright, 180 on its head, also where y points up.

    The best rotation of the layout's canonical pose onto the mean pose, mirrored or not (Kabsch, 1976, in the plane).

    Args:
        points: ``(T, V, C)``, NaN where a joint was not seen.
        layout: Its layout; None where nobody knows it.

    Returns:
        From 0 to 180; None where the layout is not known, too little was seen, or the pose is like no canonical one.
    """
    if layout is None or (known := layouts.get(layout)).num_joints != points.shape[1]:
        return None
    axes = known.axes_of(points.shape[2])
    across = next((index for index, axis in enumerate(axes) if axis in _X), None)
    along = next((index for index, axis in enumerate(axes) if axis in _Y), None)
    seen = np.isfinite(points).all(axis=-1)
    often = seen.any(axis=0) & np.array([joint in _TRUNK for joint in known.joints])
    if across is None or along is None or often.sum() < MIN_TRUNK:
        return None
    mean = np.where(seen[..., None], points, 0).sum(axis=0, dtype=np.float64)[often] / seen.sum(axis=0)[often, None]
    body = mean[:, across] * _X[axes[across]] + 1j * mean[:, along] * _Y[axes[along]]
    pose = np.array(known.pose)[often] @ (1, 1j)
    body, pose = body - body.mean(), pose - pose.mean()
    size = float(np.linalg.norm(body) * np.linalg.norm(pose))
    if not size > 0:
        return None
    best = max((np.vdot(pose, body), np.vdot(-pose.conj(), body)), key=abs)
    return abs(math.degrees(math.atan2(best.imag, best.real))) if abs(best) >= ALIKE * size else None


def crowded_place(points: FloatArray) -> tuple[int, tuple[float, ...]] | None:
    """The place at which more joints lie exactly than bodies have them, and how often; None where there is none.

    Args:
        points: ``(T, V, C)``, NaN where a joint was not seen.
    """
    some = points[np.unique(np.linspace(0, len(points) - 1, FRAMES).round().astype(int))]
    seen = some[np.isfinite(some).all(axis=-1)]
    if len(seen) < CROWD:
        return None
    rows = np.ascontiguousarray(seen).view(np.dtype((np.void, seen.itemsize * seen.shape[1]))).ravel()
    _, first, counts = np.unique(rows, return_index=True, return_counts=True)
    most = int(counts.argmax())
    if counts[most] < CROWD * len(some):
        return None
    place = seen[first[most]]
    return int((points == place).all(axis=-1).sum()), tuple(place.tolist())
