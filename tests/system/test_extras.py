from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.errors import MissingDependencyError
from mmn_edge.system.extras import load_onnxruntime, require, session_options


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_an_installed_module_is_returned() -> None:
    assert require("json.decoder", extra="train", purpose="Training").__name__ == "json.decoder"


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingDependencyError) as caught:
        require("mmn_edge_no_such_package", extra="camera", purpose="Pose estimation")
    message = str(caught.value)
    assert message.startswith("Pose estimation needs mmn_edge_no_such_package, ")
    assert message.endswith('pip install "mmn-edge[camera]"')
    assert "\n" not in message


def test_what_an_installed_package_lacks_is_named_as_the_reason(packages: Path) -> None:
    (packages / "mmn_edge_half_there.py").write_text("import mmn_edge_not_there\n", encoding="utf-8")
    with pytest.raises(MissingDependencyError, match=r"^Training needs mmn_edge_half_there, .*'mmn_edge_not_there'"):
        require("mmn_edge_half_there", extra="train", purpose="Training")


def test_a_package_that_is_there_but_does_not_load_is_named_with_the_reason(packages: Path) -> None:
    text = "raise ImportError('libGL.so.1: cannot open shared object file')\n"
    (packages / "mmn_edge_unloadable.py").write_text(text, encoding="utf-8")
    with pytest.raises(MissingDependencyError, match=r"needs mmn_edge_unloadable, .*libGL\.so\.1") as caught:
        require("mmn_edge_unloadable", extra="camera", purpose="Reading a video")
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_bug_inside_a_package_keeps_its_own_error(packages: Path) -> None:
    (packages / "mmn_edge_buggy.py").write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        require("mmn_edge_buggy", extra="train", purpose="Training")


def test_onnx_runtime_reports_nothing(tmp_path: Path) -> None:
    """Its official Linux builds keep a database of events to send under the home folder, from the import on."""
    code = "from mmn_edge.system.extras import load_onnxruntime; load_onnxruntime().SessionOptions()"
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
    assert not list(tmp_path.rglob("*onnxruntime*"))


def test_sums_of_8_bit_products_are_exact() -> None:
    """On processors without VNNI the largest of these overflow 16 bits, by which ONNX Runtime adds them by default."""
    onnx = pytest.importorskip("onnx")
    make, tensor = onnx.helper, onnx.numpy_helper.from_array
    weights = np.full((64, 48), 127, np.int8)
    graph = make.make_graph(
        [
            make.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            make.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
            make.make_node("DequantizeLinear", ["w", "scales", "zeros"], ["v"], axis=1),
            make.make_node("Gemm", ["d", "v"], ["y"]),
        ],
        "product",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 64])],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 48])],
        [
            tensor(np.float32(1), "scale"),
            tensor(np.int8(0), "zero"),
            tensor(weights, "w"),
            tensor(np.ones(48, np.float32), "scales"),
            tensor(np.zeros(48, np.int8), "zeros"),
        ],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 20)], ir_version=9)
    session = load_onnxruntime().InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    x = np.full((2, 64), 127, np.float32)
    assert np.array_equal(session.run(None, {"x": x})[0], x @ weights.astype(np.float32))
