"""The documentation: links lead somewhere, command lines parse, and the blocks that say so run.

A block that is to run follows a line ``<!-- run -->`` (in ``make test``) or ``<!-- run: proof -->`` (in
``make proofs``, together with the others of its page). The blocks of a page run in order, in one folder. A page may
have a line ``<!-- folder: demo.bundle demo.pt -->``: what lies in that folder beforehand.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from mmn_edge import errors
from mmn_edge.cli import cli
from mmn_edge.errors import INTERRUPTED
from mmn_edge.skeleton import layouts

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^(?P<mark><!-- run(?:: proof)? -->\n+)?(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```",
    flags=re.M | re.S,
)
PROGRAM = re.compile(r"(?:mmn-edge|-m mmn_edge)(?= |$)")
PLACEHOLDERS = {"NAME", "COMMAND"}


class Block(NamedTuple):
    language: str
    text: str
    mark: str
    """``run``, ``run: proof``, or nothing."""


def blocks(page: Path) -> list[Block]:
    return [
        Block(
            found["language"], found["text"], (found["mark"] or "").strip().removeprefix("<!-- ").removesuffix(" -->")
        )
        for found in FENCE.finditer(page.read_text(encoding="utf-8"))
    ]


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of every ``mmn-edge`` in shell text, up to a pipe, a redirection or the next command."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.wordchars += ":%@+,[]{}^!$°"
        words = list(lexer) if PROGRAM.search(line) else []
        for place, word in enumerate(words):
            if word == "mmn-edge" or (word == "mmn_edge" and words[place - 1] == "-m"):
                rest = words[place + 1 :]
                ends = [i for i, other in enumerate(rest) if re.fullmatch(r"[|&;<>()]+", other)]
                until = min(ends, default=len(rest))
                if until < len(rest) and rest[until] in (">", ">>") and rest[until - 1 : until] == ["2"]:
                    until -= 1
                yield rest[:until]


def check_line(arguments: list[str], *, whole: bool) -> None:
    """Raise where click does not know a command, an option or a value; ``whole``: or misses an argument."""
    command: click.Command = cli
    context = click.Context(cli, info_name="mmn-edge")
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        below = command.get_command(context, rest[0])
        assert below is not None, f"there is no command {rest[0]}"
        context = click.Context(below, info_name=rest.pop(0), parent=context)
        command = below
    if {"-h", "--help", "--version"} & set(rest):
        return
    try:
        values, _, order = command.make_parser(context).parse_args(rest)
    except click.BadOptionUsage:  # within a sentence, an option may stand for itself: `--submission`
        if whole:
            raise
        values, _, order = command.make_parser(context).parse_args([*rest, "VALUE"])
    for parameter in command.params:
        value = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice | click.types.IntParamType | click.types.FloatParamType):
            given = value if isinstance(value, list | tuple) else [value]
            for one in given:
                if isinstance(one, str) and not one.isupper():
                    parameter.type.convert(one, parameter, context)
        if whole and parameter.required and isinstance(parameter, click.Option):
            assert parameter in order, f"{parameter.opts[0]} is missing"
        if whole and parameter.required and isinstance(parameter, click.Argument):
            assert isinstance(value, str | tuple), f"{parameter.name} is missing"


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    """Every link leads somewhere, every anchor is there, every page can be reached."""
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    process = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "WARNING" not in process.stderr
    commands = (tmp_path / "site" / "reference" / "cli" / "index.html").read_text(encoding="utf-8")
    assert "mmn-edge convert" in commands
    assert "--calibration" in commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_are_ones(page: Path) -> None:
    """Commands, options and values exist, in blocks and within the text."""
    found = FENCE.sub("", page.read_text(encoding="utf-8"))
    lines = [
        (line, True) for block in blocks(page) if block.language in ("", "sh") for line in command_lines(block.text)
    ]
    for text in re.findall(r"`([^`\n]*)`", found):
        if text.startswith("mmn-edge "):
            lines += [(line, False) for line in command_lines(text)]
    for arguments, whole in lines:
        if not PLACEHOLDERS & set(arguments[:1]):
            try:
                check_line(arguments, whole=whole)
            except (AssertionError, click.ClickException) as error:
                reason = error.format_message() if isinstance(error, click.ClickException) else error
                pytest.fail(f"{page.name}: mmn-edge {shlex.join(arguments)}: {reason}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("mmn-edge run --modle a.bundle talk.avi", "No such option"),
        ("mmn-edge rnu talk.avi", "no command rnu"),
        ("sensor | mmn-edge layouts show", "name is missing"),
        ("mmn-edge data import rec -o a.pkl", "--to is missing"),
        ("mmn-edge train a.pkl --stream bones | tee log", "is not one of"),
        ("mmn-edge record --camera first -o a.jsonl > log", "not a valid integer"),
    ],
)
def test_a_wrong_command_line_is_found(line: str, reason: str) -> None:
    (arguments,) = command_lines(line)
    with pytest.raises((AssertionError, click.ClickException)) as raised:
        check_line(arguments, whole=True)
    error = raised.value
    assert reason in (error.format_message() if isinstance(error, click.ClickException) else str(error))


def run(page: Path, folder: Path, small_bundle: Path, marks: set[str]) -> None:
    """Run the blocks of a page that have one of these marks."""
    prepared = re.search(r"^<!-- folder: (.*) -->$", page.read_text(encoding="utf-8"), flags=re.M)
    for name in prepared[1].split() if prepared else ():
        if name.endswith(".bundle"):
            shutil.copytree(small_bundle, folder / name)
        else:
            shutil.copy(str(resources.files("mmn_edge") / "data" / "demo.pt"), folder / name)
    programs = folder / ".bin"
    programs.mkdir()
    (programs / "mmn-edge").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mmn_edge "$@"\n')
    (programs / "mmn-edge").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    for block in blocks(page):
        if block.mark in marks:
            shell = block.language in ("", "sh")
            command = ["bash", "-euo", "pipefail", "-c"] if shell else [sys.executable, "-c"]
            done = subprocess.run(
                [*command, block.text], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=1200
            )
            assert done.returncode == 0, f"{page.name}:\n{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def marked(mark: str) -> list[Path]:
    return [page for page in PAGES if any(block.mark == mark for block in blocks(page))]


@pytest.mark.parametrize("page", marked("run"), ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page: Path, tmp_path: Path, small_bundle: Path) -> None:
    run(page, tmp_path, small_bundle, {"run"})


@pytest.mark.proof
@pytest.mark.parametrize("page", marked("run: proof"), ids=lambda page: str(page.relative_to(ROOT)))
def test_slow_blocks_run(page: Path, tmp_path: Path, small_bundle: Path) -> None:
    run(page, tmp_path, small_bundle, {"run", "run: proof"})


def test_every_mark_stands_before_a_block() -> None:
    for page in PAGES:
        marks = re.findall(r"^<!-- run.*$", page.read_text(encoding="utf-8"), flags=re.M)
        assert len(marks) == sum(bool(block.mark) for block in blocks(page)), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:mmn_edge|train|convert|runtime|tests|tools|docs)/[\w./-]*)`", text)
    assert not [name for name in named if "NAME" not in name and "_to_" not in name and not (ROOT / name).exists()]


def test_every_recipe_is_shown() -> None:
    page = (ROOT / "docs" / "reference" / "recipes.md").read_text(encoding="utf-8")
    recipes = {path.name for path in (ROOT / "mmn_edge" / "data" / "recipes").iterdir()}
    assert set(re.findall(r'"mmn_edge/data/recipes/(.*)"', page)) == recipes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_that_python_blocks_import_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmn_edge"):
                    module = importlib.import_module(node.module or "")
                    assert not [alias.name for alias in node.names if not hasattr(module, alias.name)], node.module


def test_every_layout_is_listed() -> None:
    page = (ROOT / "docs" / "reference" / "layouts.md").read_text(encoding="utf-8")
    for name in layouts.names():
        layout = layouts.get(name)
        assert f"| `{name}` | {layout.num_joints} | {layout.channels}-D | {', '.join(layout.axes)} |" in page


def test_every_exit_code_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    codes = {getattr(errors, name).exit_code for name in errors.__all__} | {0, INTERRUPTED}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.M)} == codes


def test_every_extra_is_in_the_readme() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(
        re.findall(
            r"^([\w-]+) = \[", text[text.index("optional-dependencies") : text.index("[project.scripts]")], flags=re.M
        )
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {name for name in extras - {"dev"} if f"`{name}`" not in readme and f"[{name}]" not in readme} == set()
    assert len(readme.splitlines()) < 100


def test_every_variable_of_the_environment_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    sources = [path for folder in ("mmn_edge", "train", "convert", "runtime") for path in (ROOT / folder).rglob("*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert {name for name in re.findall(r"\bMMN_EDGE_[A-Z_]+\b", text) if name not in page} == set()


def test_pages_that_the_program_names_exist() -> None:
    """In help texts, messages, comments and docstrings."""
    sources = [path for folder in ("mmn_edge", "train", "convert", "runtime") for path in (ROOT / folder).rglob("*.*")]
    texts = [path.read_text(encoding="utf-8") for path in sources if path.suffix in (".py", ".yaml")]
    rooms = "tutorials|guides|reference|explanation|benchmarks|examples"
    named = {page for text in texts for page in re.findall(rf"\bdocs/(?:{rooms})/[\w./-]+\w", text)}
    assert len(named) > 5
    assert {page for page in named if not (ROOT / page).exists()} == set()
