from __future__ import annotations

import warnings
from pathlib import Path

import onnxruntime
import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import BundleError, MissingDependencyError
from mmn_edge.runtime.backends.backend import BACKENDS, open_backend
from mmn_edge.runtime.backends.onnxruntime import PROVIDERS, OnnxRuntimeBackend
from mmn_edge.system import extras


def test_every_provider_has_a_name_and_onnx_runtime_knows_it() -> None:
    assert set(PROVIDERS) == {name for name in BACKENDS if name.startswith("onnxruntime")}
    known = {*onnxruntime.get_all_providers(), "NvTensorRTRTXExecutionProvider"}  # which only its own build lists
    for provider in PROVIDERS.values():
        assert set(provider.names) <= known
        assert provider.names[-1] == "CPUExecutionProvider"


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name != "onnxruntime"])
def test_a_provider_that_this_build_lacks_is_named_with_what_brings_it(small_bundle: Path, name: str) -> None:
    wanted = PROVIDERS[name].names[0]
    if wanted in onnxruntime.get_available_providers():
        pytest.skip(f"{wanted} is here")
    message = rf"has no {wanted} \(it has .*CPUExecutionProvider\): install onnxruntime-"
    with pytest.raises(MissingDependencyError, match=message), open_backend(Bundle.open(small_bundle), name):
        pass


def test_a_provider_that_does_not_start_is_no_silent_cpu(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime itself goes on with the CPU: the build is made to claim what it has not, and the rest is real."""
    claimed = [*PROVIDERS["onnxruntime-cuda"].names]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: claimed)
    backend = open_backend(Bundle.open(small_bundle), "onnxruntime-cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own "not in available provider names"
        with pytest.raises(MissingDependencyError, match=r"could not start CUDA.* fell back to CPUExecutionProvider"):
            backend.__enter__()


def test_an_onnx_runtime_that_computes_half_precision_scales_wrongly_is_not_used_for_them(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "half_scales_work", lambda: False)
    model = Bundle.open(small_bundle).model("fp32")
    with OnnxRuntimeBackend(model), pytest.raises(MissingDependencyError, match="computes int8-fp16 models wrongly"):
        OnnxRuntimeBackend(model, precision="int8-fp16").__enter__()


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(BundleError, match="cannot load"), OnnxRuntimeBackend(tmp_path / "bad.onnx"):
        pass


def test_a_version_that_computes_half_scales_wrongly_runs_no_int8_fp16(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Bundle.open(small_bundle).model()
    monkeypatch.setattr(onnxruntime, "__version__", "1.23.2")
    with (
        pytest.raises(MissingDependencyError, match=r"1\.23\.2 computes int8-fp16 models wrongly"),
        OnnxRuntimeBackend(model, precision="int8-fp16"),
    ):
        pass
    with OnnxRuntimeBackend(model, precision="int8"):
        pass
    monkeypatch.setattr(onnxruntime, "__version__", "1.30.0")
    with OnnxRuntimeBackend(model, precision="int8-fp16"):
        pass
