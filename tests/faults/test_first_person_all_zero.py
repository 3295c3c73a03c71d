"""A clip that shows nobody, and axes in another order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def inputs(situation: Callable[[str], Path]) -> Path:
    return situation("first_person_all_zero") / "in"


def commands(path: Path, official: Path, folder: Path) -> dict[str, list[object]]:
    train: list[object] = ["train", path, "--recipe", "custom", "--epochs", 1, "--set", "optim.batch_size=8"]
    small: list[object] = [
        "--set",
        "data.workers=0",
        "--set",
        "model.width=16",
        "--set",
        "model.depth=1",
        "--threads",
        1,
    ]
    return {
        "evaluate": ["evaluate", official, "--preset", "ma52", "--data", path],
        "train": [*train, *small, "-o", folder / "run"],
        "quantize": ["quantize", official, "--preset", "ma52", "--data", path, "-o", folder / "q.pt"],
        "import": ["data", "import", path, "--to", "ma52", "-o", folder / "i.pkl"],
    }


@pytest.mark.parametrize("command", ["evaluate", "train", "quantize", "import"])
def test_nobody_to_see_is_said_or_the_second_person_is_taken(
    command: str, inputs: Path, official: Path, mmn_edge: Run, tmp_path: Path
) -> None:
    found = mmn_edge(*commands(inputs / "first_empty.pkl", official, tmp_path)[command])
    assert "shows nobody" in str(found.exception) + found.output


@pytest.mark.parametrize("command", ["evaluate", "train", "quantize", "import"])
def test_axes_in_another_order_are_said(
    command: str, inputs: Path, official: Path, mmn_edge: Run, tmp_path: Path
) -> None:
    found = mmn_edge(*commands(inputs / "axes_swapped.pkl", official, tmp_path)[command])
    assert "probably with axes in another order" in found.output
