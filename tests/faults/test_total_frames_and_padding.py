"""``total_frames`` is a clip's length, as in PYSKL: what lies beyond it is padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def inputs(situation: Callable[[str], Path]) -> Path:
    return situation("total_frames_and_padding") / "in"


def test_a_padded_set_gives_the_predictions_of_the_trimmed_one(
    inputs: Path, official: Path, mmn_edge: Run, tmp_path: Path
) -> None:
    rows = []
    for name in ("trimmed", "padded"):
        found = mmn_edge(
            "evaluate", official, "--preset", "ma52", "--data", inputs / f"{name}.pkl", "-o", tmp_path / name
        )
        assert found.exit_code == 0, found.output
        rows.append((tmp_path / name / "predictions.csv").read_text())
        assert ("padding and not used" in found.output) == (name == "padded")
    assert rows[0] == rows[1]


def test_check_says_it_once_and_import_says_it_too(inputs: Path, mmn_edge: Run, tmp_path: Path) -> None:
    found = mmn_edge("data", "check", inputs / "padded.pkl")
    assert found.output.count("exactly the origin") == 1
    assert '24 clips with more frames than "total_frames" says' in found.output
    found = mmn_edge("data", "import", inputs / "padded.pkl", "--to", "ma52", "-o", tmp_path / "i.pkl")
    assert '24 clips with more frames than "total_frames" says' in found.output
    assert "warnings: none" in mmn_edge("data", "check", tmp_path / "i.pkl").output
