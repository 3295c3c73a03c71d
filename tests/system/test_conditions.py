"""The trees are put together after the kernel's and NVIDIA's documentation; none was recorded on a device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmn_edge.system import jetson, power
from mmn_edge.system.conditions import Conditions, busy_elsewhere, throttled_between
from mmn_edge.system.power import Rapl

ORIN = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\x00",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1728000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1728000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "1020000000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "51250\n",
    "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "-256000\n",
    "sys/class/thermal/cooling_device0/type": "cpu-throttle-alert\n",
    "sys/class/thermal/cooling_device0/cur_state": "0\n",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "4\n",
    "sys/class/hwmon/hwmon1/name": "ina3221\n",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
    "sys/class/hwmon/hwmon1/in1_input": "5056\n",
    "sys/class/hwmon/hwmon1/curr1_input": "1400\n",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
    "sys/class/hwmon/hwmon1/in2_input": "5056\n",
    "sys/class/hwmon/hwmon1/curr2_input": "500\n",
    "sys/class/hwmon/hwmon1/in7_label": "sum of shunt voltages\n",
    "proc/loadavg": "1.25 0.9 0.5 2/300 4242\n",
    "proc/stat": "cpu  100 0 50 1000 10 0 5 0 0 0\ncpu0 100 0 50 1000 10 0 5 0 0 0\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_jetson_tells_what_it_is(tmp_path: Path) -> None:
    assert jetson.facts(tree(tmp_path, ORIN)) == {
        "jetson model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        "L4T": "36.4.3",
        "JetPack": "6.2 (by its L4T)",
        "power mode": "MAXN_SUPER (2)",
        "clocks": "free (no jetson_clocks)",
    }
    fixed = {
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "1728000",
        "sys/class/devfreq/17000000.gpu/min_freq": "1020000000",
        "var/lib/dpkg/status": "Package: a\nVersion: 1\n\nPackage: nvidia-jetpack\nVersion: 6.2.1+b38\n\n",
    }
    facts = jetson.facts(tree(tmp_path, fixed))
    assert facts["clocks"] == "fixed (jetson_clocks)"
    assert facts["JetPack"] == "6.2.1"


def test_other_machines_are_no_jetson(tmp_path: Path) -> None:
    assert jetson.facts(tmp_path) == {}
    assert power.rails(tmp_path) == {}
    assert power.total_watts({}) is None
    assert power.rapl(tmp_path) is None
    empty = Conditions.read(tmp_path)
    assert (empty.load, empty.busy, empty.cpu_mhz, empty.gpu_mhz) == (None, None, None, None)
    assert busy_elsewhere(empty, empty) is None


def test_conditions(tmp_path: Path) -> None:
    before = Conditions.read(tree(tmp_path, ORIN))
    assert (before.load, before.busy, before.cpu_mhz, before.gpu_mhz) == (1.25, 1.55, 1728, 1020)
    assert before.temperatures == {"cpu-thermal": 51.25}  # a zone that is off says -256
    assert before.throttles == {"cpu-throttle-alert": 0, "over-current oc1_count": 4}
    assert throttled_between(before, before) == []
    hot = {
        "sys/class/thermal/cooling_device0/cur_state": "2",
        "sys/class/hwmon/hwmon3/oc1_event_cnt": "5",
    }
    after = Conditions.read(tree(tmp_path, hot))
    assert throttled_between(before, after) == ["cpu-throttle-alert", "over-current oc1_count"]


def test_what_others_took() -> None:
    before = Conditions(at=10.0, busy=100.0, own=5.0)
    after = replace(before, at=20.0, busy=118.0, own=13.0)
    assert busy_elsewhere(before, after) == pytest.approx(1.0)
    assert busy_elsewhere(before, replace(after, busy=101.0)) == 0


def test_this_machine() -> None:
    here = Conditions.read()
    assert here.busy is None or here.busy > 0
    assert here.own > 0


def test_power(tmp_path: Path) -> None:
    rails = power.rails(tree(tmp_path, ORIN))
    assert rails == {"VDD_IN": pytest.approx(7.0784), "VDD_CPU_GPU_CV": pytest.approx(2.528)}
    assert power.total_watts(rails) == pytest.approx(7.0784)
    assert power.total_watts({"a": 1.0, "b": 2.0}) == 3
    files = {"energy_uj": "5000000", "max_energy_range_uj": "262143328850"}
    tree(tmp_path / "sys/class/powercap/intel-rapl:0", files)
    tree(tmp_path / "sys/class/powercap/intel-rapl:0/intel-rapl:0:0", files)  # part of the package
    found = power.rapl(tmp_path)
    assert found is not None
    assert found.joules == 5
    assert Rapl(7.0, 100.0).since(Rapl(5.0, 100.0)) == 2
    assert Rapl(1.0, 100.0).since(Rapl(99.0, 100.0)) == 2  # it began again
    assert "no INA3221" in power.why_unreadable(tmp_path / "nowhere")
