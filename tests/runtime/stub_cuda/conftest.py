"""Tests of the runner's logic, over a stub of libcuda: no proof of CUDA or of TensorRT.

PyCUDA is the real one, built from its source; cuda-python is the real one; libcuda and TensorRT are not. These tests
need a process of their own, in which the stub is the libcuda: ``tests/runtime/test_stub_cuda.py`` starts it.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support import StubCuda

    from mmn_edge.bundle.bundle import Bundle

collect_ignore_glob = [] if "MMN_EDGE_STUB_BUNDLE" in os.environ else ["test_*.py"]


@pytest.fixture
def cuda() -> Iterator[StubCuda]:
    """The stub with one GPU. Whatever a test does, it is to leave nothing behind, and nothing that is wrong."""
    import tensorrt
    from support import StubCuda

    gc.collect()  # what an earlier test broke is not to be released in this one
    stub = StubCuda()
    stub.reset(1)
    tensorrt.calls.clear()
    tensorrt.failing.clear()
    yield stub
    if not stub.expected_problems:
        assert not stub.problems
        assert stub.held == 0
        assert stub.depth == 0


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle with an "engine" for the stub."""
    from support import BUNDLE, with_engine

    path = tmp_path / "small.bundle"
    shutil.copytree(BUNDLE, path)
    return with_engine(path)
