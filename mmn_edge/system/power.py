"""Power and energy by the machine's own sensors: a Jetson's INA3221, or RAPL of x86 processors.

INA3221: https://docs.kernel.org/hwmon/ina3221.html; RAPL: https://docs.kernel.org/power/powercap/powercap.html (since
Linux 5.10 for the administrator alone).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mmn_edge.system.conditions import ROOT, number, text

__all__ = ["Rapl", "rails", "rapl", "total_watts", "why_unreadable"]

WHOLE_BOARD = "VDD_IN"
"""The rail of Orin Nano and NX that feeds all others."""


@dataclass(frozen=True)
class Rapl:
    """An energy counter: microjoules of a processor package, which begin again at ``wraps``."""

    joules: float
    wraps: float

    def since(self, earlier: Rapl) -> float:
        """Joules since an earlier reading, less than one turn of the counter ago."""
        spent = self.joules - earlier.joules
        return spent if spent >= 0 else spent + self.wraps


def rails(root: Path = ROOT) -> dict[str, float]:
    """Watts of each rail that a Jetson's INA3221 sensors measure; empty where there are none or none may be read."""
    found: dict[str, float] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if text(folder / "name") != "ina3221":
            continue
        for label in sorted(folder.glob("in[0-9]*_label")):
            channel = label.name[2 : -len("_label")]
            volts, amperes = number(folder / f"in{channel}_input"), number(folder / f"curr{channel}_input")
            name = text(label)
            if volts is not None and amperes is not None and name and "sum of shunt" not in name:
                found[name] = volts * amperes / 1e6
    return found


def total_watts(rails: dict[str, float]) -> float | None:
    """The board's power: of the rail that feeds all others, or of all rails together."""
    return rails.get(WHOLE_BOARD, sum(rails.values())) if rails else None


def rapl(root: Path = ROOT) -> Rapl | None:
    """Energy of all packages; None where there is no RAPL or it may not be read."""
    joules, wraps = 0.0, 0.0
    folders = sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]"))
    for folder in folders:
        energy, most = number(folder / "energy_uj"), number(folder / "max_energy_range_uj")
        if energy is None or most is None:
            return None
        joules, wraps = joules + energy / 1e6, wraps + most / 1e6
    return Rapl(joules, wraps) if folders else None


def why_unreadable(root: Path = ROOT) -> str:
    """Why there are no figures of power, with what would change that."""
    counters = sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]/energy_uj"))
    if counters and not os.access(counters[0], os.R_OK):
        return f"power was not measured: {counters[0]} may be read by the administrator alone (sudo chmod a+r)"
    return "power was not measured: this machine shows no INA3221 sensor and no RAPL counter"
