"""What a machine is doing while something is timed: load, clocks, temperatures, throttling.

All of it is read from files, below a root that tests can put elsewhere; what a machine does not tell is None or empty.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Conditions", "busy_elsewhere", "number", "text", "throttled_between"]

ROOT = Path("/")

TICKS = 100
"""The kernel's USER_HZ, of ``/proc/stat``."""


@dataclass(frozen=True)
class Conditions:
    """A machine at one moment.

    Attributes:
        at: Monotonic seconds.
        load: The load average of the last minute.
        busy: Seconds that all cores together have worked since the machine started.
        own: Seconds of processor time that this process has taken.
        preempted: How often this process was put aside for another.
        cpu_mhz: Mean clock of the cores.
        gpu_mhz: Clock of a Jetson's GPU.
        temperatures: Degrees Celsius by the names of the thermal zones.
        throttles: How often, or how far, each of the machine's limits holds it back; by name.
    """

    at: float
    load: float | None = None
    busy: float | None = None
    own: float = 0.0
    preempted: int = 0
    cpu_mhz: float | None = None
    gpu_mhz: float | None = None
    temperatures: dict[str, float] = field(default_factory=dict)
    throttles: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path = ROOT) -> Conditions:
        """As they are now."""
        times = os.times()
        return cls(
            at=time.monotonic(),
            load=_load(root),
            busy=_busy(root),
            own=times.user + times.system,
            preempted=_preempted(),
            cpu_mhz=_cpu_mhz(root),
            gpu_mhz=_gpu_mhz(root),
            temperatures=_temperatures(root),
            throttles=_throttles(root),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def busy_elsewhere(before: Conditions, after: Conditions) -> float | None:
    """How many cores' worth other processes took between two moments; None where that cannot be read."""
    if before.busy is None or after.busy is None or after.at <= before.at:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return max(0.0, others / (after.at - before.at))


def throttled_between(before: Conditions, after: Conditions) -> list[str]:
    """The limits that held the machine back: counters that grew, and states that are not 0 at one of the moments."""
    found = []
    for name, value in after.throttles.items():
        earlier = before.throttles.get(name, 0)
        if value > earlier if name.endswith("_count") else max(value, earlier) > 0:
            found.append(name)
    return sorted(found)


def text(path: Path) -> str:
    """The first line of a small system file, empty where it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").replace("\x00", "").splitlines()
    except OSError:
        return ""
    return lines[0].strip() if lines else ""


def number(path: Path) -> float | None:
    """A small system file as a number, None where it is none."""
    try:
        return float(text(path))
    except ValueError:
        return None


def _load(root: Path) -> float | None:
    words = text(root / "proc/loadavg").split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None


def _busy(root: Path) -> float | None:
    """``cpu user nice system idle iowait irq softirq steal ...`` in ticks; waiting and idle are not work."""
    words = text(root / "proc/stat").split()
    if not words or words[0] != "cpu" or len(words) < 8:
        return None
    try:
        ticks = [int(word) for word in words[1:9]]
    except ValueError:
        return None
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS


def _preempted() -> int:
    try:
        import resource
    except ImportError:  # not on every system
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _cpu_mhz(root: Path) -> float | None:
    clocks = [
        clock / 1e3
        for path in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
        if (clock := number(path)) is not None
    ]
    if not clocks:
        try:
            lines = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return None
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "cpu MHz":
                try:
                    clocks.append(float(value))
                except ValueError:
                    return None
    return sum(clocks) / len(clocks) if clocks else None


def _gpu_mhz(root: Path) -> float | None:
    for folder in sorted((root / "sys/class/devfreq").glob("*gpu*")):
        if (clock := number(folder / "cur_freq")) is not None:
            return clock / 1e6
    return None


def _temperatures(root: Path) -> dict[str, float]:
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        degrees = number(zone / "temp")
        if degrees is not None and degrees > -100_000:  # a zone that is off says so with an absurd number
            found[text(zone / "type") or zone.name] = degrees / 1e3
    return found


def _throttles(root: Path) -> dict[str, int]:
    """Jetson: alerts of its cooling devices and over-current events; x86: counted core and package throttles."""
    found: dict[str, int] = {}
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        name = text(device / "type")
        if ("throttle" in name or "alert" in name) and (state := number(device / "cur_state")) is not None:
            found[name] = int(state)
    for path in sorted((root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt")):
        if (count := number(path)) is not None:
            found[f"over-current {path.name.split('_')[0]}_count"] = int(count)
    for kind in ("core", "package"):
        counts = (root / "sys/devices/system/cpu").glob(f"cpu[0-9]*/thermal_throttle/{kind}_throttle_count")
        numbers = [count for path in counts if (count := number(path)) is not None]
        if numbers:
            found[f"{kind}_throttle_count"] = int(sum(numbers))
    return found
