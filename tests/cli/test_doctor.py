from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from mmn_edge.cli.doctor import doctor
from mmn_edge.doctor import facts, rules
from mmn_edge.doctor.facts import Interpreter, Package
from mmn_edge.errors import GateError, UsageError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python with ONNX Runtime alone, so that the answer does not hang on what is installed here."""
    package = Package("1.23.2", abilities=("CPUExecutionProvider",), distributions=("onnxruntime",))
    monkeypatch.setattr(
        facts, "this_interpreter", lambda: Interpreter("3.11.7", "x86_64", "venv", {"onnxruntime": package})
    )
    monkeypatch.setattr(rules, "RULES", (rules._python, rules._onnxruntime))


def test_text_and_json_say_the_same(small_bundle: Path) -> None:
    text = CliRunner().invoke(doctor, ["--model", str(small_bundle)], catch_exceptions=False)
    assert text.exit_code == 0
    assert "1.23.2 (CPUExecutionProvider)" in text.output
    assert "no problem found" in text.output
    found = json.loads(CliRunner().invoke(doctor, ["--json"], catch_exceptions=False).stdout)
    assert found["ok"] is True
    assert found["machine"]["python"] == "3.11.7 (venv)"
    assert found["findings"] == []


def test_an_error_is_exit_code_10(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "this_interpreter", lambda: Interpreter("3.11.7", "x86_64", "venv"))
    result = CliRunner().invoke(doctor, ["--json"])
    assert isinstance(result.exception, GateError)
    assert result.exception.exit_code == 10
    (finding,) = json.loads(result.stdout)["findings"]
    assert finding["mend"] == "pip install onnxruntime"


def test_the_archive_holds_the_result_and_no_serial_number(tmp_path: Path) -> None:
    path = tmp_path / "doctor.zip"
    CliRunner().invoke(doctor, ["--archive", str(path)], catch_exceptions=False)
    with zipfile.ZipFile(path) as pack:
        assert json.loads(pack.read("doctor.json"))["schema_version"] == 1
        assert "proc/meminfo" in pack.namelist()
        assert not any(line.lower().startswith(b"serial") for line in pack.read("proc/cpuinfo").splitlines())


def test_the_archive_is_a_zip_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"end it in \.zip"):
        CliRunner().invoke(doctor, ["--archive", str(tmp_path / "doctor.txt")], catch_exceptions=False)
