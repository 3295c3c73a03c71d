"""Situations from ``shared/faults``: what their scripts make, so that a test can hold the program to what is expected.

A test module is named after its situation. It asks for ``situation`` and calls it with the folder's name; where the
reference inputs are not beside the checkout the test is skipped, and says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmn_edge.cli import cli

Once = Callable[[str, Callable[[Path], object]], Path]
Situation = Callable[[str], Path]


@pytest.fixture(scope="session")
def situation(shared: Path, once: Once) -> Situation:
    """Gives the folder of a situation, its inputs made; tests share it, so they write elsewhere.

    ``make.py`` (or ``make.sh``, which needs ffmpeg) runs in a copy of ``shared/faults``; the large recordings that
    ``base.py`` reads stay where they are.
    """
    faults = shared / "faults"
    if not faults.is_dir():
        pytest.skip(f"the situations {faults} are not here")

    def copied(name: str) -> Path:
        if not (faults / name).is_dir():
            pytest.skip(f"the situation {faults / name} is not here")
        if (faults / name / "make.sh").is_file() and shutil.which("ffmpeg") is None:
            pytest.skip(f"{name} needs ffmpeg, which is not installed")
        return once(f"fault_{name}", lambda root: _make(faults, name, shared, root)) / name

    return copied


def _make(faults: Path, name: str, shared: Path, root: Path) -> None:
    shutil.copytree(faults / "_lib", root / "_lib")
    shutil.copy(faults / "base.py", root)
    shutil.copytree(faults / name, root / name)
    script = [sys.executable, "make.py"] if (root / name / "make.py").is_file() else ["sh", "make.sh"]
    environment = {**os.environ, "CLEAN": str(faults), "SHARED": str(shared)}
    made = subprocess.run(script, cwd=root / name, env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(root)  # the next one that asks must not take it for finished
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="session")
def official(shared: Path) -> Path:
    """A checkpoint in the authors' format for MA-52; its weights are made up, so only differences mean anything."""
    return shared / "fixtures" / "ma52_official.pt"


@pytest.fixture
def mmn_edge() -> Callable[..., Result]:
    """Runs a command: ``mmn_edge("data", "check", path)``."""

    def run(*arguments: object, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin)

    return run
