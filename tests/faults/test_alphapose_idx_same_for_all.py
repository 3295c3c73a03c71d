"""An AlphaPose id that two persons of one image share is no id: one person is followed all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from mmn_edge.datasets.reading import read_clips


@pytest.mark.parametrize("name", ["noidx", "idx0", "idxlist"])
def test_one_person_is_followed(
    name: str, situation: Callable[[str], Path], mmn_edge: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "i.pkl"
    result = mmn_edge(
        "data", "import", situation("alphapose_idx_same_for_all") / "in" / name, "--to", "ma52", "-o", path
    )
    assert result.exit_code == 0, result.output
    assert "several persons in 40 of 40 frames and no ids that keep to one" in result.output
    (clip,) = read_clips(path, "all").clips
    assert np.nanmax(clip.keypoints[..., 0]) < 1000, "the surest stands on the left"
    assert np.isfinite(clip.keypoints).all(axis=-1).any(axis=-1).all()
    assert "jumps" not in result.output
