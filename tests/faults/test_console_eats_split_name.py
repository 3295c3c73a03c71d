"""Names with colons and brackets in a path, a split or a class: text, and never an emoji or a style."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result


def test_the_name_of_a_split_is_printed_as_it_is(
    situation: Callable[[str], Path], official: Path, mmn_edge: Callable[..., Result]
) -> None:
    folder = situation("console_eats_split_name")
    data = folder / "in" / "set.pkl"
    result = mmn_edge("evaluate", official, "--preset", "ma52", "--data", data, "--split", "train")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].startswith("set.pkl:train: 16 clips, ")
