import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import mmn_edge
from mmn_edge import cli, errors

COMMANDS = [
    "convert",
    "data",
    "demo",
    "doctor",
    "evaluate",
    "events",
    "layouts",
    "profile",
    "quantize",
    "recipes",
    "record",
    "replay",
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


def commands(command: click.Command = cli.cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and what is below it, by the words that name it."""
    yield path
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        yield from commands(below, (*path, name))


def help_of(command: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = CliRunner().invoke(cli.cli, [*command, "--help"])
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", [*commands()], ids=" ".join)
def test_help_has_examples_and_fits(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (80, 100):
        text = help_of(command, columns, monkeypatch)
        assert "Examples:" in text
        assert "mmn-edge " in text
        assert max(map(len, text.splitlines())) <= columns
        summaries = text.partition("Commands:")[2]
        assert "..." not in summaries
        assert "…" not in summaries


def test_help_breaks_an_example_so_that_a_shell_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(("train",), 60, monkeypatch)
    start = text.index("mmn-edge train", text.index("--resume\n"))
    example = text[start : text.index("torchrun", start)]
    assert " \\\n" in example
    words = ["mmn-edge", "train", "nw_ucla.pkl", "--recipe", "nw-ucla-joint", "--qat"]
    words += ["--from", "runs/ucla/best.pt", "-o", "runs/ucla-int8"]
    assert shlex.split(example.replace("\\\n", "")) == words


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
    command = f"{sys.executable} -m mmn_edge run -m {small_bundle} synthetic:seconds=60 --emit predictions | head -n 2"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


INTERRUPTED_AT = """
import os, signal, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(stop)
            os.kill(os.getpid(), signal.SIGINT)

module, stop = sys.argv.pop(1), Stop()
sys.meta_path.insert(0, stop)
from mmn_edge.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("mmn_edge.cli", "layouts"),
        ("click", "layouts"),
        ("numpy", "layouts"),
        ("numpy.random", "layouts"),
        ("torch", "train synthetic"),
        ("torch._C", "train synthetic"),
        ("torch.nn.modules.module", "train synthetic"),
        ("onnxruntime", "profile {bundle}"),
        ("rich.console", "recipes"),
    ],
)
def test_ctrl_c_during_an_import_is_one_line(module: str, arguments: str, small_bundle: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT, module, *arguments.format(bundle=small_bundle).split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
    )
    assert ended.returncode == 130
    assert re.fullmatch(r"(warming up\n|measuring .*\n|\n)*mmn-edge: interrupted\n", ended.stderr)
    assert ended.stdout == ""


def test_ctrl_c_is_no_missing_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """C code turns the KeyboardInterrupt within its import into an ImportError."""

    @click.command()
    def fail() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.sigtimedwait([], 1)
        except KeyboardInterrupt:
            raise errors.MissingDependencyError("this needs numpy") from None

    monkeypatch.setitem(cli.cli.commands, "fail", fail)
    kept = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as leaving:
            cli.main(["fail"])
    finally:
        signal.signal(signal.SIGINT, kept)
    assert leaving.value.code == 130
    assert capsys.readouterr().err == "mmn-edge: interrupted\n"


def shell(line: str) -> "subprocess.CompletedProcess[str]":
    line = line.replace("mmn-edge", f"{shlex.quote(sys.executable)} -m mmn_edge")
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_standard_streams(closed: str, small_bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "p.jsonl"
    for line in ("mmn-edge layouts", f"mmn-edge run -m {small_bundle} synthetic:seconds=3 -o {target}"):
        ended = shell(f"{line} {closed}")
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
    assert all(line.startswith("{") for line in target.read_text().splitlines())  # and nothing was printed into it


def test_a_full_standard_output_is_one_sentence() -> None:
    ended = shell("mmn-edge layouts > /dev/full")
    assert ended.returncode == 1
    assert re.fullmatch(r"mmn-edge: the system refused[^\n]*: No space left on device\n", ended.stderr)


def test_a_reader_that_leaves_is_no_error() -> None:
    ended = shell("mmn-edge layouts map halpe136 ma52 | head -n 1")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("value", ["99999999999", "0", "-1", "1,x", "", "\u00b2"])
def test_numbers_have_bounds(value: str, small_bundle: Path) -> None:
    for option in ("--batch", "--threads"):
        result = CliRunner().invoke(cli.cli, ["profile", str(small_bundle), f"{option}={value}"])
        if option == "--threads" and not value:
            continue
        assert isinstance(result.exception, errors.UsageError)
        assert f"{option} takes whole numbers from 1 to" in str(result.exception)


def test_too_little_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def fail() -> None:
        np.empty((1 << 40, 1 << 15))

    monkeypatch.setitem(cli.cli.commands, "fail", fail)
    assert cli._invoke(["fail"]) == 1
    assert capsys.readouterr().err.startswith("mmn-edge: not enough memory (Unable to allocate")


def test_the_wrong_room_is_named(small_bundle: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    clips = tmp_path / "set.pkl"
    clips.write_bytes(b"\x80\x04N.")
    for arguments, words in (
        (["evaluate", clips, "--data", small_bundle], "is a bundle, and --data takes labelled clips"),
        (["evaluate", small_bundle, "--data", small_checkpoint], "is a checkpoint, and --data takes labelled clips"),
        (["evaluate", clips, "--data", clips], "is a data set, and a model is a checkpoint"),
        (["verify", clips], "is a data set, and a model is a checkpoint"),
        (["convert", small_bundle], "is a bundle already"),
        (["convert", clips], "is a data set, and what is converted is a checkpoint"),
        (["profile", small_checkpoint], "is a checkpoint, and a model is a bundle"),
    ):
        result = CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])
        assert isinstance(result.exception, errors.UsageError), arguments
        assert words in str(result.exception)


@pytest.mark.parametrize("line", ["layouts show ma52", "layouts", "doctor"])
def test_a_reader_that_leaves_early_is_no_failure(line: str) -> None:
    """Both with one write at the end, and with many before it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmn_edge", *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0, errors
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors
