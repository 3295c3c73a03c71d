"""What can be wrong with a machine: one small function a rule, each problem with the command that mends it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import misfits, rebuild_command
from mmn_edge.doctor.facts import Facts
from mmn_edge.system.extras import HALF_SCALES_FROM
from mmn_edge.system.tensorrt import FLAVOURS, OLDEST, DeviceFacts

__all__ = ["ERROR", "HINT", "RULES", "Finding", "examine"]

ERROR = "error"
"""Something that is meant to work here does not."""
HINT = "hint"
"""It works, and could work better."""

NEWEST_POSE_PYTHON = (3, 12)
"""MediaPipe 0.10.21 and, on aarch64, 0.10.18 have no wheels for later ones."""

ENGINE_MEMORY_GIB = 10.0
"""Memory and swap together below which an engine's build may be killed: a Jetson of 8 GB without swap."""

MAX_NAMES = ("MAXN_SUPER", "MAXN")


@dataclass(frozen=True)
class Finding:
    """A problem.

    Attributes:
        level: :data:`ERROR` or :data:`HINT`.
        subject: What it is about, such as ``TensorRT``.
        problem: A sentence.
        mend: The command that mends it.
    """

    level: str
    subject: str
    problem: str
    mend: str

    def to_dict(self) -> dict[str, str]:
        """As JSON-ready values."""
        return asdict(self)


def examine(facts: Facts, bundle: Bundle | None = None) -> list[Finding]:
    """All problems of a machine, errors first; with a bundle also those that keep it from running there."""
    found = [finding for rule in RULES for finding in rule(facts)]
    if bundle is not None:
        found += list(_bundle(facts, bundle))
    return sorted(found, key=lambda finding: finding.level != ERROR)


def _python(facts: Facts) -> Iterator[Finding]:
    if _numbers(facts.interpreter.python)[:2] > NEWEST_POSE_PYTHON and "mediapipe" not in facts.interpreter.packages:
        newest = ".".join(map(str, NEWEST_POSE_PYTHON))
        yield Finding(
            HINT,
            "Python",
            f"MediaPipe, which finds skeletons in images, has no wheel for Python {facts.interpreter.python}",
            f'python{newest} -m venv ~/mmn && ~/mmn/bin/pip install "mmn-edge[camera]"',
        )


def _onnxruntime(facts: Facts) -> Iterator[Finding]:
    package = facts.interpreter.packages.get("onnxruntime")
    if package is None:
        yield Finding(ERROR, "ONNX Runtime", "it is not installed", "pip install onnxruntime")
    elif len(package.distributions) > 1:
        names = " ".join(package.distributions)
        keep = package.distributions[-1]
        yield Finding(
            ERROR if package.error else HINT,
            "ONNX Runtime",
            f"{' and '.join(package.distributions)} are installed and overwrite each other",
            f"pip uninstall -y {names} && pip install {keep}",
        )
    elif package.error:
        yield Finding(
            ERROR,
            "ONNX Runtime",
            f"it cannot be imported ({package.error})",
            f"pip install --force-reinstall {next(iter(package.distributions), 'onnxruntime')}",
        )


def _gpu(facts: Facts) -> Iterator[Finding]:
    if facts.device is not None:
        return
    if facts.is_jetson:
        if facts.container:
            yield Finding(ERROR, "GPU", "this container does not see it", "docker run --runtime nvidia IMAGE")
        else:
            yield Finding(
                ERROR, "GPU", "CUDA's driver does not answer", "sudo apt-get install --reinstall nvidia-l4t-cuda"
            )
    elif facts.nvidia_driver and facts.container:
        yield Finding(
            HINT, "GPU", "this container does not see the machine's NVIDIA GPU", "docker run --gpus all IMAGE"
        )
    elif facts.nvidia_driver:
        yield Finding(HINT, "GPU", "the NVIDIA driver is loaded, but libcuda.so.1 does not answer", "sudo reboot")
    elif facts.nvidia_card and not facts.container:
        yield Finding(
            HINT, "GPU", "there is an NVIDIA card, and no driver for it", "sudo ubuntu-drivers install && sudo reboot"
        )


def _tensorrt(facts: Facts) -> Iterator[Finding]:
    """A Jetson's comes with JetPack, for the system's Python; elsewhere pip brings it."""
    packages, python = facts.interpreter.packages, facts.interpreter
    broken = [(name, packages[name].error) for name in FLAVOURS if name in packages and packages[name].error]
    present = [name for name in FLAVOURS if facts.package(name)]
    for name in present:
        version = packages[name].version
        if _numbers(version) < OLDEST[name]:
            oldest = ".".join(map(str, OLDEST[name]))
            yield Finding(
                ERROR,
                "TensorRT",
                f"{name} {version} is too old: {oldest} or later is needed",
                _newer_jetpack(facts) if facts.is_jetson else f'pip install "mmn-edge[{name.replace("_", "-")}]"',
            )
    if facts.is_jetson and "tensorrt" not in present:
        mine = ".".join(python.python.split(".")[:2])
        install = 'pip install ".[jetson]"'
        if not facts.system_tensorrt:
            yield Finding(
                ERROR, "TensorRT", "JetPack's packages are not installed", "sudo apt-get install nvidia-jetpack"
            )
        elif facts.system_tensorrt != mine or python.environment in ("venv", "conda"):
            other = facts.system_tensorrt != mine
            why = (
                f"JetPack's module is for Python {facts.system_tensorrt}, and this is {mine}"
                if other
                else f"JetPack's module is installed, and this environment ({python.environment}) cannot see it"
            )
            yield Finding(
                ERROR,
                "TensorRT",
                why,
                f"/usr/bin/python{facts.system_tensorrt} -m venv --clear --system-site-packages ~/mmn && "
                f". ~/mmn/bin/activate && {install}",
            )
        else:
            reason = dict(broken).get("tensorrt", "is not found")
            yield Finding(
                ERROR,
                "TensorRT",
                f"JetPack's module is installed, and cannot be imported ({reason})",
                "sudo apt-get install --reinstall python3-libnvinfer libnvinfer10",
            )
    elif broken:
        for name, reason in broken:
            level = ERROR if facts.device is not None and not present else HINT
            extra = name.replace("_", "-")
            yield Finding(
                level, "TensorRT", f"{name} cannot be imported ({reason})", f'pip install --force-reinstall "{extra}"'
            )
    elif facts.device is not None and not present:
        yield Finding(HINT, "TensorRT", "this GPU could run engines", 'pip install "mmn-edge[tensorrt]" pycuda')


def _pycuda(facts: Facts) -> Iterator[Finding]:
    if not any(facts.package(name) for name in FLAVOURS) or facts.device is None:
        return
    package = facts.interpreter.packages.get("pycuda")
    if package is not None and not package.error:
        return
    path = "" if facts.nvcc_on_path else "PATH=/usr/local/cuda/bin:$PATH "
    if not facts.cuda_toolkit and not facts.nvcc_on_path:
        need = "sudo apt-get install nvidia-cuda-dev" if facts.is_jetson else "sudo apt-get install nvidia-cuda-toolkit"
        path = f"{need} && " + (path if facts.is_jetson else "")
    if package is None:
        yield Finding(ERROR, "PyCUDA", "engines need it, and it is not installed", f"{path}pip install pycuda")
    else:
        yield Finding(
            ERROR,
            "PyCUDA",
            f"it cannot be imported ({package.error})",
            f"{path}pip install --force-reinstall --no-cache-dir --no-binary pycuda pycuda",
        )


def _cameras(facts: Facts) -> Iterator[Finding]:
    shut = [camera for camera in facts.cameras if not camera.allowed]
    if shut and facts.container:
        devices = " ".join(f"--device {camera.device}" for camera in shut)
        yield Finding(
            ERROR,
            "camera",
            f"this container may not open {', '.join(camera.device for camera in shut)}",
            f"docker run {devices} --group-add {shut[0].group} IMAGE",
        )
    elif shut:
        for group in sorted({camera.group for camera in shut}):
            names = ", ".join(camera.device for camera in shut if camera.group == group)
            mend = f'sudo usermod -aG {group} "$USER"  # then log out and in again'
            if group == "root":
                mend = f"sudo chgrp video {names.replace(',', '')} && sudo chmod g+rw {names.replace(',', '')}"
            yield Finding(ERROR, "camera", f"you may not open {names}, which belongs to the group {group}", mend)
    opencv = facts.interpreter.packages.get("cv2")
    if opencv is not None and opencv.error:
        mend = "pip install --force-reinstall opencv-python-headless"
        if "libGL" in opencv.error:
            mend = "sudo apt-get install libgl1 libglib2.0-0"
        yield Finding(ERROR, "OpenCV", f"it cannot be imported ({opencv.error})", mend)
    if facts.cameras and "mediapipe" not in facts.interpreter.packages:
        yield Finding(
            HINT, "camera", "MediaPipe, which finds skeletons in images, is not installed",
            'pip install "mmn-edge[camera]"',
        )  # fmt: skip
    if facts.is_jetson and not facts.gst_launch:
        yield Finding(
            HINT,
            "GStreamer",
            "CSI cameras are read by gst-launch-1.0, which is not installed",
            "sudo apt-get install gstreamer1.0-tools",
        )


def _power(facts: Facts) -> Iterator[Finding]:
    if not facts.is_jetson:
        return
    best = next(((key, name) for most in MAX_NAMES for key, name in facts.power_modes.items() if name == most), None)
    now = re.search(r"(\d+)\)?$", facts.jetson.get("power mode", ""))
    if best is not None and now is not None and int(now[1]) != best[0]:
        yield Finding(
            HINT,
            "power",
            f"the power mode is {facts.jetson['power mode']}, and {best[1]} is the fastest",
            f"sudo nvpmodel -m {best[0]}",
        )
    if facts.jetson.get("clocks", "").startswith("free"):
        yield Finding(HINT, "power", "the clocks move with the load; fix them before you measure", "sudo jetson_clocks")


def _memory(facts: Facts) -> Iterator[Finding]:
    if facts.is_jetson and facts.memory is not None and facts.memory + facts.swap < ENGINE_MEMORY_GIB:
        yield Finding(
            HINT,
            "memory",
            f"{facts.memory:.1f} GiB and {facts.swap:.1f} GiB of swap may be too little to build engines",
            "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && "
            "sudo swapon /swapfile",
        )


def _disk(facts: Facts) -> Iterator[Finding]:
    if facts.free < 1.0:
        yield Finding(
            ERROR if facts.free < 0.1 else HINT,
            "disk",
            f"{facts.free * 1024:.0f} MiB are free here, and an installation, a bundle and its engines may need 1 GiB",
            "sudo apt-get clean && pip cache purge",
        )


RULES: Sequence[Callable[[Facts], Iterator[Finding]]] = (
    _python,
    _onnxruntime,
    _gpu,
    _tensorrt,
    _pycuda,
    _cameras,
    _power,
    _memory,
    _disk,
)
"""All rules that need no bundle."""


def _bundle(facts: Facts, bundle: Bundle) -> Iterator[Finding]:
    """What keeps a bundle's models and engines from running here."""
    onnxruntime = facts.package("onnxruntime")
    if (
        bundle.default_precision == "int8-fp16"
        and onnxruntime is not None
        and _numbers(onnxruntime.version)[:2] < HALF_SCALES_FROM
    ):
        oldest = ".".join(map(str, HALF_SCALES_FROM))
        yield Finding(
            HINT if facts.device is not None and bundle.manifest.engines else ERROR,
            "bundle",
            f"ONNX Runtime {onnxruntime.version} computes its int8-fp16 model wrongly",
            f'pip install "onnxruntime>={oldest}"',
        )
    if facts.device is None:
        return
    usable = {name: facts.package(name) for name in FLAVOURS}
    for record in bundle.manifest.engines:
        package = usable.get(record.flavour)
        if package is None:
            continue
        device = facts.device
        here = DeviceFacts(
            record.flavour, package.version, device.name, device.compute_capability, device.driver, device.cuda
        )
        if wrong := misfits(record, here, bundle.model_sha256(record.precision)):
            mend = rebuild_command(bundle.path, record.precision)
            yield Finding(ERROR, "bundle", f"{record.file} does not fit this machine: {'; '.join(wrong)}", mend)
    if any(usable.values()) and not bundle.manifest.engines:
        mend = f"mmn-edge convert {shlex.quote(str(Path(bundle.path)))} --engine"
        yield Finding(HINT, "bundle", "it has no engine, so TensorRT is not used", mend)


def _newer_jetpack(facts: Facts) -> str:
    """NVIDIA's way to upgrade JetPack 6.0 in place: the package source of the next release; older ones are flashed."""
    if facts.jetson.get("L4T", "").startswith("36."):
        source = "/etc/apt/sources.list.d/nvidia-l4t-apt-source.list"
        return (
            f"sudo sed -i 's/r36\\.[0-9]/r36.4/' {source} && sudo apt-get update && sudo apt-get dist-upgrade && "
            "sudo apt-get install nvidia-jetpack && sudo reboot"
        )
    return "sdkmanager  # on another computer: flash JetPack 6.1 or later"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
