"""Proof 2: the code that calls TensorRT, against the interface of each version it is to work with.

The stubs are made here from NVIDIA's own bindings (``tools/tensorrt_stubs.py``). They know names and signatures: this
proves that every call exists and is given what it takes in 10.3, 10.13 and 11.4, not that it works.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

ROOT = Path(__file__).resolve().parents[1]
TYPING = ROOT / ".typing" / "mmn_edge"
VERSIONS = ("10.3.0", "10.13.3.9", "11.4.0.106")
STAND_IN = ROOT / "tests" / "runtime" / "stub_cuda" / "stand_in" / "tensorrt.py"
EXAMPLE = ROOT / "docs" / "examples" / "plain_tensorrt.py"
IMPORT = "import tensorrt as trt"

MISUSES = {
    'trt.Runtime(trt.Logger()).deserialize_engine(b"")': '"Runtime" has no attribute "deserialize_engine"',
    'CONTEXT.set_tensor_address("keypoints", "0x10")': 'Argument 2 to "set_tensor_address"',
    "CONTEXT.execute_async_v2(0)": '"IExecutionContext" has no attribute "execute_async_v2"',
    "trt.Logger.LOUD": "has no attribute",
    "CONTEXT.execute_async_v3(0).upper()": '"bool" has no attribute "upper"',
}
"""Wrong in every version."""

NOT_IN = {
    "trt.BuilderFlag.FP16": {"11.4.0.106"},
    "trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH": {"11.4.0.106"},
    "trt.Builder(trt.Logger()).platform_has_fast_fp16": {"11.4.0.106"},
    "trt.BuilderFlag.EDITABLE_TIMING_CACHE": {"10.3.0"},
    "trt.BuilderFlag.TF32": set(),
}
"""Right in some versions only."""

PLANTED = (
    ("runtime/backends/tensorrt/engine.py", "execute_async_v3", "execute_async_v2"),
    ("runtime/backends/tensorrt/engine.py", "def get_error_desc(self, index: SupportsInt)", "def get_error_desc(self)"),
    ("convert/tensorrt/engine.py", ".build_serialized_network(", ".build_engine("),
    ("convert/tensorrt/engine.py", ".parse_from_file(", ".parse_file("),
)
"""Modules of the project, what to spoil in them, and how: ``trt`` must not stand for ``Any`` there."""


@pytest.fixture(scope="module")
def stubs() -> dict[str, Path]:
    command = [sys.executable, str(ROOT / "tools" / "tensorrt_stubs.py")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode == 3:
        pytest.skip(f"PROOF 2 WAS NOT MADE: no stubs of TensorRT: {process.stderr.strip()}")
    assert process.returncode == 0, process.stderr
    return dict(zip(VERSIONS, map(Path, process.stdout.split()), strict=True))


@pytest.fixture(scope="module")
def checked(stubs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Version -> mypy's errors, for the project's modules, the example of the documentation and the misuses."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "misuse.py").write_text(misuse(), encoding="utf-8")
    names = stand_in_names()
    assert "trt.IExecutionContext.execute_async_v3" in names
    (folder / "stand_in.py").write_text("\n".join((IMPORT, *names, "")), encoding="utf-8")
    for number, (name, right, wrong) in enumerate(PLANTED):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert right in text
        (folder / f"planted{number}.py").write_text(text.replace(right, wrong), encoding="utf-8")
    cache = folder / "cache"
    if (ROOT / ".mypy_cache").is_dir():  # what is known of other packages saves a minute
        shutil.copytree(ROOT / ".mypy_cache", cache)
    files = [*modules(), EXAMPLE, *sorted(folder.glob("*.py"))]
    found = {}
    for version, path in stubs.items():
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
        command += ["--cache-dir", str(cache), "--no-pretty", "--no-color-output", *map(str, files)]
        env = {**os.environ, "MYPYPATH": str(path)}
        process = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert process.returncode == 1, process.stdout + process.stderr  # the misuses
        found[version] = [line for line in process.stdout.splitlines() if ": error: " in line]
    return found


def modules() -> list[Path]:
    """The project's modules that call TensorRT, by the paths that mypy knows the package by."""
    sources = [path for folder in ("mmn_edge", "train", "convert", "runtime") for path in (ROOT / folder).rglob("*.py")]
    found = [path.relative_to(ROOT) for path in sources if re.search(rf"^ +{IMPORT}$", path.read_text(), re.MULTILINE)]
    return sorted(TYPING / str(path).removeprefix("mmn_edge/") for path in found)


def misuse() -> str:
    lines = [IMPORT, "CONTEXT: trt.IExecutionContext", *MISUSES, *NOT_IN]
    return "".join(f"{line}\n" for line in lines)


def stand_in_names() -> list[str]:
    """What the stand-in for TensorRT of the runner's tests has: all of it must be TensorRT's."""
    found = []
    for node in ast.parse(STAND_IN.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            functions = [entry.name for entry in node.body if isinstance(entry, ast.FunctionDef)]
            constants = [entry.targets[0] for entry in node.body if isinstance(entry, ast.Assign)]
            members = functions + [target.id for target in constants if isinstance(target, ast.Name)]
            found += [f"trt.{node.name}.{member}" for member in members if member != "__init__"]
    return found


def errors_in(errors: list[str], file: str) -> dict[int, str]:
    """Line -> message, of the errors in one file."""
    found = (re.match(rf"(?:.*/)?{file}:(\d+): error: (.*)", error) for error in errors)
    return {int(match[1]): match[2] for match in found if match}


def test_the_modules_that_call_tensorrt_are_found() -> None:
    names = {path.relative_to(TYPING).as_posix() for path in modules()}
    assert {
        "runtime/backends/tensorrt/engine.py",
        "convert/tensorrt/engine.py",
        "convert/tensorrt/builder_log.py",
    } <= names
    assert not any(name.startswith("train/") for name in names)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_project_calls_what_is_there(checked: dict[str, list[str]], version: str) -> None:
    unplanted = [error for error in checked[version] if not re.search(r"(^|/)(misuse|planted\d+)\.py:", error)]
    assert not unplanted


@pytest.mark.parametrize("version", VERSIONS)
def test_misuse_is_flagged(checked: dict[str, list[str]], version: str) -> None:
    found = errors_in(checked[version], "misuse.py")
    lines = misuse().splitlines()
    for line, message in MISUSES.items():
        assert message in found.get(lines.index(line) + 1, ""), line
    for line, without in NOT_IN.items():
        name = line.rpartition(".")[2]
        message = found.get(lines.index(line) + 1)
        assert (f'has no attribute "{name}"' in (message or "")) if version in without else message is None, line


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("number", range(len(PLANTED)))
def test_misuse_in_the_projects_own_code_is_flagged(checked: dict[str, list[str]], version: str, number: int) -> None:
    name, right, wrong = PLANTED[number]
    text = (ROOT / name).read_text(encoding="utf-8").replace(right, wrong)
    lines = {index for index, line in enumerate(text.splitlines(), 1) if wrong in line}
    assert lines & set(errors_in(checked[version], f"planted{number}.py"))
