"""A run goes on with the data that it began with, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result


def test_a_run_is_not_resumed_on_other_data(
    situation: Callable[[str], Path], mmn_edge: Callable[..., Result], tmp_path: Path
) -> None:
    inputs = situation("resume_on_other_data") / "in"
    small = [
        value
        for change in ("model.width=16", "model.depth=1", "data.workers=0", "optim.batch_size=8")
        for value in ("--set", change)
    ]
    options = ["--recipe", "custom", "--epochs", 1, "--threads", 1, *small, "-o", tmp_path / "run"]
    assert mmn_edge("train", inputs / "a.pkl", *options).exit_code == 0
    found = mmn_edge("train", inputs / "b.pkl", *options, "--resume")
    assert "was trained on another data set" in str(found.exception)
    assert mmn_edge("train", inputs / "a.pkl", *options, "--resume").exit_code == 0
