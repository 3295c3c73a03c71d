from pathlib import Path

import numpy as np
import pytest

from mmn_edge.bundle import Bundle
from mmn_edge.errors import BundleError, UsageError
from mmn_edge.runtime.backend import open_backend
from mmn_edge.runtime.onnxruntime_backend import OnnxRuntimeBackend


def test_runs_a_batch(small_bundle: Path) -> None:
    windows = np.random.default_rng(0).normal(300, 40, (3, 64, 44, 2)).astype(np.float32)
    with open_backend(Bundle.open(small_bundle), threads=1) as backend:
        assert backend.name.startswith("onnxruntime")
        output = backend.run({"keypoints": windows})
    assert output.logits.shape == output.probabilities.shape == (3, 13)
    exponent = np.exp(output.logits - output.logits.max(1, keepdims=True))
    np.testing.assert_allclose(output.probabilities, exponent / exponent.sum(1, keepdims=True), atol=1e-6)


def test_what_is_not_there(small_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(small_bundle)
    with pytest.raises(UsageError, match="unknown backend 'abacus'"):
        open_backend(bundle, "abacus")
    with pytest.raises(BundleError, match="holds no int4 model: it has fp32"):
        open_backend(bundle, precision="int4")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(BundleError, match="cannot load"), OnnxRuntimeBackend(tmp_path / "bad.onnx"):
        pass
