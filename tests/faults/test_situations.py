"""The mechanism itself: every script of ``shared/faults`` that needs nothing but Python and NumPy makes its inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["id_switch", "openpose_people_change_places"])
def test_a_situation_is_made(name: str, situation: Callable[[str], Path]) -> None:
    folder = situation(name)
    made = [path for path in folder.rglob("*") if path.is_file() and path.suffix in (".jsonl", ".json")]
    assert len(made) >= 4
    assert situation(name) == folder
