"""Metres around the hips and pixels are no fractions of the image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


@pytest.mark.parametrize(
    ("name", "words"), [("ok", ""), ("world", "world landmarks"), ("pixels", "no fractions of the image")]
)
def test_other_units_than_fractions_are_refused(
    name: str, words: str, situation: Callable[[str], Path], mmn_edge: Callable[..., Result], tmp_path: Path
) -> None:
    path = situation("mediapipe_other_units") / "in" / f"{name}.npz"
    found = mmn_edge("data", "import", path, "--to", "ma52", "-o", tmp_path / "out.pkl", "--split", "train=1")
    assert words in str(found.exception)
    assert (found.exit_code == 0) == (name == "ok") == (tmp_path / "out.pkl").exists()
    assert "widths of the body" not in found.output
