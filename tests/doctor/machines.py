"""Machines for the rules, PUT TOGETHER from public logs and documents; none of them was recorded by us on a device.

Sources:
- JetPack 6.2, Orin NX / Nano Super: the release line ``R36 (release), REVISION: 4.3, GCID: 38968081 ... Jan  8 01:49:37
  UTC 2025`` and the power modes 15W, 25W, MAXN_SUPER, 7W as users print them in public repositories; versions (CUDA
  12.6, Python 3.10, TensorRT 10.3) from https://github.com/pytorch/TensorRT/pull/3453.
- JetPack 6.0: ``R36 (release), REVISION: 3.0``; CUDA 12.2 and TensorRT 8.6.2 by
  https://developer.nvidia.com/embedded/jetpack-sdk-60.
- JetPack 7: ``R38 (release), REVISION: 2.2, GCID: 42205042 ... Sep 25 22:47:11 UTC 2025`` of an AGX Thor developer kit
  in public repositories; CUDA 13.0.0 and L4T 38.2 by https://github.com/anduril/jetpack-nixos/pull/345; L4T 38.4 is
  JetPack 7.1 by https://github.com/rbonghi/jetson_stats/pull/792.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmn_edge.doctor.facts import Facts, Interpreter, Package, collect
from mmn_edge.system.tensorrt import CudaDevice

ORT = Package("1.23.2", abilities=("CPUExecutionProvider",), distributions=("onnxruntime",))
CAMERA = {"cv2": Package("4.11.0"), "mediapipe": Package("0.10.18")}

JETPACK_6_2 = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\x00",
    "etc/nv_tegra_release": (
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC "
        "2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n"
    ),
    "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\n',
    "etc/nvpmodel.conf": (
        "# < POWER_MODEL ID=id_num NAME=mode_name >\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
        "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< POWER_MODEL ID=3 NAME=7W >\n"
    ),
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "1020000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "proc/meminfo": "MemTotal:        7802584 kB\nMemFree:         5000000 kB\nSwapTotal:       8388604 kB\n",
    "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}',
    "usr/lib/python3.10/dist-packages/tensorrt/__init__.py": "",
    "dev/video0": "",
    "dev/video1": "",
    "sys/class/video4linux/video0/name": "HD Pro Webcam C920\n",
    "sys/class/video4linux/video0/index": "0\n",
    "sys/class/video4linux/video1/name": "HD Pro Webcam C920\n",
    "sys/class/video4linux/video1/index": "1\n",
}
JETPACK_6_0 = {
    **JETPACK_6_2,
    "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\x00",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 3.0, BOARD: generic, EABI: aarch64\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=MODE_15W >\n",
    "var/lib/nvpmodel/status": "pmode:0000\n",
    "proc/meminfo": "MemTotal:       64349004 kB\nSwapTotal:      32174500 kB\n",
    "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.2.20230823"}}',
}
JETPACK_7 = {
    **JETPACK_6_0,
    "proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\x00",
    "etc/nv_tegra_release": (
        "# R38 (release), REVISION: 2.2, GCID: 42205042, BOARD: generic, EABI: aarch64, DATE: Thu Sep 25 22:47:11 UTC "
        "2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n"
    ),
    "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=120W >\n",
    "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "13.0.0"}}',
    "usr/lib/python3.12/dist-packages/tensorrt/__init__.py": "",
}
del JETPACK_7["usr/lib/python3.10/dist-packages/tensorrt/__init__.py"]
X86 = {
    "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD Ryzen 7 7700X 8-Core Processor\n",
    "proc/meminfo": "MemTotal:       32000000 kB\nSwapTotal:             0 kB\n",
}
X86_GPU = {
    **X86,
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15\n",
    "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:01:00.0/class": "0x030000\n",
    "usr/local/cuda/bin/nvcc": "",
}

ORIN = CudaDevice("Orin", "8.7", "36.4.3", "12.6")
THOR = CudaDevice("NVIDIA Thor", "11.0", "580.00", "13.0")
RTX = CudaDevice("NVIDIA GeForce RTX 4070", "8.9", "570.86.15", "12.8")


def machine(
    root: Path,
    files: Mapping[str, str],
    packages: Mapping[str, Package],
    *,
    device: CudaDevice | None = None,
    python: str = "3.10.12",
    environment: str = "venv with system packages",
    allowed: bool = True,
    programs: tuple[str, ...] = ("gst-launch-1.0", "nvcc"),
    free: int = 50 << 30,
) -> Facts:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    architecture = "aarch64" if "etc/nv_tegra_release" in files else "x86_64"
    return collect(
        root,
        interpreter=Interpreter(python, architecture, environment, {"onnxruntime": ORT, **packages}),
        device=lambda: device,
        allowed=lambda path: allowed,
        on_path=lambda program: program in programs,
        free_bytes=free,
    )
