"""A clip in which AlphaPose saw nobody is left out and named; the others are imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from mmn_edge.datasets.reading import read_clips


def test_the_others_are_imported(
    situation: Callable[[str], Path], mmn_edge: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "a.pkl"
    folder = situation("alphapose_empty_results") / "in" / "a"
    result = mmn_edge("data", "import", folder, "--to", "ma52", "-o", path, "--split", "train=1")
    assert result.exit_code == 0, result.output
    assert [clip.name for clip in read_clips(path, "train").clips] == ["a/waving/c1.json"]
    assert "c2.json holds nobody" in result.output
    assert "left out" in result.output
