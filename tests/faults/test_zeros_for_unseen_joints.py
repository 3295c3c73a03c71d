"""What estimators write for joints that they did not find is no position: it gives what null gives, or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mmn_edge.errors import DataError

Run = Callable[..., Result]


@pytest.fixture
def predicted(situation: Callable[[str], Path], mmn_edge: Run, small_bundle: Path) -> Callable[[str], list[Any]]:
    def run(name: str) -> list[Any]:
        source = situation("zeros_for_unseen_joints") / f"{name}.jsonl"
        result = mmn_edge("run", "-m", small_bundle, source, "--emit", "predictions", "--json")
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        return [(line["time"], line["label"], line["probability"], line["seen"]) for line in lines]

    return run


@pytest.mark.parametrize("name", ["zero_score_0", "zero_score_0.37", "zero_without_scores", "minus_one", "x_y_conf"])
def test_each_way_gives_what_null_gives(name: str, predicted: Callable[[str], list[Any]]) -> None:
    expected = predicted("null")
    assert len(expected) > 100
    assert all(0.6 < seen < 0.9 for *_, seen in expected)  # legs always, a hand at times
    assert predicted(name) == expected


def test_scores_in_per_cent_are_refused(situation: Callable[[str], Path], mmn_edge: Run, small_bundle: Path) -> None:
    folder = situation("zeros_for_unseen_joints")
    result = mmn_edge("run", "-m", small_bundle, folder / "percent_scores.jsonl")
    assert isinstance(result.exception, DataError)
    assert "line 1 has scores up to 90, and a score is a confidence from 0 to 1: divide per cent by 100" in str(
        result.exception
    )
