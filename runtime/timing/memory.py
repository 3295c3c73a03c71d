"""Memory that this process takes."""

from __future__ import annotations

import os
import shutil
import subprocess

__all__ = ["gpu_mebibytes", "peak_mebibytes"]

QUERY = ("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")


def peak_mebibytes() -> float | None:
    """The most that was resident at once since the process began; None where the system does not say it."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kibibytes on Linux


def gpu_mebibytes() -> float | None:
    """GPU memory of this process by ``nvidia-smi``; None without it, and on a Jetson, where it does not say."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        answer = subprocess.run([program, *QUERY], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_gpu_memory(answer, os.getpid())


def parse_gpu_memory(answer: str, process: int) -> float | None:
    """The mebibytes of a process in lines of ``pid, used``."""
    for line in answer.splitlines():
        pid, _, used = (part.strip() for part in line.partition(","))
        if pid == str(process):
            try:
                return float(used)
            except ValueError:
                return None
    return None
