"""Proof 4: the runner's logic, in a process whose libcuda is a stub (``tests/runtime/stub_cuda``). No proof of CUDA."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).with_name("stub_cuda")


@pytest.fixture(scope="module")
def stub() -> tuple[Path, Path]:
    """The stub library and the folder of PyCUDA, built where they are not there yet."""
    command = [sys.executable, str(ROOT / "tools" / "stub_cuda.py")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode == 3:
        pytest.skip(f"PROOF 4 WAS NOT MADE: no PyCUDA over a stub: {process.stderr.strip()}")
    assert process.returncode == 0, process.stderr
    library, site = process.stdout.splitlines()
    return Path(library), Path(site)


def test_the_runner_over_a_stub_of_libcuda(stub: tuple[Path, Path], small_bundle: Path) -> None:
    library, site = stub
    env = {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, (str(library.parent), os.environ.get("LD_LIBRARY_PATH")))),
        "PYTHONPATH": os.pathsep.join((str(site), str(FOLDER / "stand_in"))),
        "MMN_EDGE_STUB_BUNDLE": str(small_bundle),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["--rootdir", str(ROOT), "--confcutdir", str(FOLDER), str(FOLDER)]
    process = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert " passed" in process.stdout
    assert "skipped" not in process.stdout
