from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from mmn_edge.bundle.engine_record import EngineRecord, check_engine, engine_file, misfits, rebuild_command
from mmn_edge.errors import EngineError
from mmn_edge.system.tensorrt import DeviceFacts

ONNX = "ab" * 32
RECORD = EngineRecord(
    file="model.fp16.tensorrt.engine",
    precision="fp16",
    flavour="tensorrt",
    tensorrt="10.3.0",
    device="Orin",
    compute_capabilities=("8.7",),
    driver="540.4.0",
    cuda="12.6",
    batch=(1, 1, 8),
    onnx_sha256=ONNX,
)
ORIN = DeviceFacts("tensorrt", "10.3.0", "Orin", "8.7", "540.4.0", "12.6")


def test_a_record_survives_json() -> None:
    assert EngineRecord.from_dict(json.loads(json.dumps(RECORD.to_dict()))) == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"batch": [1, 8]},
        {"batch": [2, 1, 8]},
        {"batch": [0, 1, 8]},
        {"batch": [1, 1, "8"]},
        {"flavour": "openvino"},
        {"compute_capabilities": []},
        {"compute_capabilities": [8.7]},
        {"file": None},
        {"colour": "red"},
    ],
)
def test_a_broken_record_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        EngineRecord.from_dict({**RECORD.to_dict(), **change})


def test_an_engine_fits_the_machine_that_built_it() -> None:
    assert misfits(RECORD, ORIN, ONNX) == ()
    check_engine(RECORD, ORIN, ONNX, batch=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flavour": "tensorrt_rtx"}, "it is an engine of tensorrt, and tensorrt_rtx is here"),
        ({"tensorrt": "10.7.0"}, "it was built with TensorRT 10.3.0, and 10.7.0 is here"),
        ({"tensorrt": "10.3.0.26"}, "it was built with TensorRT 10.3.0, and 10.3.0.26 is here"),
        ({"compute_capability": "8.6"}, "it was built for compute capability 8.7, and Orin has 8.6"),
        ({"device": "Orin NX"}, "it was built on Orin, and this is Orin NX"),
        ({"driver": "540.3.0"}, "it was built under driver 540.4.0, and the older 540.3.0 is here"),
        ({"driver": "99.9"}, "it was built under driver 540.4.0, and the older 99.9 is here"),
        ({"cuda": "12.2"}, "it was built under CUDA driver interface 12.6, and the older 12.2 is here"),
    ],
)
def test_what_differs_is_said_with_the_command_that_builds_anew(change: dict[str, str], message: str) -> None:
    with pytest.raises(EngineError) as caught:
        check_engine(RECORD, replace(ORIN, **change), ONNX, bundle="my bundle")
    assert str(caught.value) == (
        f"model.fp16.tensorrt.engine does not fit: {message}. Build an engine on this machine with: "
        "mmn-edge convert 'my bundle' --engine --precision fp16"
    )


def test_another_onnx_and_a_batch_out_of_range() -> None:
    with pytest.raises(EngineError, match="built from another fp16 ONNX model"):
        check_engine(RECORD, ORIN, "cd" * 32)
    with pytest.raises(EngineError, match=r"takes 1 to 8 windows at once, and 9 are asked for.*--max-batch 9$"):
        check_engine(RECORD, ORIN, ONNX, batch=9)


def test_all_that_differs_is_named() -> None:
    other = DeviceFacts("tensorrt", "10.13.3.9", "Thor", "11.0", "580", "13.0")
    assert len(misfits(RECORD, other, "cd" * 32, batch=64)) == 5


def test_a_newer_or_unknown_driver_is_fine() -> None:
    assert misfits(RECORD, replace(ORIN, driver="1000.1", cuda="13.0"), ONNX) == ()
    assert misfits(RECORD, replace(ORIN, driver="", cuda=""), ONNX) == ()
    assert misfits(replace(RECORD, driver="", cuda=""), ORIN, ONNX) == ()


@pytest.mark.parametrize(
    ("version", "fits"), [("10.2.9", False), ("10.3.0", True), ("10.13.3.9", True), ("11.4.0.106", True)]
)
def test_a_version_compatible_engine_runs_in_later_versions(version: str, fits: bool) -> None:
    record = replace(RECORD, version_compatible=True)
    assert (misfits(record, replace(ORIN, tensorrt=version), ONNX) == ()) == fits


@pytest.mark.parametrize(("capability", "fits"), [("7.5", False), ("8.0", True), ("8.9", True), ("12.0", True)])
def test_a_hardware_compatible_engine_runs_from_ampere_on(capability: str, fits: bool) -> None:
    record = replace(RECORD, hardware_compatible=True, compute_capabilities=("8.6",), device="RTX 3090")
    facts = replace(ORIN, device="another", compute_capability=capability)
    assert (misfits(record, facts, ONNX) == ()) == fits


def test_an_rtx_engine_is_for_compute_capabilities_and_not_for_a_device() -> None:
    record = replace(
        RECORD, flavour="tensorrt_rtx", tensorrt="1.7.1.116", device="", compute_capabilities=("8.6", "8.9")
    )
    facts = DeviceFacts("tensorrt_rtx", "1.7.1.116", "RTX 4090", "8.9")
    assert misfits(record, facts, ONNX) == ()
    assert misfits(record, replace(facts, compute_capability="12.0"), ONNX) == (
        "it was built for compute capability 8.6 and 8.9, and RTX 4090 has 12.0",
    )
    assert misfits(record, replace(facts, tensorrt="1.8"), ONNX)


def test_names() -> None:
    assert engine_file("int8", "tensorrt_rtx") == "model.int8.tensorrt_rtx.engine"
    assert rebuild_command("a.bundle", "int8") == "mmn-edge convert a.bundle --engine --precision int8"
    assert set(asdict(RECORD)) == set(RECORD.to_dict())
