from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from mmn_edge.cli import terminal

ROOT = Path(__file__).resolve().parents[2]
HEADER = ["model", "precision", "top-1 [95 %]", "ECE"]
ROWS = [
    ["runs/a-long-name/of-a-checkpoint.pt", "fp32", "91.2 [88.0, 93.1]", "2.1"],
    [":train: [bold]b[/]", "int8", "-", ""],
]


def shown(width: int) -> str:
    console = terminal.console(width=width)
    console.file = io.StringIO()
    terminal.show(HEADER, ROWS, words=2, title="what :smile: [b]is[/b]", on=console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_a_table_fits_and_loses_nothing(width: int) -> None:
    text = shown(width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= max(width, len(ROWS[0][0]))
    for word in " ".join(cell for row in [*ROWS, ["what :smile: [b]is[/b]"]] for cell in row).split():
        assert word in text, f"{word} was lost or broken"
    assert ("top-1 [95 %] 91.2 [88.0" in text) == (width < 80)  # a name beside each value, where it is narrow


def test_user_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.output().print("set.pkl:train: 16 clips [red]")
    assert capsys.readouterr().out == "set.pkl:train: 16 clips [red]\n"


def test_consoles_are_made_in_one_place() -> None:
    made = [
        path.relative_to(ROOT).as_posix()
        for folder in ("mmn_edge", "train", "convert", "runtime")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\b(Console|Progress|Live|Status)\(", path.read_text(encoding="utf-8"))
    ]
    # The sink is given its console; the grammar of sinks, which knows no command line, makes one that is alike.
    assert sorted(made) == ["mmn_edge/cli/terminal.py", "runtime/sinks/grammar.py", "runtime/sinks/sink.py"]
    assert "Console(highlight=False, markup=False, emoji=False)" in (ROOT / sorted(made)[1]).read_text(encoding="utf-8")


def test_steps_are_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.status("starting") as say:
        for step in ("tracing", "tracing", "verifying [bold]"):
            say(step)
    assert capsys.readouterr().err == "starting\ntracing\nverifying [bold]\n"


def test_steps_are_a_changing_line_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with terminal.status("starting") as say:
        say("verifying :train:")
    assert "\x1b[" in capsys.readouterr().err


def test_a_stream_is_followed_with_the_time_that_remains(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    with terminal.following("starting") as follow:
        follow("recorded 10 frames", None)
        for tenth in range(10):
            follow("recorded :train: frames", tenth / 10)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "recorded :train: frames" in text
    assert re.search(r"\d\d:\d\d|--:--", text)
    assert max(map(len, re.split(r"[\r\n]", text))) <= 40


def test_nothing_is_followed_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.following("starting") as follow:
        follow("recorded 10 frames", 0.5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("columns", [40, 80])
def test_a_glossary_keeps_words_whole(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "output", lambda: Console(width=columns, markup=False, emoji=False))
    text = "It was not yet run on MA-52 itself: a starting point, not a result, whatever its name says."
    terminal.glossary([("ma52-joint-plus", text), ("paper", "The paper's.")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert " ".join(" ".join(lines).split()) == f"ma52-joint-plus {text} paper The paper's."
