"""Whether people stand on their heads: then the axes are others than the layout's, or the camera hangs upside down."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.axes import IMAGE, turned
from mmn_edge.skeleton.frame import Frame

__all__ = ["UprightWatch"]

ENOUGH = 30
"""Skeletons from which on it is judged; people who lie say nothing."""

MOST = 0.9
"""Share of them that must stand on their heads."""

_TOP = ("head", "nose", "neck_nose", "face")
_LOW = ("pelvis", "spine_base", "hip_centre", "hip", "belly", "left_hip")


class UprightWatch:
    """Looks at the first skeletons of a stream."""

    def __init__(self) -> None:
        self._upright = 0
        self._upside_down = 0

    def take(self, frame: Frame) -> bool:
        """Look at the next frame; True once, when people stand on their heads."""
        seen = self._upright + self._upside_down
        ends = _ends(frame.layout)
        if seen >= ENOUGH or ends is None:
            return False
        for person in frame.persons:
            have = layouts.get(frame.layout).axes_of(person.keypoints.shape[1])
            top, low = turned(person.keypoints[list(ends)], have, IMAGE)
            across, down = low - top
            if np.isfinite(down) and abs(down) > abs(across):
                self._upright += bool(down > 0)
                self._upside_down += bool(down < 0)
        seen = self._upright + self._upside_down
        return seen >= ENOUGH and self._upside_down > MOST * seen


@lru_cache
def _ends(layout: str) -> tuple[int, int] | None:
    """A joint of the head and one of the hips; None where the layout lacks one."""
    joints = layouts.get(layout).joints
    top = next((joints.index(name) for name in _TOP if name in joints), None)
    low = next((joints.index(name) for name in _LOW if name in joints), None)
    return None if top is None or low is None else (top, low)
