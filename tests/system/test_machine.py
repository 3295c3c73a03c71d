from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from mmn_edge import __version__
from mmn_edge.system import machine


def test_a_report_says_what_was_measured_on() -> None:
    facts = machine.describe()
    assert {"machine", "cores", "memory", "system", "python", "numpy", "mmn-edge"} <= set(facts)
    assert all(facts.values())
    assert facts["python"] == platform.python_version()
    assert facts["mmn-edge"] == __version__
    assert facts["memory"].endswith(" GiB")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_cores_are_those_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.describe()["cores"] == "1"
    finally:
        os.sched_setaffinity(0, before)


def test_what_cannot_be_found_out_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, encoding: str | None = None) -> str:
        raise PermissionError(str(self))

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(platform, "processor", lambda: "")
    facts = machine.describe()
    assert facts["machine"] == platform.machine()
    assert not {"processor", "jetson", "clock governor"} & set(facts)


@pytest.mark.parametrize(
    ("lines", "native"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx2 amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu avx2 avx512f avx512vl\n", False),
        ("Features\t: fp asimd asimddp\n", False),
        ("", False),
    ],
)
def test_bfloat16_needs_instructions_of_its_own(lines: str, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, encoding=None: f"processor\t: 0\n{lines}")
    assert machine.computes_bfloat16() is native


@pytest.mark.parametrize(
    ("architecture", "flags", "saturates"),
    [
        ("x86_64", "fpu avx2", True),
        ("x86_64", "fpu avx2 avx512f avx512bw", True),
        ("x86_64", "fpu avx2 avx512f avx512_vnni", False),
        ("AMD64", "fpu avx2 avx_vnni", False),
        ("aarch64", "", False),
    ],
)
def test_8_bit_sums_need_vnni_on_x86_alone(
    architecture: str, flags: str, saturates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: architecture)
    monkeypatch.setattr(Path, "read_text", lambda self, encoding=None: f"flags\t\t: {flags}\n")
    assert machine.saturates_int8() is saturates
