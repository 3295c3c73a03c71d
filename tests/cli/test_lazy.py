import os
import subprocess
import sys

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from mmn_edge.cli import COMMANDS, cli
from mmn_edge.cli.lazy import LazyGroup, Place

HEAVY = {"numpy", "rich", "onnxruntime", "torch", "onnx", "mmn_edge.cli.bundles", "importlib.metadata"}


def imported(*arguments: str, **environment: str) -> set[str]:
    """Which of the heavy modules a command line has imported when it exits, each in a process of its own."""
    script = f"""
import atexit, sys
atexit.register(lambda: print({HEAVY!r} & sys.modules.keys(), file=sys.stderr))
from mmn_edge.cli import main
main({list(arguments)!r})
"""
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert process.returncode == 0, process.stderr
    found = process.stderr.splitlines()[-1]
    return set() if found == "set()" else set(found.strip("{}").replace("'", "").split(", "))


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_the_first_line_waits_for_no_import(arguments: list[str]) -> None:
    assert imported(*arguments) == set()


def test_a_command_imports_its_own_module() -> None:
    assert "mmn_edge.cli.bundles" in imported("convert", "--help")
    assert "mmn_edge.cli.bundles" not in imported("layouts", "--help")


def test_completion_of_a_command_imports_none() -> None:
    words = {"_MMN_EDGE_COMPLETE": "bash_complete", "COMP_WORDS": "mmn-edge re", "COMP_CWORD": "1"}
    script = "import sys; from mmn_edge.cli import cli; cli.main(prog_name='mmn-edge')"
    command = [sys.executable, "-X", "importtime", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **words})
    assert process.stdout.splitlines() == ["plain,recipes", "plain,record", "plain,replay"]
    assert not [line for line in process.stderr.splitlines() if line.split()[-1] in HEAVY]


def test_options_are_completed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "COMP_WORDS", "mmn-edge --v")
    monkeypatch.setitem(os.environ, "COMP_CWORD", "1")
    assert BashComplete(cli, {}, "mmn-edge", "_MMN_EDGE_COMPLETE").complete() == "plain,--version"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_is_that_of_the_command(name: str) -> None:
    command = cli.commands[name]
    assert command.name == name
    assert COMMANDS[name].summary == command.get_short_help_str(1000)


def test_a_command_can_be_added_and_taken_away() -> None:
    group = LazyGroup("tool", places={"data": Place("mmn_edge.cli.data", "Data.")})
    group.add_command(click.Command("fit", help="Fit it. At length."))
    assert list(group.commands) == ["data", "fit"]
    assert "fit" in group.commands
    output = CliRunner().invoke(group, ["--help"]).output
    assert "data  Data." in output
    assert "fit   Fit it." in output
    del group.commands["data"]
    assert CliRunner().invoke(group, ["data"]).exit_code == 2


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli, ["convrt"])
    assert result.exit_code == 2
    assert "convrt" in result.output
