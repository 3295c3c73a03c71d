import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.bundle import Bundle
from mmn_edge.errors import BundleError, UsageError
from mmn_edge.runtime.backend import open_backend
from mmn_edge.runtime.onnxruntime_backend import OnnxRuntimeBackend
from mmn_edge.runtime.openvino_backend import OpenVinoBackend


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


def test_openvino_gives_what_onnxruntime_gives(small_bundle: Path, small_features_bundle: Path) -> None:
    pytest.importorskip("openvino")
    rng = np.random.default_rng(0)
    for path in (small_bundle, small_features_bundle):
        bundle = Bundle.open(path)
        with open_backend(bundle, threads=1) as first, open_backend(bundle, "openvino", threads=1) as second:
            assert second.name.startswith("openvino 20")
            for count in (2, 1, 2, 3, 4, 5, 1):  # more batch sizes than are kept
                inputs = {
                    spec.name: rng.uniform(0, 1, (count, *map(int, spec.shape[1:]))).astype(np.float32)
                    for spec in bundle.manifest.inputs
                }
                expected, found = first.run(inputs), second.run(inputs)
                np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
                np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)


def test_openvino_reports_nothing_to_anybody(small_bundle: Path) -> None:
    pytest.importorskip("openvino")
    code = (
        "import sys; from mmn_edge.bundle import Bundle; from mmn_edge.runtime.backend import open_backend\n"
        "with open_backend(Bundle.open(sys.argv[1]), 'openvino'): pass\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(small_bundle)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_openvino_cannot_load_what_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(BundleError, match="OpenVINO cannot load"), OpenVinoBackend(tmp_path / "bad.onnx"):
        pass
