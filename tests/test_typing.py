from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("mmn_edge", "train", "convert", "runtime", ".typing")

PLANTED = {
    # A stage that calls the core wrongly, and the command line that calls a stage wrongly.
    Path("convert/planted.py"): (
        "from mmn_edge.skeleton.preprocess import uniform_indices\n\nuniform_indices('64', 64)\n"
    ),
    Path("mmn_edge/cli/planted.py"): "from mmn_edge.runtime.sources.grammar import open_source\n\nopen_source(3)\n",
}


def test_the_type_checker_sees_across_the_mapped_packages(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    cache = tmp_path / "cache"
    if (ROOT / ".mypy_cache").is_dir():  # what is known of other packages saves a minute
        shutil.copytree(ROOT / ".mypy_cache", cache)
    for path, text in PLANTED.items():
        (tmp_path / path).write_text(text, encoding="utf-8")

    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--no-pretty", "--no-color-output"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    errors = [line for line in process.stdout.splitlines() if ": error: " in line]
    assert process.returncode == 1, process.stdout + process.stderr
    assert any("convert/planted.py:3: " in line and 'Argument 1 to "uniform_indices"' in line for line in errors), (
        process.stdout
    )
    assert any("cli/planted.py:3: " in line and 'Argument 1 to "open_source"' in line for line in errors), (
        process.stdout
    )
