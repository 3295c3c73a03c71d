from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.bundle.advice import Advice
from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.errors import BundleError, EngineError, UsageError
from mmn_edge.runtime.backends.backend import find_engines, open_backend
from mmn_edge.system import machine


def record(precision: str, flavour: str = "tensorrt", onnx_sha256: str = "0") -> EngineRecord:
    return EngineRecord(
        file=f"model.{precision}.{flavour}.engine",
        precision=precision,
        flavour=flavour,
        tensorrt="10.3.0",
        device="Orin",
        compute_capabilities=("8.7",),
        driver="",
        cuda="12.6",
        batch=(1, 1, 8),
        onnx_sha256=onnx_sha256,
    )


def test_runs_a_batch(small_bundle: Path) -> None:
    windows = np.random.default_rng(0).normal(300, 40, (3, 64, 44, 2)).astype(np.float32)
    with open_backend(Bundle.open(small_bundle), threads=1) as backend:
        assert backend.name.startswith("onnxruntime")
        assert backend.precision == "fp32"
        output = backend.run({"keypoints": windows})
    assert output.logits.shape == output.probabilities.shape == (3, 13)
    exponent = np.exp(output.logits - output.logits.max(1, keepdims=True))
    np.testing.assert_allclose(output.probabilities, exponent / exponent.sum(1, keepdims=True), atol=1e-6)


def test_what_is_not_there(small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    with pytest.raises(UsageError, match="unknown backend 'abacus'"):
        open_backend(bundle, "abacus")
    with pytest.raises(BundleError, match="holds no int4 model: it has fp32"):
        open_backend(bundle, precision="int4")
    command = f"mmn-edge convert {bundle.path} --engine --precision fp32"
    for name in ("tensorrt", "tensorrt-rtx"):
        with pytest.raises(EngineError, match=f"no fp32 engine for {name.replace('-', '_')}: .*{command}"):
            open_backend(bundle, name)


def test_engines_are_found_the_newest_first(small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    assert not find_engines(bundle)
    engines = (record("fp16"), record("fp32", "tensorrt_rtx"), record("fp32"), record("int8", "tensorrt_rtx"))
    bundle = Bundle(bundle.path, replace(bundle.manifest, engines=engines))
    assert find_engines(bundle) == list(reversed(engines))
    assert find_engines(bundle, flavour="tensorrt") == [engines[2], engines[0]]
    assert find_engines(bundle, "fp16") == [engines[0]]
    assert not find_engines(bundle, "fp16", "tensorrt_rtx")


def test_an_engine_for_another_machine_is_told_of_and_left(small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    bundle = Bundle(bundle.path, replace(bundle.manifest, engines=(record("fp32"),)))
    notes: list[str] = []
    with open_backend(bundle, threads=1, on_note=notes.append) as backend:
        assert backend.name.startswith("onnxruntime")
    (note,) = notes
    assert note.startswith("no engine is used, and ONNX Runtime runs the model instead: ")
    assert "\n" not in note
    with open_backend(bundle, "onnxruntime", threads=1, on_note=notes.append):
        assert len(notes) == 1  # what was asked for by name is no news


def test_advice_from_another_machine_is_said_and_followed(small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    notes: list[str] = []
    for facts in (machine.describe(), {"machine": "an abacus"}):
        advice = Advice("fp32", (), "9 windows", facts)
        advised = replace(bundle, manifest=replace(bundle.manifest, advice=advice))
        assert open_backend(advised, on_note=notes.append).precision == "fp32"
        open_backend(advised, precision="fp32", on_note=notes.append)  # asked for: no advice is used
    assert len(notes) == 1
    assert "another machine (an abacus; this is" in notes[0]


def test_a_bundle_that_detects_is_run_as_any_other(small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    detecting = replace(bundle, manifest=replace(bundle.manifest, task="detect"))
    assert open_backend(detecting).name == open_backend(bundle).name
