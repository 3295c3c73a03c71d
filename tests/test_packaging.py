from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("train", "convert", "runtime")
SOURCES = ("mmn_edge", *STAGES, "pyproject.toml", "LICENSE", "README.md")

FROM_THE_VENDOR = {"tensorrt", "jetson"}
"""Extras that neither development nor CI nor the demo installs: they need NVIDIA's hardware."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def sources(root: Path) -> Iterator[Path]:
    """What belongs to the package in a tree of sources: modules and data."""
    for folder in ("mmn_edge", *STAGES):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root)


def installed(path: Path) -> str:
    """Where a source ends up in the installed package."""
    return (Path("mmn_edge") / path if path.parts[0] in STAGES else path).as_posix()


def test_the_listed_packages_are_those_in_the_tree(project: dict[str, Any]) -> None:
    setuptools = project["tool"]["setuptools"]
    found = set()
    for package, folder in setuptools["package-dir"].items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join((package, *init.parent.relative_to(ROOT / folder).parts)))
    assert set(setuptools["packages"]) == found
    assert len(setuptools["packages"]) == len(found)


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {ROOT / path.parent for path in sources(ROOT) if path.suffix == ".py"}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_mirror_for_the_type_checker_holds_the_whole_package() -> None:
    mirror = ROOT / ".typing" / "mmn_edge"
    expected = {path for path in (ROOT / "mmn_edge").iterdir() if path.name != "__pycache__"}
    expected |= {ROOT / stage for stage in STAGES}
    entries = [path for path in mirror.iterdir() if path.name not in ("__pycache__", ".mypy_cache")]
    assert all(path.is_symlink() for path in entries)
    assert all(not path.readlink().is_absolute() for path in entries)
    assert {path.name: path.resolve() for path in entries} == {path.name: path for path in expected}


def pins(environment: dict[str, str]) -> dict[str, str]:
    """The versions that constraints.txt gives in an environment."""
    found: dict[str, str] = {}
    for text in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not text or text.startswith("#"):
            continue
        pin = Requirement(text)
        name = normal(pin.name)
        if pin.marker is None or pin.marker.evaluate(environment):
            assert name not in found, f"{name} is pinned twice"
            match = re.fullmatch(r"==([^*,]+)", str(pin.specifier))
            assert match, f"{text} is no pin"
            found[name] = match[1]
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_the_constraints_pin_every_direct_dependency_within_its_range(project: dict[str, Any], python: str) -> None:
    environment = {key: str(value) for key, value in default_environment().items()}
    environment |= {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": "x86_64"}
    pinned = pins(environment)
    extras = project["project"]["optional-dependencies"]
    assert set(extras) >= FROM_THE_VENDOR
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted += [text for extra, texts in extras.items() if extra not in FROM_THE_VENDOR for text in texts]
    checked = 0
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        name = normal(requirement.name)
        if name == "mmn-edge":
            assert requirement.extras <= set(extras)
            continue
        assert name in pinned, f"{name} is not pinned"
        assert requirement.specifier.contains(pinned[name]), f"{requirement}, pinned to {pinned[name]}"
        checked += 1
    assert checked > 10


def build(tree: Path, target: Path, kind: str) -> Path:
    """Build a wheel or an sdist as a user would, with what is installed here."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(target), str(tree)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    (path,) = target.iterdir()
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources alone, so that nothing is written into the checkout and nothing strays into the build."""
    target = tmp_path_factory.mktemp("tree")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheels(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel from the tree, and one from an sdist of the tree."""
    folder = tmp_path_factory.mktemp("built")
    sdist = build(tree, folder / "sdist", "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    assert list(sources(unpacked)) == list(sources(tree))
    return {"tree": build(tree, folder / "a", "wheel"), "sdist": build(unpacked, folder / "b", "wheel")}


@pytest.mark.parametrize("origin", ["tree", "sdist"])
def test_a_wheel_holds_every_module_and_every_data_file(
    wheels: dict[str, Path], tree: Path, tmp_path: Path, origin: str
) -> None:
    expected = {installed(path) for path in sources(tree)}
    assert "mmn_edge/runtime/pose/pose.py" in expected
    assert any(name.startswith("mmn_edge/data/layouts/") for name in expected)
    with zipfile.ZipFile(wheels[origin]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert names == expected
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())
        wheel.extractall(tmp_path)
    for path in sources(tree):
        assert (tmp_path / installed(path)).read_bytes() == (tree / path).read_bytes()


def test_the_wheel_works_where_there_is_no_checkout(wheels: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(wheels["sdist"]) as wheel:
        wheel.extractall(tmp_path / "site")
    script = """
import importlib, sys
sys.path = [sys.argv[1]] + [p for p in sys.path if not p.startswith(sys.argv[2]) or "site-packages" in p]
sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
from mmn_edge.model import labels
from mmn_edge.skeleton import layouts, mappings
assert layouts.names() and labels.names() and mappings.names()
for name in ("mmn_edge.cli", "mmn_edge.runtime.sources.grammar", "mmn_edge.train.recipe", "mmn_edge.convert"):
    print(importlib.import_module(name).__file__)
from mmn_edge.cli import main
main(["layouts"])
"""
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "site"), str(ROOT)]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    files, table = process.stdout.splitlines()[:4], process.stdout.splitlines()[4:]
    assert all(Path(file).is_relative_to(tmp_path / "site" / "mmn_edge") for file in files)
    assert any(row.startswith("ma52 ") for row in table)
