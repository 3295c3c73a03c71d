"""Who may import whom, held twice: read from the source, and in a Python where the rest really is absent."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("train", "convert", "runtime")

ANYWHERE = {
    "core": {"numpy"},
    "cli": {"click", "rich", "torch", "yaml"},
    "train": {"numpy", "torch", "yaml"},
    "convert": {"numpy", "torch", "onnx", "onnxruntime"},
    "runtime": {"numpy", "onnxruntime", "rich"},
}
"""The third-party packages that a folder may name in import statements, wherever they stand."""

AT_IMPORT_TIME = {
    "core": {"numpy"},
    "cli": {"click"},
    "train": {"numpy", "torch"},
    "convert": {"numpy", "torch", "onnx", "onnxruntime"},
    "runtime": {"numpy"},
}
"""Those that are imported when a module is."""

NETWORK = "mmn_edge/network/"
"""The one package of the core that may import torch; only stages with torch import it."""

BASE = ("numpy", "click", "rich", "onnxruntime")
ABSENT = ("torch", "onnx", "onnxscript", "cv2", "mediapipe", "yaml", "huggingface_hub")

Import = tuple[str, bool]
"""A dotted module, and whether it is imported together with the module that names it."""


def area(path: Path) -> str:
    """``core``, ``cli`` or the stage that a module belongs to."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] in STAGES else "cli" if parts[1] == "cli" else "core"


def area_of(module: str) -> str:
    """The same for a dotted name within ``mmn_edge``."""
    second = [*module.split("."), ""][1]
    return second if second in (*STAGES, "cli") else "core"


def imports(tree: ast.AST, *, top: bool = True) -> Iterator[Import]:
    """All imports of a module but those for type checkers, ``from a import b`` as ``a.b``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from ((f"{node.module}.{alias.name}", top) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports(ast.Module(node.orelse, []), top=top)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, top=top and not function)


def modules() -> list[Path]:
    return sorted(path for folder in ("mmn_edge", *STAGES) for path in (ROOT / folder).rglob("*.py"))


def test_the_reader_of_imports_sees_what_it_should() -> None:
    text = """
import a.b
from c import d, e
if TYPE_CHECKING:
    from f import g
else:
    import h
try:
    import i
except ImportError:
    pass
class K:
    import k
    def l(self):
        from m import n
"""
    expected = [("a.b", 1), ("c.d", 1), ("c.e", 1), ("h", 1), ("i", 1), ("k", 1), ("m.n", 0)]
    assert list(imports(ast.parse(text))) == expected


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_folder_may(path: Path) -> None:
    where = area(path)
    exception = {"torch"} if path.relative_to(ROOT).as_posix().startswith(NETWORK) else set()
    for module, top in imports(ast.parse(path.read_text(encoding="utf-8"))):
        package = module.partition(".")[0]
        if package in sys.stdlib_module_names:
            continue
        if package == "mmn_edge":
            target = area_of(module)
            if where == "cli":
                assert target in ("core", "cli") or not top, f"{module} is for the inside of a command"
            else:
                allowed = {"core", where} | ({"cli"} if path.name == "__main__.py" else set())
                assert target in allowed, f"{where} may not import {module}"
            inside = path.relative_to(ROOT).as_posix().startswith(NETWORK)
            assert not (top and not inside and where in ("core", "cli", "runtime")) or not module.startswith(
                "mmn_edge.network"
            )
            continue
        allowed = ANYWHERE[where] | exception
        if top:
            allowed = AT_IMPORT_TIME[where] | exception
        assert package in allowed, f"{where} may not import {module}" + (" at import time" if top else "")


FLOORS = (
    "errors", "system", "skeleton", "model", "network", "reports", "latency", "bundle", "doctor", "datasets", "events",
    "evaluation", "drift",
)  # fmt: skip
"""The rooms of the core from the ground up: a room imports those below it."""


def room(path: Path) -> str:
    """The room of the core that a module lies in."""
    return path.relative_to(ROOT / "mmn_edge").parts[0].removesuffix(".py")


def test_every_room_of_the_core_has_its_floor() -> None:
    rooms = {room(path) for path in modules() if area(path) == "core"}
    assert rooms - {"__init__", "__main__"} == set(FLOORS)


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if area(path) == "core" and room(path) in FLOORS],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_imports_in_the_core_run_downwards(path: Path) -> None:
    """For type checkers, too: what a room knows the type of, it depends on."""
    here = FLOORS.index(room(path))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for module, _ in imports(ast.Module([node], [])) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            package, _, rest = module.partition(".")
            if package == "mmn_edge" and rest.partition(".")[0] in FLOORS:
                assert FLOORS.index(rest.partition(".")[0]) <= here, f"{module} lies above {FLOORS[here]}"


def closure(names: tuple[str, ...]) -> set[str]:
    """Installed distributions that these need, without their extras."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A Python with mmn-edge and what it needs at the least: the arguments that start a script in it."""
    site = tmp_path_factory.mktemp("site")
    for name in closure(BASE):
        distribution = importlib.metadata.distribution(name)
        for entry in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            link = site / entry
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(entry))))
    (site / "mmn_edge").symlink_to(ROOT / ".typing" / "mmn_edge")
    start = f"import sys; sys.path.insert(0, {str(site)!r}); exec(sys.argv.pop(1))"
    return [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", start]


def run(base: list[str], script: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*base, script, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def mmn_edge(base: list[str], *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run(base, "from mmn_edge.cli import main; main()", *arguments, cwd=cwd)


def test_the_heavy_packages_really_are_absent(base: list[str]) -> None:
    script = f"""
import importlib.util, json
print(json.dumps([name for name in {(*BASE, *ABSENT)!r} if importlib.util.find_spec(name)]))
"""
    process = run(base, script)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == list(BASE)


def test_the_command_line_the_core_and_the_runtime_import_without_them(base: list[str]) -> None:
    names = []
    for path in modules():
        if area(path) not in ("train", "convert") and not path.relative_to(ROOT).as_posix().startswith(NETWORK):
            relative = path.relative_to(ROOT).with_suffix("")
            parts = relative.parts if relative.parts[0] == "mmn_edge" else ("mmn_edge", *relative.parts)
            names.append(".".join(parts).removesuffix(".__init__"))
    assert {"mmn_edge.cli", "mmn_edge.runtime.pose.mediapipe", "mmn_edge.datasets.reading"} <= set(names)
    names += ["mmn_edge.train", "mmn_edge.convert", "mmn_edge.train.recipe"]
    names += [
        "mmn_edge.convert.tensorrt.bundle_engines"
    ]  # and through it the builder: a Jetson has no torch and no onnx
    script = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(*sorted({{"rich", "onnxruntime"}} & set(sys.modules)))
"""
    process = run(base, script)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "\n"  # installed, but not loaded before they are needed


def test_the_stages_that_need_torch_say_so(base: list[str]) -> None:
    process = run(base, "import mmn_edge.network")
    assert process.returncode == 1
    assert "No module named 'torch'" in process.stderr


def test_help_and_layouts_work_without_them(base: list[str]) -> None:
    for arguments in (["--help"], ["--version"], ["convert", "--help"], ["train", "-h"], ["layouts", "show", "ma52"]):
        process = mmn_edge(base, *arguments)
        assert process.returncode == 0, process.stderr
        assert process.stdout
        assert not process.stderr


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (["convert", "x.pt"], "torch", "convert"),
        (["convert", "small.bundle", "--engine"], "tensorrt", "tensorrt"),
        (["events", "convert", "talk.csv", "talk.eaf"], "pympi", "annotations"),
        (["events", "plot", "talk.csv", "-o", "talk.png"], "cairosvg", "pictures"),
        (["train", "synthetic"], "torch", "train"),
        (["recipes", "custom"], "yaml", "train"),
        (["data", "download", "a/b"], "huggingface_hub", "hub"),
        (["record", "talk.avi", "-o", "talk.jsonl"], "cv2", "camera"),
        (["record", "--camera", "0", "-o", "talk.jsonl"], "cv2", "camera"),
        (["run", "--model", "small.bundle", "talk.avi"], "cv2", "camera"),
        (["run", "--model", "small.bundle", "synthetic", "--backend", "tensorrt"], "tensorrt", "tensorrt"),
        (["run", "--model", "small.bundle", "synthetic", "--sink", "mqtt://localhost"], "paho.mqtt.client", "mqtt"),
        (["run", "--model", "small.bundle", "synthetic", "--sink", "ws://127.0.0.1"], "starlette", "server"),
        (["run", "--model", "small.bundle", "synthetic", "--sink", "http://127.0.0.1"], "prometheus_client", "server"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_command_that_needs_more_says_what_and_how_to_install_it(
    base: list[str], small_bundle: Path, tmp_path: Path, arguments: list[str], missing: str, extra: str
) -> None:
    (tmp_path / "small.bundle").symlink_to(small_bundle)
    (tmp_path / "talk.avi").write_bytes(b"RIFF")
    (tmp_path / "talk.csv").write_text("recording,start,end,label\ntalk,1,2,nodding\n")
    process = mmn_edge(base, *arguments, cwd=tmp_path)
    assert process.returncode == 6, process.stderr
    assert not process.stdout
    (line,) = process.stderr.splitlines()
    assert line.startswith("mmn-edge: ")
    assert f"needs {missing}, " in line
    assert line.endswith(f'pip install "mmn-edge[{extra}]"')
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.bundle", "talk.avi", "talk.csv"]


def test_a_bundle_runs_without_them(base: list[str], small_bundle: Path) -> None:
    process = mmn_edge(
        base,
        "run",
        "--emit",
        "predictions",
        "--model",
        str(small_bundle),
        "synthetic:seconds=12",
        "--json",
        "--duration",
        "4",
    )
    assert process.returncode == 0, process.stderr
    predictions = [json.loads(line) for line in process.stdout.splitlines()]
    assert predictions
    assert set(predictions[0]) >= {"time", "person", "label", "probability", "top5"}


def test_an_engine_is_built_without_them(base: list[str], small_bundle: Path, tmp_path: Path) -> None:
    """As on a Jetson: the base install and TensorRT, here the one for RTX."""
    tensorrt = pytest.importorskip("tensorrt_rtx", reason="PROOF SKIPPED: tensorrt-rtx is not installed")
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt_rtx_libs"):
        (packages / name).symlink_to(Path(tensorrt.__file__).parents[1] / name)
    bundle = Path(shutil.copytree(small_bundle, tmp_path / "small.bundle"))
    script = f"""
import sys
sys.path.append({str(packages)!r})
from mmn_edge.cli import main
main()
"""
    process = run(base, script, "convert", str(bundle), "--engine", "--compute-capability", "SM86")
    assert process.returncode == 0, process.stderr
    assert (bundle / "model.fp32.tensorrt_rtx.engine").is_file()


def test_a_bundle_is_verified_without_them_but_for_its_layers(base: list[str], small_precisions: Path) -> None:
    process = mmn_edge(base, "verify", str(small_precisions), "--windows", "2")
    assert process.returncode == 0, process.stderr
    assert "All models stay within their limits." in process.stdout
    note = next(line for line in process.stdout.splitlines() if line.startswith("- Layers were not compared: "))
    assert "needs onnx, " in note
    assert note.endswith('pip install "mmn-edge[convert]"')
