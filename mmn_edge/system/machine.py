"""What machine this is, in the words a latency report needs."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np

import mmn_edge

__all__ = ["computes_bfloat16", "describe", "saturates_int8"]


def describe() -> dict[str, str]:
    """Processor, cores, memory, system and versions; what cannot be found out is left out."""
    facts = {
        "machine": _first_line(Path("/proc/device-tree/model")) or platform.machine(),
        "processor": _cpuinfo("model name") or platform.processor(),
        "cores": str(_usable_cores()),
        "memory": _memory(),
        "clock governor": _first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "jetson": _first_line(Path("/etc/nv_tegra_release")),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "mmn-edge": mmn_edge.__version__,
    }
    return {name: fact for name, fact in facts.items() if fact}


def computes_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 products: AVX-512 BF16, AMX, or Arm's BF16."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(f"{_cpuinfo('flags')} {_cpuinfo('Features')}".split())


def saturates_int8() -> bool:
    """Whether fast sums of 8-bit products overflow here: on x86 without VNNI, where 16 bits take two products.

    https://docs.openvino.ai/latest/pot_saturation_issue.html
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and {"avx512_vnni", "avx_vnni"}.isdisjoint(_cpuinfo("flags").split())


def _usable_cores() -> int:
    """Cores that this process may run on; a container or taskset can allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> str:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return ""
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"


def _cpuinfo(field: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == field), "")


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\x00\n").splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
