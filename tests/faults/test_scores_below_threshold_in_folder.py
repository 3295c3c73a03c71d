"""A joint with a score under 0.2 was not seen, wherever a clip goes: in a folder, after data import, and live."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


def probabilities(report: Path) -> list[list[str]]:
    """The rows of ``predictions.csv`` by clip, without the clips' names."""
    with (report / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return [row[1:] for row in sorted(rows[1:])]


def test_a_guess_is_no_joint_however_the_clip_is_read(
    situation: Callable[[str], Path], mmn_edge: Run, small_bundle: Path, tmp_path: Path
) -> None:
    clips = situation("scores_below_threshold_in_folder") / "in"
    imported, folder, pickle = tmp_path / "i.pkl", tmp_path / "folder", tmp_path / "pickle"
    assert mmn_edge("evaluate", small_bundle, "--data", clips, "-o", folder).exit_code == 0
    assert mmn_edge("data", "import", clips, "--to", "ma52", "-o", imported).exit_code == 0
    assert mmn_edge("evaluate", small_bundle, "--data", imported, "--split", "all", "-o", pickle).exit_code == 0
    low, null = probabilities(folder)
    assert low == null
    assert probabilities(pickle) == [low, null]


def test_a_guess_is_no_joint_live(situation: Callable[[str], Path], mmn_edge: Run, small_bundle: Path) -> None:
    clips = situation("scores_below_threshold_in_folder") / "in"
    told = []
    for name in ("low", "null"):
        result = mmn_edge("run", "-m", small_bundle, clips / f"{name}.jsonl", "--emit", "predictions", "--json")
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        told.append([(line["time"], line["label"], line["probability"], line["seen"]) for line in lines])
    assert told[0]
    assert told[0] == told[1]
    assert told[0][0][3] == pytest.approx(34 / 44, abs=0.001)
