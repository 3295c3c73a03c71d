"""A data set's clips as the windows that a network is fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmn_edge.drift.windows import window_of
from mmn_edge.evaluation import testset
from mmn_edge.model.architecture import Architecture
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["clip_windows"]


def clip_windows(
    data: Path,
    split: str | None,
    limit: int,
    arch: Architecture,
    layout: layouts.Layout | None,
    note: Callable[[str], None],
) -> FloatArray:
    """Up to ``limit`` whole clips, spread over the data set, as windows ``(N, T, V, C)`` of the network's joints."""
    found = testset.read(data, split)
    for finding in found.findings:
        note(finding)
    spread = np.unique(np.linspace(0, len(found.clips) - 1, limit).astype(int))
    found = replace(found, clips=tuple(found.clips[index] for index in spread))
    bones = layout.bones if layout else ()
    windows = [window_of(clip, arch.num_frames) for clip in testset.fitted_keypoints(found, arch, layout, bones, note)]
    return np.stack(windows).astype(np.float32)
