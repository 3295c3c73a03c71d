"""OpenVINO in a process of its own, as its users have it.

Beside PyTorch, ONNX and TensorRT for RTX in one process of tests it was seen once to bring that process down.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if find_spec("openvino") is None:
    pytest.skip("openvino is not installed", allow_module_level=True)

CODE = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import BundleError
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.runtime.backends.openvino import OpenVinoBackend

bad, *bundles = sys.argv[1:]
precisions = bundles.pop()
rng = np.random.default_rng(0)
seen = {"names": [], "logits": [], "probabilities": [], "refused": "", "int8": {}}
for path in bundles:
    bundle = Bundle.open(path)
    with open_backend(bundle, threads=1) as first, open_backend(bundle, "openvino", threads=1) as second:
        seen["names"].append(second.name)
        for count in (2, 1, 5):
            inputs = {
                spec.name: rng.uniform(0, 1, (count, *map(int, spec.shape[1:]))).astype(np.float32)
                for spec in bundle.manifest.inputs
            }
            expected, found = first.run(inputs), second.run(inputs)
            assert found.logits.shape == expected.logits.shape
            seen["logits"].append(float(np.abs(found.logits - expected.logits).max()))
            seen["probabilities"].append(float(np.abs(found.probabilities - expected.probabilities).max()))
bundle = Bundle.open(precisions)
windows = rng.uniform(0, 1, (8, *map(int, bundle.manifest.inputs[0].shape[1:]))).astype(np.float32)
for precision, backend in (("fp32", "onnxruntime"), ("int8", "onnxruntime"), ("int8", "openvino")):
    with open_backend(bundle, backend, precision=precision, threads=1) as running:
        logits = np.concatenate([running.run({"keypoints": window[None]}).logits for window in windows])
    seen["int8"][f"{backend} {precision}"] = logits.tolist()
with open_backend(bundle, "openvino", threads=1) as running, ThreadPoolExecutor(2) as pool:
    alone = [running.run({"keypoints": window[None]}).logits for window in windows]
    # Each window ten times from two threads at once; a failed call raises here.
    together = list(pool.map(lambda window: running.run({"keypoints": window[None]}).logits, [*windows] * 10))
    seen["threads"] = [len(together), all(np.array_equal(a, b) for a, b in zip(alone * 10, together))]
try:
    OpenVinoBackend(bad).__enter__()
except BundleError as error:
    seen["refused"] = str(error)
seen["telemetry"] = [name for name in sys.modules if name.startswith("openvino_telemetry.")]
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen(
    small_bundle: Path, small_features_bundle: Path, small_precisions: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    bad = tmp_path_factory.mktemp("openvino") / "bad.onnx"
    bad.write_bytes(b"no model")
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(bad), *map(str, (small_bundle, small_features_bundle, small_precisions))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_it_gives_what_onnxruntime_gives(seen: dict[str, Any]) -> None:
    assert len(seen["logits"]) == 6
    assert max(seen["logits"]) < 1e-4
    assert max(seen["probabilities"]) < 1e-4
    assert all(name.startswith("openvino 20") for name in seen["names"])


def test_int8_is_no_further_from_float_than_in_onnxruntime(seen: dict[str, Any]) -> None:
    """OpenVINO 2026.4 computes a quantizer right behind a concat wrongly: 2 to 2.7 times the error, here."""
    exact, expected, found = (np.array(logits) for logits in seen["int8"].values())
    assert np.abs(expected - exact).mean() > 0
    assert np.abs(found - exact).mean() < 1.2 * np.abs(expected - exact).mean()


def test_two_threads_may_call_at_once(seen: dict[str, Any]) -> None:
    assert seen["threads"] == [80, True]


def test_it_reports_nothing_to_anybody(seen: dict[str, Any]) -> None:
    assert seen["telemetry"] == []


def test_it_cannot_load_what_is_no_model(seen: dict[str, Any]) -> None:
    assert seen["refused"].startswith("OpenVINO cannot load ")
