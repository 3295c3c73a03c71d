from __future__ import annotations

import importlib
import inspect
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "python.md"
PACKAGES = ("mmn_edge", "mmn_edge.runtime", "mmn_edge.convert", "mmn_edge.train")

NAMES = [(package, name) for package in PACKAGES for name in importlib.import_module(package).__all__]
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize(("package", "name"), [entry for entry in NAMES if entry[1] != "__version__"])
def test_a_public_name_is_there_documented_and_has_a_short_example(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    assert inspect.getdoc(value)
    assert f"::: {value.__module__}.{value.__qualname__}" in PAGE.read_text(encoding="utf-8")
    uses = [text for text in EXAMPLES if re.search(rf"from {package} import .*\b{name}\b", text)]
    assert uses or any(re.search(rf"\b{name}\b", text) for text in EXAMPLES)
    assert all(len(text.splitlines()) <= 12 for text in uses)


def test_an_unknown_name_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'mmn_edge' has no attribute 'nothing'"):
        importlib.import_module("mmn_edge").nothing  # noqa: B018


def test_importing_the_package_costs_nothing() -> None:
    script = "import sys, mmn_edge, mmn_edge.runtime, mmn_edge.convert; print('numpy' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout == "False\n"


def test_the_examples_run(tmp_path: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(small_bundle, tmp_path / "demo.bundle")
    shutil.copy(str(resources.files("mmn_edge") / "data" / "demo.pt"), tmp_path / "demo.pt")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, text in enumerate(EXAMPLES):
        exec(compile(text, f"example {number} of {PAGE.name}", "exec"), names)
