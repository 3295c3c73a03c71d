from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("train", "convert", "runtime")


def modules() -> dict[str, Path]:
    """Every module of the package by name, as it is installed."""
    files = [(path, path.relative_to(ROOT)) for path in (ROOT / "mmn_edge").rglob("*.py")]
    for stage in STAGES:
        files += [(path, "mmn_edge" / path.relative_to(ROOT)) for path in (ROOT / stage).rglob("*.py")]
    return {".".join(name.with_suffix("").parts).removesuffix(".__init__"): path for path, name in files}


def says_only_a_docstring(path: Path) -> bool:
    return all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def order(name: str) -> tuple[int, list[tuple[int, int | str]]]:
    """Ruff's order of ``__all__``: CONSTANTS, then Classes, then the rest, numbers by value."""
    group = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return group, [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


EXPORTING = [
    name
    for name, path in sorted(modules().items())
    if not name.endswith("__main__") and not says_only_a_docstring(path)
]


def test_the_tree_was_found() -> None:
    assert {"mmn_edge", "mmn_edge.cli", "mmn_edge.skeleton.preprocess", "mmn_edge.runtime.pose.pose"} <= set(EXPORTING)
    assert any(name.startswith("mmn_edge.train.") for name in EXPORTING)
    assert any(name.startswith("mmn_edge.convert.") for name in EXPORTING)


@pytest.mark.parametrize("name", EXPORTING)
def test_all_is_there_sorted_and_resolves(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "mmn_edge").startswith("mmn_edge"):
            raise
        pytest.skip(f"{name} needs {error.name}, which is not installed")
    exported = module.__all__
    assert exported == sorted(exported, key=order)
    assert len(set(exported)) == len(exported)
    assert [entry for entry in exported if not hasattr(module, entry)] == []
