import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import mmn_edge
from mmn_edge import cli, errors

COMMANDS = [
    "convert",
    "data",
    "demo",
    "evaluate",
    "events",
    "layouts",
    "profile",
    "quantize",
    "recipes",
    "record",
    "run",
    "train",
    "verify",
]


def mmn_edge_command(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mmn_edge", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )


def test_the_commands() -> None:
    assert sorted(cli.cli.commands) == COMMANDS


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["layouts", "show"], ["layouts", "map"]])
def test_help_has_examples(command: list[str]) -> None:
    result = CliRunner().invoke(cli.cli, [*command, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert "mmn-edge " in result.output
    assert max(map(len, result.output.splitlines())) <= 120


def test_every_option_is_explained() -> None:
    for name, command in cli.cli.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                shown = parameter.help or parameter.show_default
                assert shown, f"{name} {parameter.opts} has no help"


def test_version() -> None:
    assert CliRunner().invoke(cli.cli, ["--version"]).output == f"mmn-edge, version {mmn_edge.__version__}\n"


def test_help_names_every_exit_code() -> None:
    text = " ".join(CliRunner().invoke(cli.cli, ["--help"]).output.split())
    codes = {getattr(errors, name).exit_code for name in errors.__all__}
    for code in {0, 130, *codes}:
        assert f" {code} " in text.partition("Exit codes:")[2]


@pytest.mark.parametrize("error", [getattr(errors, name) for name in errors.__all__])
def test_errors_become_one_sentence_and_their_exit_code(
    error: type[errors.MmnEdgeError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def fail() -> None:
        raise error("the sensor fell off the table: pick it up")

    monkeypatch.setitem(cli.cli.commands, "fail", fail)
    with pytest.raises(SystemExit) as leaving:
        cli.main(["fail"])
    assert leaving.value.code == error.exit_code
    assert capsys.readouterr().err == "mmn-edge: the sensor fell off the table: pick it up\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(cli.cli.commands, "fail", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["fail"])


def test_what_the_system_refuses_is_one_sentence() -> None:
    result = mmn_edge_command("record", "synthetic:seconds=10", "-o", "/proc/nothing/here.jsonl")
    assert result.returncode == 1
    assert result.stderr.startswith("mmn-edge: the system refused /proc/nothing")
    assert "Traceback" not in result.stderr


def test_wrong_usage_is_exit_code_2() -> None:
    result = mmn_edge_command("convert")
    assert result.returncode == 2
    assert "Missing argument 'CHECKPOINT...'" in result.stderr
    assert "Traceback" not in result.stderr


def test_shell_completion() -> None:
    script = mmn_edge_command(env={**os.environ, "_MMN_EDGE_COMPLETE": "bash_source"})
    assert "complete" in script.stdout
    words = {"COMP_WORDS": "mmn-edge pro", "COMP_CWORD": "1", "_MMN_EDGE_COMPLETE": "bash_complete"}
    assert "profile" in mmn_edge_command(env={**os.environ, **words}).stdout


def test_the_reader_of_a_pipe_may_leave(small_bundle: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m mmn_edge run -m {small_bundle} synthetic:seconds=60 | head -n 2"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr
