"""TensorRT's Python module, whichever of the two is here, and the GPU that it would run on."""

from __future__ import annotations

import ctypes
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mmn_edge.errors import EngineError, MissingDependencyError, UsageError

__all__ = ["FLAVOURS", "CudaDevice", "DeviceFacts", "cuda_device", "device_facts", "is_jetson", "load_tensorrt"]

FLAVOURS = ("tensorrt", "tensorrt_rtx")
"""The Python modules that build and run engines: TensorRT (Jetson, data centre) and TensorRT for RTX (desktop)."""

OLDEST = {"tensorrt": (10, 3), "tensorrt_rtx": (1, 7)}
"""10.3 is JetPack 6's, and 8.6 before it had no strongly typed networks; TensorRT for RTX was tried at 1.7 only."""

HOW = {
    "tensorrt": 'JetPack brings it to a Jetson (apt install nvidia-jetpack); on x86: pip install "mmn-edge[tensorrt]"',
    "tensorrt_rtx": 'pip install "mmn-edge[tensorrt-rtx]"',
}

KERNEL_MODULE = Path("/proc/driver/nvidia/version")
L4T_RELEASE = Path("/etc/nv_tegra_release")
"""What JetPack installs on every Jetson."""

CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75
CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76


def load_tensorrt(flavour: str | None = None) -> ModuleType:
    """Import ``tensorrt`` or ``tensorrt_rtx``; its own name says which.

    For a type checker the module is ``tensorrt``, whose interface the other one repeats. Where a module has ``import
    tensorrt as trt`` under TYPE_CHECKING at its top, a function begins with::

        if not TYPE_CHECKING:
            trt = load_tensorrt(flavour)

    Args:
        flavour: One of :data:`FLAVOURS`; None takes the first that is installed.

    Raises:
        UsageError: No such flavour.
        MissingDependencyError: It is not installed, does not load, or is too old; the message says how to get it.
    """
    if flavour not in (None, *FLAVOURS):
        raise UsageError(f"unknown flavour {flavour!r}: choose one of {', '.join(FLAVOURS)}")
    reasons = []
    for name in FLAVOURS if flavour is None else (flavour,):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == name
            reasons.append("is not installed" if absent else f"cannot be imported ({error})")
            continue
        version = str(module.__version__)
        if _numbers(version) < OLDEST[name]:
            oldest = ".".join(map(str, OLDEST[name]))
            raise MissingDependencyError(f"{name} {version} is too old: {oldest} or later is needed; {HOW[name]}")
        return module
    first = flavour or FLAVOURS[0]
    raise MissingDependencyError(f"A TensorRT engine needs {first}, which {reasons[0]}: {HOW[first]}")


@dataclass(frozen=True)
class CudaDevice:
    """A GPU as the driver describes it.

    Attributes:
        name: Such as ``"Orin"``.
        compute_capability: Such as ``"8.7"``.
        driver: Version of the driver (on a Jetson without one, of L4T); ``""`` where unknown.
        cuda: The CUDA version that the driver offers, such as ``"12.6"``.
    """

    name: str
    compute_capability: str
    driver: str
    cuda: str


def cuda_device(index: int = 0) -> CudaDevice | None:
    """Describe a GPU, asking the driver (``libcuda``) and making no context; None where there is no GPU."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, version = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), index):
        return None
    name = ctypes.create_string_buffer(256)
    major, minor = ctypes.c_int(), ctypes.c_int()
    if (
        cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(major), CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(minor), CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device)
        or cuda.cuDriverGetVersion(ctypes.byref(version))
    ):
        return None
    return CudaDevice(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major.value}.{minor.value}",
        driver=_driver(),
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
    )


@dataclass(frozen=True)
class DeviceFacts:
    """The machine that an engine is to run on.

    Attributes:
        flavour: One of :data:`FLAVOURS`.
        tensorrt: Version of the module that is to load the engine.
        device: Name of the GPU.
        compute_capability: Such as ``"8.7"``.
        driver: Version of the GPU driver; ``""`` where unknown.
        cuda: CUDA version of the driver; ``""`` where unknown.
    """

    flavour: str
    tensorrt: str
    device: str
    compute_capability: str
    driver: str = ""
    cuda: str = ""


def device_facts(flavour: str, index: int = 0) -> DeviceFacts:
    """This machine, as :func:`mmn_edge.bundle.engine_record.check_engine` compares it with an engine.

    Raises:
        MissingDependencyError: TensorRT is not installed.
        EngineError: There is no GPU.
    """
    version = str(load_tensorrt(flavour).__version__)
    device = cuda_device(index)
    if device is None:
        raise EngineError("no NVIDIA GPU was found (libcuda.so.1 is missing, or sees no device)")
    return DeviceFacts(flavour, version, device.name, device.compute_capability, device.driver, device.cuda)


def is_jetson() -> bool:
    """Whether this machine runs JetPack."""
    return L4T_RELEASE.is_file()


def _driver() -> str:
    """The version of the kernel module; a Jetson without one has its L4T release."""
    for file, pattern in (
        (KERNEL_MODULE, r"Kernel Module.*?\s(\d+(?:\.\d+)+)"),
        (L4T_RELEASE, r"R(\d+).*?REVISION: ([\d.]+)"),
    ):
        try:
            found = re.search(pattern, file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return ".".join(found.groups())
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
