"""What a machine is: read from files below a root, and from the Python that runs.

Nothing is imported into this process: packages are found by their metadata, and the few that have to be asked are
asked in a process of their own, which may crash.
"""

from __future__ import annotations

import grp
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mmn_edge
from mmn_edge.system import jetson
from mmn_edge.system.conditions import ROOT, text
from mmn_edge.system.tensorrt import CudaDevice, cuda_device

__all__ = ["Camera", "Facts", "Interpreter", "Package", "collect", "this_interpreter"]

SECONDS_TO_IMPORT = 60
NVIDIA = "0x10de"
DISPLAY_CLASS = "0x03"

DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx",),
    "pycuda": ("pycuda",),
    "cuda.bindings": ("cuda-bindings",),
    "cv2": ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless"),
    "mediapipe": ("mediapipe",),
}
"""Module -> the distributions that bring it."""

QUESTIONS = {
    "onnxruntime": (
        "import os; os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1'); import onnxruntime as m;"
        "print(m.__version__, *m.get_available_providers())"
    ),
    "tensorrt": "import tensorrt as m; print(m.__version__)",
    "tensorrt_rtx": "import tensorrt_rtx as m; print(m.__version__)",
    "pycuda": "import pycuda, pycuda.driver; print(pycuda.VERSION_TEXT)",
    "cv2": (
        "import cv2, re; found = re.search(r'GStreamer:\\s+(\\w+)', cv2.getBuildInformation());"
        "print(cv2.__version__, 'GStreamer' if found and found[1] == 'YES' else '')"
    ),
}
"""What a Python of its own is asked of a module: its version, and words on what it can do."""


@dataclass(frozen=True)
class Package:
    """An installed Python module.

    Attributes:
        version: ``""`` where unknown.
        error: Why it cannot be imported; ``""`` where it can, or was not tried.
        abilities: ONNX Runtime's providers, or ``GStreamer`` of an OpenCV that has it.
        distributions: What brought it; two that bring one module overwrite each other.
    """

    version: str
    error: str = ""
    abilities: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interpreter:
    """The Python that runs, and what it sees.

    Attributes:
        python: Such as ``"3.10.12"``.
        architecture: As ``uname -m`` says it.
        environment: ``system``, ``conda``, ``venv``, or ``venv with system packages``.
        packages: By module; what is not installed is missing.
    """

    python: str
    architecture: str
    environment: str
    packages: Mapping[str, Package] = field(default_factory=dict)


@dataclass(frozen=True)
class Camera:
    """A video device that gives images, such as ``/dev/video0``."""

    device: str
    name: str
    group: str
    allowed: bool


@dataclass(frozen=True)
class Facts:
    """All that the rules look at.

    Attributes:
        interpreter: The Python that runs.
        device: The NVIDIA GPU as its driver describes it; None where it cannot be asked.
        system: Name of the operating system.
        processor: Name of the processor; ``""`` where ``/proc/cpuinfo`` has none, as on a Jetson.
        jetson: From :mod:`mmn_edge.system.jetson`; empty on other machines.
        power_modes: Number -> name of the Jetson's power modes.
        nvidia_card: Whether there is an NVIDIA GPU on the PCI bus.
        nvidia_driver: Whether the driver's kernel module is loaded.
        container: Whether this is inside a container.
        cuda_toolkit: Version of the toolkit in ``/usr/local/cuda``; ``""`` without one, ``"?"`` where it does not say.
        nvcc_on_path: Whether its compiler can be found by name.
        system_tensorrt: Python version, such as ``"3.10"``, that the system's TensorRT module is for; ``""`` without.
        gst_launch: Whether the program gst-launch-1.0 is there.
        cameras: Video devices.
        memory: GiB; None where unknown.
        swap: GiB.
        free: GiB of disk where the command runs.
    """

    interpreter: Interpreter
    device: CudaDevice | None
    system: str
    processor: str
    jetson: Mapping[str, str]
    power_modes: Mapping[int, str]
    nvidia_card: bool
    nvidia_driver: bool
    container: bool
    cuda_toolkit: str
    nvcc_on_path: bool
    system_tensorrt: str
    gst_launch: bool
    cameras: tuple[Camera, ...]
    memory: float | None
    swap: float
    free: float

    @property
    def is_jetson(self) -> bool:
        """Whether it is a Jetson."""
        return bool(self.jetson)

    def package(self, module: str) -> Package | None:
        """A module that can be imported as far as is known."""
        found = self.interpreter.packages.get(module)
        return found if found is not None and not found.error else None

    def to_dict(self) -> dict[str, str]:
        """Name and value, in the words of a report."""
        python = self.interpreter
        found = {
            "machine": self.jetson.get("jetson model") or python.architecture,
            **({"processor": self.processor} if self.processor else {}),
            "system": self.system or "unknown",
            **{name: value for name, value in self.jetson.items() if name != "jetson model"},
            "container": "yes" if self.container else "no",
            "memory": (f"{self.memory:.1f} GiB" if self.memory is not None else "unknown")
            + (f", swap {self.swap:.1f} GiB" if self.swap else ", no swap"),
            "disk": f"{self.free:.1f} GiB free here",
            "gpu": self._gpu(),
            "CUDA toolkit": {"": "none in /usr/local/cuda", "?": "of unknown version"}.get(
                self.cuda_toolkit, self.cuda_toolkit
            ),
            "mmn-edge": mmn_edge.__version__,
            "python": f"{python.python} ({python.environment})",
        }
        for module in DISTRIBUTIONS:
            found[module] = self._package(module)
        found["gst-launch-1.0"] = "here" if self.gst_launch else "not installed"
        found["cameras"] = "; ".join(
            f"{camera.device} {camera.name}".strip() + ("" if camera.allowed else " (not allowed)")
            for camera in self.cameras
        )
        found["cameras"] = found["cameras"] or "none"
        return found

    def _gpu(self) -> str:
        if self.device is not None:
            device = self.device
            return (
                f"{device.name}, compute capability {device.compute_capability}, driver {device.driver or 'unknown'}, "
                f"CUDA {device.cuda}"
            )
        if self.is_jetson:
            return "the Jetson's, which CUDA's driver does not show"
        return "NVIDIA, without a driver that answers" if self.nvidia_card or self.nvidia_driver else "no NVIDIA GPU"

    def _package(self, module: str) -> str:
        package = self.interpreter.packages.get(module)
        if package is None:
            return "not installed"
        if package.error:
            return f"{package.version} cannot be imported ({package.error})".strip()
        if module == "cv2":
            return f"{package.version} {'with' if 'GStreamer' in package.abilities else 'without'} GStreamer"
        return package.version + (f" ({', '.join(package.abilities)})" if package.abilities else "")


def collect(
    root: Path = ROOT,
    *,
    interpreter: Interpreter | None = None,
    device: Callable[[], CudaDevice | None] = cuda_device,
    allowed: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK),
    on_path: Callable[[str], bool] = lambda program: shutil.which(program) is not None,
    free_bytes: int | None = None,
) -> Facts:
    """Look at a machine.

    Args:
        root: Where its files are.
        interpreter: What its Python says; None asks this one.
        device: What asks its GPU.
        allowed: Whether the user may read and write a device.
        on_path: Whether a program is found by name.
        free_bytes: Of its disk; None asks for those of the current folder.
    """
    free = shutil.disk_usage(".").free if free_bytes is None else free_bytes
    meminfo = _lines(root / "proc/meminfo")
    memory = _kib(meminfo, "MemTotal")
    pci = [
        folder
        for folder in sorted((root / "sys/bus/pci/devices").glob("*"))
        if text(folder / "vendor") == NVIDIA and text(folder / "class").startswith(DISPLAY_CLASS)
    ]
    return Facts(
        interpreter=interpreter if interpreter is not None else this_interpreter(),
        device=device(),
        system=_value(root / "etc/os-release", "PRETTY_NAME", "="),
        processor=_value(root / "proc/cpuinfo", "model name", ":"),
        jetson=jetson.facts(root),
        power_modes=_power_modes(root),
        nvidia_card=bool(pci),
        nvidia_driver=(root / "proc/driver/nvidia/version").is_file(),
        container=(root / ".dockerenv").exists() or (root / "run/.containerenv").exists(),
        cuda_toolkit=_cuda_toolkit(root),
        nvcc_on_path=on_path("nvcc"),
        system_tensorrt=_system_tensorrt(root),
        gst_launch=on_path("gst-launch-1.0"),
        cameras=tuple(_cameras(root, allowed)),
        memory=memory / 2**20 if memory is not None else None,
        swap=(_kib(meminfo, "SwapTotal") or 0) / 2**20,
        free=free / 2**30,
    )


def this_interpreter(ask: Callable[[str], tuple[bool, str]] | None = None) -> Interpreter:
    """The Python that runs this.

    Args:
        ask: Runs Python code elsewhere; gives whether it went well, and what it printed or its last words.
    """
    ask = ask or _ask
    packages = {}
    for module, distributions in DISTRIBUTIONS.items():
        versions = {name: version for name in distributions if (version := _version(name)) is not None}
        if not versions and not _is_there(module):
            continue
        version, error, abilities = next(iter(versions.values()), ""), "", []
        if module in QUESTIONS:
            good, words = ask(QUESTIONS[module])
            if good:
                version, *abilities = words.split() or [version]
            else:
                error = words or "it crashes"
        packages[module] = Package(version, error, tuple(abilities), tuple(versions))
    return Interpreter(platform.python_version(), platform.machine(), _environment(), packages)


def _environment() -> str:
    config = Path(sys.prefix) / "pyvenv.cfg"
    if sys.prefix != sys.base_prefix and config.is_file():
        words = "".join(_lines(config)).replace(" ", "").lower()
        return "venv with system packages" if "include-system-site-packages=true" in words else "venv"
    return "conda" if (Path(sys.prefix) / "conda-meta").is_dir() else "system"


def _ask(code: str) -> tuple[bool, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS_TO_IMPORT,
        )
    except subprocess.TimeoutExpired:
        return False, f"it takes longer than {SECONDS_TO_IMPORT} s"
    if done.returncode == 0:
        return True, done.stdout.strip()
    if done.returncode < 0:
        return False, f"it crashes with signal {-done.returncode}"
    lines = done.stderr.strip().splitlines()
    return False, lines[-1][:300] if lines else ""


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_there(module: str) -> bool:
    top, _, below = module.partition(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if found is None or not below:
        return found is not None
    return any((Path(place) / below).is_dir() for place in found.submodule_search_locations or ())


def _value(path: Path, name: str, sign: str) -> str:
    """The first value of a name in a file of names and values."""
    for line in _lines(path):
        key, _, value = line.partition(sign)
        if key.strip() == name:
            return value.strip().strip("\"'")
    return ""


def _power_modes(root: Path) -> dict[int, str]:
    found = {}
    for line in _lines(root / "etc/nvpmodel.conf"):
        if match := re.match(r"\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", line):
            found[int(match[1])] = match[2]
    return found


def _cuda_toolkit(root: Path) -> str:
    folder = root / "usr/local/cuda"
    match = re.search(r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"([\d.]+)"', "\n".join(_lines(folder / "version.json")))
    if match:
        return match[1]
    for line in _lines(folder / "include/cuda.h"):
        if number := re.match(r"#define CUDA_VERSION (\d+)", line):
            return f"{int(number[1]) // 1000}.{int(number[1]) % 1000 // 10}"
    return "?" if (folder / "bin/nvcc").exists() else ""


def _system_tensorrt(root: Path) -> str:
    for folder in sorted((root / "usr/lib").glob("python3*/dist-packages/tensorrt")):
        name = folder.parent.parent.name.removeprefix("python")
        if name != "3":
            return name
        for binary in folder.glob("*.cpython-*.so"):
            if match := re.search(r"cpython-3(\d+)", binary.name):
                return f"3.{match[1]}"
    return ""


def _cameras(root: Path, allowed: Callable[[Path], bool]) -> list[Camera]:
    found = []
    for path in sorted((root / "dev").glob("video[0-9]*"), key=lambda path: int(re.sub(r"\D", "", path.name) or 0)):
        about = root / "sys/class/video4linux" / path.name
        if text(about / "index") not in ("", "0"):
            continue  # a webcam's second device gives metadata
        try:
            gid = path.stat().st_gid
        except OSError:
            continue
        try:
            group = grp.getgrgid(gid).gr_name
        except KeyError:
            group = str(gid)
        found.append(Camera(f"/dev/{path.name}", text(about / "name"), group, allowed(path)))
    return found


def _kib(meminfo: list[str], name: str) -> int | None:
    for line in meminfo:
        if match := re.match(rf"{name}:\s*(\d+) kB", line):
            return int(match[1])
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
