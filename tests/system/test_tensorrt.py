"""The machine that tests run on may have no GPU and no TensorRT, so both are made up: these are tests of our logic."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmn_edge.errors import EngineError, MissingDependencyError, UsageError
from mmn_edge.system import tensorrt
from mmn_edge.system.tensorrt import CudaDevice, cuda_device, device_facts, load_tensorrt


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to put modules in; no other TensorRT is seen."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("tensorrt", "tensorrt_rtx"):
        sys.modules.pop(name, None)


def put(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_nothing_installed_is_one_sentence_that_says_how_to_get_it(packages: Path) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        load_tensorrt()
    assert str(caught.value) == (
        "A TensorRT engine needs tensorrt, which is not installed: JetPack brings it to a Jetson (apt install "
        'nvidia-jetpack); on x86: pip install "mmn-edge[tensorrt]"'
    )
    with pytest.raises(MissingDependencyError, match=r'tensorrt_rtx, which is not installed: pip install "mmn-edge'):
        load_tensorrt("tensorrt_rtx")


def test_the_first_that_is_there_is_taken(packages: Path) -> None:
    put(packages, "tensorrt_rtx", "__version__ = '1.7.1.116'")
    assert load_tensorrt().__name__ == "tensorrt_rtx"
    put(packages, "tensorrt", "__version__ = '10.3.0'")
    sys.path_importer_cache.clear()
    assert load_tensorrt().__name__ == "tensorrt"
    assert load_tensorrt("tensorrt_rtx").__name__ == "tensorrt_rtx"
    with pytest.raises(UsageError, match="unknown flavour 'openvino'"):
        load_tensorrt("openvino")


def test_one_that_is_too_old_or_does_not_load(packages: Path) -> None:
    put(packages, "tensorrt", "__version__ = '8.6.2'")
    with pytest.raises(MissingDependencyError, match=r"tensorrt 8\.6\.2 is too old: 10\.3 or later is needed"):
        load_tensorrt()
    del sys.modules["tensorrt"]
    put(packages, "tensorrt", "raise ImportError('libnvinfer.so.10: cannot open')  # longer, so it is compiled again")
    with pytest.raises(MissingDependencyError, match=r"cannot be imported \(libnvinfer\.so\.10: cannot open\)"):
        load_tensorrt()


def fake_libcuda(*, devices: int = 1, version: int = 12060) -> Any:
    def get(pointer: Any, value: int) -> int:
        pointer._obj.value = value
        return 0

    def name(buffer: Any, size: int, device: Any) -> int:
        buffer.value = b"Orin"
        return 0

    attributes = {75: 8, 76: 7}
    return SimpleNamespace(
        cuInit=lambda flags: 0,
        cuDeviceGet=lambda pointer, index: get(pointer, index) if index < devices else 101,
        cuDeviceGetName=name,
        cuDeviceGetAttribute=lambda pointer, attribute, device: get(pointer, attributes[attribute]),
        cuDriverGetVersion=lambda pointer: get(pointer, version),
    )


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch, packages: Path) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: fake_libcuda())
    monkeypatch.setattr(tensorrt, "_driver", lambda: "540.4.0")
    assert cuda_device() == CudaDevice("Orin", "8.7", "540.4.0", "12.6")
    assert cuda_device(1) is None
    put(packages, "tensorrt", "__version__ = '10.3.0'")
    facts = device_facts("tensorrt")
    assert (facts.tensorrt, facts.device, facts.compute_capability, facts.cuda) == ("10.3.0", "Orin", "8.7", "12.6")


def test_no_gpu(monkeypatch: pytest.MonkeyPatch, packages: Path) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert cuda_device() is None
    put(packages, "tensorrt", "__version__ = '10.3.0'")
    with pytest.raises(EngineError, match="no NVIDIA GPU was found"):
        device_facts("tensorrt")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            {"version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"},
            "550.54.15",
        ),
        (
            {"version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build\n"},
            "540.4.0",
        ),
        ({"tegra": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"}, "36.4.3"),
        ({}, ""),
    ],
)
def test_the_drivers_version(
    texts: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(tensorrt, "KERNEL_MODULE", tmp_path / "version")
    monkeypatch.setattr(tensorrt, "L4T_RELEASE", tmp_path / "tegra")
    assert tensorrt._driver() == expected
    assert tensorrt.is_jetson() == ("tegra" in texts)
