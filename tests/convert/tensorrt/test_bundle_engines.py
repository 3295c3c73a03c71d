from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.convert.tensorrt import bundle_engines
from mmn_edge.convert.tensorrt.bundle_engines import build_engines, engine_precisions
from mmn_edge.convert.tensorrt.engine import EngineOptions
from mmn_edge.errors import BundleError, EngineError, UsageError

pytest.importorskip("tensorrt_rtx", reason="PROOF SKIPPED: no engine was built, since tensorrt-rtx is not installed")

pytestmark = pytest.mark.proof

SM86 = EngineOptions(compute_capabilities=("SM86",))


@pytest.fixture
def path(small_bundle: Path, tmp_path: Path) -> Path:
    """A bundle with an fp32 model, free to be changed."""
    return Path(shutil.copytree(small_bundle, tmp_path / "small.bundle"))


def test_which_models_engines_are_built_of(path: Path) -> None:
    bundle = Bundle.open(path)
    assert engine_precisions(bundle) == ("fp32",)
    bundle.manifest.models.update({"fp16": "model.fp16.onnx", "int8": "model.int8.onnx"})
    assert engine_precisions(bundle) == ("fp16", "int8")
    assert engine_precisions(bundle, ["int8", "fp32"]) == ("fp32", "int8")
    with pytest.raises(BundleError, match="holds no fp8 model: it has fp32, fp16, int8"):
        engine_precisions(bundle, ["fp8"])
    with pytest.raises(UsageError, match="no precision was named"):
        engine_precisions(bundle, [])


def test_an_engine_is_put_into_the_bundle_with_its_log_and_kernels(path: Path) -> None:
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    seen = set()
    (build,) = build_engines(
        path,
        None,
        flavour="tensorrt_rtx",
        options=SM86,
        on_progress=lambda precision, share, phase: seen.add(precision),
    )
    bundle = Bundle.open(path)
    assert bundle.engine("fp32", "tensorrt_rtx") == build.record
    assert build.record.onnx_sha256 == bundle.model_sha256("fp32")
    assert seen == {"fp32"}
    kernels = json.loads((path / "model.fp32.tensorrt_rtx.json").read_text(encoding="utf-8"))
    assert kernels["types"] == build.kernels.types
    assert kernels["unseen"] == kernels["wrong"] == []
    assert kernels["counts"]["convolution"]["float"] > 20
    assert "Engine generation completed" in (path / "model.fp32.tensorrt_rtx.log").read_text(encoding="utf-8")
    assert (path / "model.fp32.onnx").read_bytes() == before["model.fp32.onnx"]
    assert set(bundle.manifest.files) == {file.name for file in path.iterdir()} - {"manifest.json"}


def test_a_build_that_fails_leaves_the_bundle_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise EngineError("out of luck")

    before = {file.name: file.read_bytes() for file in path.iterdir()}
    monkeypatch.setattr(bundle_engines, "build_engine", fail)
    with pytest.raises(EngineError, match="out of luck"):
        list(build_engines(path, None, flavour="tensorrt_rtx", options=SM86))
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert [entry.name for entry in path.parent.iterdir()] == ["small.bundle"]
