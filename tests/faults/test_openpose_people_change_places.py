"""OpenPose's people in another order from frame to frame: its ids are followed, or else the nearest person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from mmn_edge.datasets.reading import read_clips


@pytest.fixture
def imported(
    situation: Callable[[str], Path], mmn_edge: Callable[..., Result], tmp_path: Path
) -> Callable[[str], tuple[Path, str]]:
    def run(name: str) -> tuple[Path, str]:
        path = tmp_path / f"{name}.pkl"
        folder = situation("openpose_people_change_places") / "in" / name
        result = mmn_edge("data", "import", folder, "--to", "ma52", "-o", path)
        assert result.exit_code == 0, result.output
        return path, result.output

    return run


@pytest.mark.parametrize(("name", "said"), [("tracked", False), ("untracked", True)])
def test_the_clip_is_that_of_the_person_alone(
    name: str, said: bool, imported: Callable[[str], tuple[Path, str]], mmn_edge: Callable[..., Result]
) -> None:
    alone, _ = imported("one")
    path, output = imported(name)
    (expected,), (clip,) = read_clips(alone, "all").clips, read_clips(path, "all").clips
    np.testing.assert_array_equal(clip.keypoints, expected.keypoints)
    assert ("several persons in 40 of 40 frames" in output) == said
    assert "jumps" not in mmn_edge("data", "check", path).output
