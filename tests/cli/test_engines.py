from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.cli import cli, engines
from mmn_edge.convert.tensorrt import engine as engine_module
from mmn_edge.errors import BundleError, EngineError, MissingDependencyError, UsageError
from mmn_edge.runtime.backends.tensorrt import cuda as cuda_module
from mmn_edge.system.tensorrt import DeviceFacts

pytest.importorskip("tensorrt_rtx", reason="PROOF SKIPPED: no engine was built, since tensorrt-rtx is not installed")


pytestmark = pytest.mark.proof


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def path(small_bundle: Path, tmp_path: Path) -> Path:
    """A bundle with an fp32 model, free to be changed."""
    return Path(shutil.copytree(small_bundle, tmp_path / "small.bundle"))


def test_convert_builds_an_engine_of_a_bundle(path: Path) -> None:
    result = invoke("convert", path, "--engine", "--compute-capability", "sm86,sm89", "--max-batch", 2)
    assert result.exit_code == 0, result.output
    record = Bundle.open(path).engine("fp32", "tensorrt_rtx")
    assert record.compute_capabilities == ("8.6", "8.9")
    assert record.batch == (1, 1, 2)
    head, *table = result.stdout.splitlines()
    assert head.startswith(f"built {path}/model.fp32.tensorrt_rtx.engine: ")
    assert "for compute capability 8.6, 8.9, 1 to 2 windows" in head
    rows = {line[:18].strip(): line[18:].split() for line in table}
    assert rows["kernels"] == ["float", "other"]
    assert int(rows["convolution"][0]) > 20
    assert not result.stderr


def test_convert_of_a_checkpoint_does_both(small_checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "B"
    options = ("--engine", "--compute-capability", "SM86", "--precision", "fp16")
    result = invoke("convert", small_checkpoint, "-o", target, *options)
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(target)
    assert list(bundle.manifest.models) == ["fp16"]
    assert bundle.engine("fp16", "tensorrt_rtx").compute_capabilities == ("8.6",)
    assert f"wrote {target}" in result.stdout
    assert f"built {target}/model.fp16.tensorrt_rtx.engine: " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["--max-batch", "4"], UsageError, "without --engine"),
        (["--engine", "--compute-capability", "SM87"], UsageError, "unknown compute capability SM87"),
        (["--engine", "--compute-capability", "SM86", "--version-compatible"], UsageError, "the version that built"),
        (["--engine", "--compute-capability", "SM86", "--precision", "int8"], BundleError, "holds no int8 model"),
        (["--engine", "--compute-capability", "SM86", "--stride", "1"], UsageError, "only --precision applies"),
        (["--engine", "--compute-capability", "SM86", "-o", "other"], UsageError, "only --precision applies"),
        (["--engine", "--compute-capability", "SM86", "--input", "features"], UsageError, "only --precision applies"),
    ],
)
def test_what_makes_no_sense_is_said(path: Path, arguments: list[str], kind: type[Exception], message: str) -> None:
    before = (path / "manifest.json").read_bytes()
    result = invoke("convert", path, *arguments)
    assert type(result.exception) is kind, result.output
    assert message in str(result.exception)
    assert (path / "manifest.json").read_bytes() == before


def test_without_a_gpu_or_without_tensorrt_it_is_said_before_a_long_conversion(
    small_checkpoint: Path, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "cuda_device", lambda: None)
    for model in (small_checkpoint, path):
        result = invoke("convert", model, "-o", tmp_path / "B", "--engine")
        if model is path:
            result = invoke("convert", model, "--engine")
        assert type(result.exception) is EngineError
        assert "no NVIDIA GPU was found" in str(result.exception)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt_rtx", None)
    result = invoke("convert", small_checkpoint, "-o", tmp_path / "B", "--engine")
    assert type(result.exception) is MissingDependencyError
    assert "JetPack brings it" in str(result.exception)
    assert not (tmp_path / "B").exists()


def test_a_ready_engine_is_taken_and_one_that_does_not_fit_is_built_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The GPU is made up; what is built is real."""
    version = engine_module.load_tensorrt("tensorrt_rtx").__version__
    facts = DeviceFacts("tensorrt_rtx", version, "RTX 3090", "8.6")
    monkeypatch.setattr(engines, "device_facts", lambda flavour: facts)
    gpu = engine_module.CudaDevice("RTX 3090", "8.6", "", "")
    monkeypatch.setattr(engine_module, "cuda_device", lambda: gpu)

    first = engines.ready_engine(path, "fp32", "tensorrt_rtx")
    said = capsys.readouterr()
    assert "building the fp32 engine of" in said.err
    assert "there is none in the bundle" in said.err
    assert "built " in said.err
    assert not said.out  # it belongs to what is run with the engine
    assert first.compute_capabilities == ("8.6",)
    engine = path / first.file
    content = engine.stat().st_ino

    assert engines.ready_engine(path, "fp32", "tensorrt_rtx", batch=8) == first
    assert engine.stat().st_ino == content
    assert capsys.readouterr() == ("", "")

    larger = engines.ready_engine(path, "fp32", "tensorrt_rtx", batch=9)
    assert larger.batch == (1, 1, 9)
    assert "takes 1 to 8 windows at once, and 9 are asked for" in capsys.readouterr().err

    engine.write_bytes(b"damaged")
    assert engines.ready_engine(path, "fp32", "tensorrt_rtx").file == first.file
    assert "there is none in the bundle" in capsys.readouterr().err
    assert engine.stat().st_size > 10_000


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is asked for on the way to a bundle with an engine; nothing is built."""
    seen: list[object] = []
    monkeypatch.setattr(engines, "load_tensorrt", seen.append)
    monkeypatch.setattr(cuda_module, "load_driver", lambda: seen.append("pycuda"))
    monkeypatch.setattr(engines, "ready_engine", lambda *arguments: seen.append(arguments))
    return seen


def test_a_backend_for_engines_gets_one(path: Path, asked: list[object]) -> None:
    bundle, precision = engines.ready(path, "tensorrt-rtx", None)
    assert (bundle.path, precision) == (path, "fp32")
    # PyCUDA is looked for before minutes are spent on an engine.
    assert asked == ["tensorrt_rtx", "pycuda", (path, "fp32", "tensorrt_rtx")]


def test_other_backends_get_the_bundle_as_it_is(path: Path, asked: list[object]) -> None:
    for backend in (None, "onnxruntime", "onnxruntime-tensorrt", "abacus"):
        assert engines.ready(path, backend, "int8") == (Bundle.open(path), "int8")
    assert not asked


def test_the_precision_is_the_named_the_newest_engines_or_half(
    path: Path, asked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Bundle.open(path).manifest
    three = replace(manifest, models=dict.fromkeys(("fp32", "fp16", "int8"), manifest.models["fp32"]))
    engine = EngineRecord(
        file="e",
        precision="int8",
        flavour="tensorrt",
        tensorrt="10.3.0",
        device="Orin",
        compute_capabilities=("8.7",),
        driver="",
        cuda="",
        batch=(1, 1, 8),
        onnx_sha256="0",
    )
    for held, named, expected in (((), None, "fp16"), ((engine,), None, "int8"), ((engine,), "fp32", "fp32")):
        bundle = Bundle(path, replace(three, engines=held))
        monkeypatch.setattr(Bundle, "open", lambda path, repair=False, bundle=bundle: bundle)
        assert engines.ready(path, "tensorrt", named)[1] == expected
        assert asked[-1] == (path, expected, "tensorrt")
