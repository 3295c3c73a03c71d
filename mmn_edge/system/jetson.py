"""What a Jetson says of itself in files: model, L4T and JetPack, power mode, whether its clocks are fixed.

Sources: the Jetson Linux developer guide (``nvpmodel``, ``jetson_clocks``) and its archive of releases,
https://developer.nvidia.com/embedded/jetpack-archive.
"""

from __future__ import annotations

import re
from pathlib import Path

from mmn_edge.system.conditions import ROOT, number, text

__all__ = ["facts", "is_jetson"]

JETPACKS = {
    "35.1": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5": "5.1.3",
    "35.6": "5.1.4",
    "36.2": "6.0 DP",
    "36.3": "6.0",
    "36.4": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "38.2": "7.0",
    "38.2.1": "7.0",
    "38.2.2": "7.0",
    "38.4": "7.1",
    "39.2": "7.2",
    "39.2.1": "7.2.1",
}
"""L4T release -> JetPack, where the package ``nvidia-jetpack`` is not installed to say it."""

MAX_STATUS_BYTES = 64 << 20


def is_jetson(root: Path = ROOT) -> bool:
    """Whether this is a Jetson: it has NVIDIA's release file, or its device tree says so."""
    model = text(root / "proc/device-tree/model")
    return (root / "etc/nv_tegra_release").is_file() or "Jetson" in model


def facts(root: Path = ROOT) -> dict[str, str]:
    """Name and value of what is known; empty on other machines."""
    if not is_jetson(root):
        return {}
    found = {
        "jetson model": text(root / "proc/device-tree/model"),
        "L4T": _l4t(root),
        "JetPack": _jetpack(root),
        "power mode": _power_mode(root),
        "clocks": _clocks(root),
    }
    return {name: value for name, value in found.items() if value}


def _l4t(root: Path) -> str:
    """``# R36 (release), REVISION: 4.3, GCID: ...`` as ``36.4.3``."""
    match = re.match(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text(root / "etc/nv_tegra_release"))
    return f"{match[1]}.{match[2]}" if match else ""


def _jetpack(root: Path) -> str:
    status = root / "var/lib/dpkg/status"
    try:
        if status.stat().st_size <= MAX_STATUS_BYTES:
            packages = status.read_text(encoding="utf-8", errors="replace").split("\n\n")
            for package in packages:
                if package.lstrip().startswith("Package: nvidia-jetpack\n"):
                    match = re.search(r"^Version: (\S+)", package, re.MULTILINE)
                    if match:
                        return match[1].partition("+")[0]
    except OSError:
        pass
    l4t = _l4t(root)
    known = JETPACKS.get(l4t) or JETPACKS.get(l4t.removesuffix(".0"))
    return f"{known} (by its L4T)" if known else ""


def _power_mode(root: Path) -> str:
    """``nvpmodel`` keeps the mode's number in one file and the names in another."""
    match = re.search(r"pmode:(\d+)", text(root / "var/lib/nvpmodel/status"))
    if not match:
        return ""
    mode = int(match[1])
    try:
        conf = (root / "etc/nvpmodel.conf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        conf = ""
    name = re.search(rf"<\s*POWER_MODEL\s+ID={mode}\s+NAME=(\S+)\s*>", conf)
    return f"{name[1]} ({mode})" if name else str(mode)


def _clocks(root: Path) -> str:
    """Whether ``jetson_clocks`` holds the clocks: the smallest allowed one is the largest."""
    pairs = [
        (number(folder / f"{prefix}min_freq"), number(folder / f"{prefix}max_freq"))
        for place, pattern, prefix in (
            ("sys/devices/system/cpu", "cpu[0-9]*/cpufreq", "scaling_"),
            ("sys/class/devfreq", "*gpu*", ""),
        )
        for folder in (root / place).glob(pattern)
    ]
    known = [(low, high) for low, high in pairs if low is not None and high is not None]
    if not known:
        return ""
    return "fixed (jetson_clocks)" if all(low == high for low, high in known) else "free (no jetson_clocks)"
