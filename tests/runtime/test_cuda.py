"""What needs no CUDA; the rest is in ``stub_cuda``."""

from __future__ import annotations

import importlib.util

import pytest

from mmn_edge.errors import MissingDependencyError
from mmn_edge.runtime.cuda import CudaThread, load_driver


@pytest.mark.skipif(importlib.util.find_spec("pycuda") is not None, reason="PyCUDA is here")
def test_without_pycuda_one_sentence_says_how_to_install_it() -> None:
    for call in (load_driver, CudaThread().__enter__):
        with pytest.raises(MissingDependencyError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith("Running a TensorRT engine needs pycuda, which is not installed")
        assert message.endswith('pip install "mmn-edge[jetson]"')
