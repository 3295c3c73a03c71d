"""Every planted problem is found, and a machine in order has none: on machines put together from public logs."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.doctor.facts import Facts, Package
from mmn_edge.doctor.rules import ERROR, HINT, Finding, examine

_spec = importlib.util.spec_from_file_location("doctor_machines", Path(__file__).with_name("machines.py"))
assert _spec is not None
assert _spec.loader is not None
machines: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(machines)

ENGINES = {"tensorrt": Package("10.3.0"), "pycuda": Package("2024.1.2"), **machines.CAMERA}


def only(facts: Facts) -> Finding:
    (finding,) = examine(facts)
    return finding


def orin(root: Path, packages: dict[str, Package] = ENGINES, files: dict[str, str] | None = None, **more: Any) -> Facts:
    found: Facts = machines.machine(root, files or machines.JETPACK_6_2, packages, **{"device": machines.ORIN, **more})
    return found


def test_machines_in_order_have_no_problem(tmp_path: Path) -> None:
    thor = {**ENGINES, "tensorrt": Package("10.13.3")}
    assert examine(orin(tmp_path / "orin")) == []
    assert examine(orin(tmp_path / "thor", thor, machines.JETPACK_7, device=machines.THOR, python="3.12.3")) == []
    assert examine(machines.machine(tmp_path / "x86", machines.X86, {}, environment="venv")) == []
    engine = {"tensorrt": Package("10.9.0"), "pycuda": Package("2025.1")}
    assert examine(machines.machine(tmp_path / "gpu", machines.X86_GPU, engine, device=machines.RTX)) == []


def test_a_machine_is_told_in_words(tmp_path: Path) -> None:
    words = orin(tmp_path).to_dict()
    assert words["JetPack"] == "6.2 (by its L4T)"
    assert words["power mode"] == "MAXN_SUPER (2)"
    assert words["CUDA toolkit"] == "12.6.11"
    assert words["gpu"] == "Orin, compute capability 8.7, driver 36.4.3, CUDA 12.6"
    assert words["cameras"] == "/dev/video0 HD Pro Webcam C920"
    assert words["memory"] == "7.4 GiB, swap 8.0 GiB"
    assert words["cv2"] == "4.11.0 without GStreamer"
    assert orin(tmp_path / "thor", files=machines.JETPACK_7).to_dict()["JetPack"] == "7.0 (by its L4T)"
    assert machines.machine(tmp_path / "x86", machines.X86, {}).to_dict()["gpu"] == "no NVIDIA GPU"
    header = {"usr/local/cuda/include/cuda.h": "#define CUDA_VERSION 12060\n"}
    assert machines.machine(tmp_path / "header", {**machines.X86, **header}, {}).cuda_toolkit == "12.6"


@pytest.mark.parametrize("environment", ["venv", "conda"])
def test_jetpacks_tensorrt_that_an_environment_cannot_see(tmp_path: Path, environment: str) -> None:
    finding = only(orin(tmp_path, dict(machines.CAMERA), environment=environment))
    assert (finding.level, finding.subject) == (ERROR, "TensorRT")
    assert "cannot see it" in finding.problem
    assert finding.mend.startswith("/usr/bin/python3.10 -m venv --clear --system-site-packages")


def test_jetpacks_tensorrt_is_for_another_python(tmp_path: Path) -> None:
    finding = only(orin(tmp_path, dict(machines.CAMERA), python="3.12.3"))
    assert finding.problem == "JetPack's module is for Python 3.10, and this is 3.12"
    assert finding.mend.startswith("/usr/bin/python3.10 -m venv")


def test_jetpacks_packages_are_missing(tmp_path: Path) -> None:
    files = {name: text for name, text in machines.JETPACK_6_2.items() if not name.startswith("usr/lib/")}
    assert only(orin(tmp_path, dict(machines.CAMERA), files)).mend == "sudo apt-get install nvidia-jetpack"


def test_jetpack_6_0_has_too_old_a_tensorrt(tmp_path: Path) -> None:
    finding = only(orin(tmp_path, {**ENGINES, "tensorrt": Package("8.6.2")}, machines.JETPACK_6_0))
    assert finding.level == ERROR
    assert finding.problem == "tensorrt 8.6.2 is too old: 10.3 or later is needed"
    assert r"s/r36\.[0-9]/r36.4/" in finding.mend


@pytest.mark.parametrize(
    ("programs", "mend"),
    [
        (("gst-launch-1.0", "nvcc"), "pip install pycuda"),
        (("gst-launch-1.0",), "PATH=/usr/local/cuda/bin:$PATH pip install pycuda"),
    ],
)
def test_engines_need_pycuda(tmp_path: Path, programs: tuple[str, ...], mend: str) -> None:
    packages = {name: package for name, package in ENGINES.items() if name != "pycuda"}
    finding = only(orin(tmp_path, packages, programs=programs))
    assert (finding.level, finding.subject, finding.mend) == (ERROR, "PyCUDA", mend)


def test_a_pycuda_that_does_not_load(tmp_path: Path) -> None:
    finding = only(orin(tmp_path, {**ENGINES, "pycuda": Package("", "ImportError: libcurand.so.10")}))
    assert "libcurand.so.10" in finding.problem
    assert "--force-reinstall" in finding.mend


def test_a_camera_that_may_not_be_opened(tmp_path: Path) -> None:
    facts = orin(tmp_path, allowed=False)
    facts = replace(facts, cameras=tuple(replace(camera, group="video") for camera in facts.cameras))
    finding = only(facts)
    assert (finding.level, finding.subject) == (ERROR, "camera")
    assert finding.mend.startswith('sudo usermod -aG video "$USER"')
    assert only(replace(facts, container=True)).mend == "docker run --device /dev/video0 --group-add video IMAGE"


def test_the_fastest_power_mode_is_found_by_its_name(tmp_path: Path) -> None:
    files = {**machines.JETPACK_6_2, "var/lib/nvpmodel/status": "pmode:0000\n"}
    finding = only(orin(tmp_path, files=files))
    assert (finding.level, finding.mend) == (HINT, "sudo nvpmodel -m 2")
    assert "15W (0)" in finding.problem


@pytest.mark.parametrize(
    ("change", "subject", "command"),
    [
        ({"sys/class/devfreq/17000000.gpu/min_freq": "306000000\n"}, "power", "sudo jetson_clocks"),
        ({"proc/meminfo": "MemTotal: 7802584 kB\nSwapTotal: 0 kB\n"}, "memory", "swapon"),
    ],
)
def test_hints_for_a_jetson(tmp_path: Path, change: dict[str, str], subject: str, command: str) -> None:
    finding = only(orin(tmp_path, files={**machines.JETPACK_6_2, **change}))
    assert (finding.level, finding.subject) == (HINT, subject)
    assert command in finding.mend


def test_csi_cameras_need_gst_launch(tmp_path: Path) -> None:
    assert only(orin(tmp_path, programs=("nvcc",))).mend == "sudo apt-get install gstreamer1.0-tools"


def test_a_jetsons_container_without_its_gpu(tmp_path: Path) -> None:
    finding = only(orin(tmp_path, device=None, files={**machines.JETPACK_6_2, ".dockerenv": ""}))
    assert (finding.level, finding.mend) == (ERROR, "docker run --runtime nvidia IMAGE")


@pytest.mark.parametrize(("free", "level"), [(700 << 20, HINT), (20 << 20, ERROR)])
def test_a_full_disk(tmp_path: Path, free: int, level: str) -> None:
    finding = only(machines.machine(tmp_path, machines.X86, {}, free=free))
    assert (finding.level, finding.subject) == (level, "disk")


def test_x86_with_a_gpu(tmp_path: Path) -> None:
    no_driver = {name: text for name, text in machines.X86_GPU.items() if not name.startswith("proc/driver")}
    gpu = machines.X86_GPU
    assert "ubuntu-drivers" in only(machines.machine(tmp_path / "a", no_driver, {})).mend
    assert "sudo reboot" in only(machines.machine(tmp_path / "b", gpu, {})).mend
    assert "--gpus all" in only(machines.machine(tmp_path / "c", {**gpu, "run/.containerenv": ""}, {})).mend
    assert "mmn-edge[tensorrt]" in only(machines.machine(tmp_path / "d", gpu, {}, device=machines.RTX)).mend


@pytest.mark.parametrize(
    ("package", "level", "mend"),
    [
        (None, ERROR, "pip install onnxruntime"),
        (
            Package("1.23.2", "ImportError: libstdc++", distributions=("onnxruntime",)),
            ERROR,
            "pip install --force-reinstall onnxruntime",
        ),
        (
            Package("1.23.2", distributions=("onnxruntime", "onnxruntime-gpu")),
            HINT,
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu",
        ),
    ],
)
def test_onnxruntime(tmp_path: Path, package: Package | None, level: str, mend: str) -> None:
    facts = machines.machine(tmp_path, machines.X86, {})
    packages = {} if package is None else {"onnxruntime": package}
    finding = only(replace(facts, interpreter=replace(facts.interpreter, packages=packages)))
    assert (finding.level, finding.mend) == (level, mend)


def test_a_python_that_mediapipe_has_no_wheel_for(tmp_path: Path) -> None:
    assert only(machines.machine(tmp_path, machines.X86, {}, python="3.13.1")).subject == "Python"


def test_opencv_without_libgl(tmp_path: Path) -> None:
    packages = {"cv2": Package("4.11.0", "ImportError: libGL.so.1: cannot open shared object file")}
    assert only(machines.machine(tmp_path, machines.X86, packages)).mend == "sudo apt-get install libgl1 libglib2.0-0"


def test_a_bundles_engine_is_compared(tmp_path: Path, small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    facts = orin(tmp_path)
    (finding,) = examine(facts, bundle)
    assert (finding.level, finding.subject) == (HINT, "bundle")
    assert finding.mend == f"mmn-edge convert {small_bundle} --engine"
    fits = EngineRecord(
        "model.fp32.tensorrt.engine",
        "fp32",
        "tensorrt",
        "10.3.0",
        "Orin",
        ("8.7",),
        "",
        "12.6",
        (1, 1, 4),
        bundle.model_sha256("fp32"),
    )
    assert examine(facts, replace(bundle, manifest=replace(bundle.manifest, engines=(fits,)))) == []
    other = replace(fits, tensorrt="10.7.0")
    (finding,) = examine(facts, replace(bundle, manifest=replace(bundle.manifest, engines=(other,))))
    assert finding.level == ERROR
    assert "built with TensorRT 10.7.0, and 10.3.0 is here" in finding.problem
    assert finding.mend.endswith("--engine --precision fp32")
