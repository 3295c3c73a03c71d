from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmn_edge.cli import cli, logs


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_log_of_a_run_is_json_with_notes_and_summary(small_bundle: Path) -> None:
    result = invoke("run", "-m", small_bundle, "synthetic:seconds=4", "--log-json", "-v")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {line["logger"] for line in lines} >= {"mmn_edge.summary", "mmn_edge.runtime.lane"}
    (summary,) = [line for line in lines if line["logger"] == "mmn_edge.summary"]
    (source,) = summary["sources"]
    assert source["frames"] > 100
    assert source["skipped"] == source["dropped"] == 0


def test_what_happens_is_told_when_asked(small_bundle: Path) -> None:
    quiet = invoke("run", "-m", small_bundle, "synthetic:seconds=3")
    verbose = invoke("run", "-m", small_bundle, "synthetic:seconds=3", "-v")
    assert "is open" not in quiet.stderr
    assert "info    runtime.lane: synthetic:seconds=3 is open" in verbose.stderr
    assert "predictions in" in quiet.stderr
    assert "predictions in" in verbose.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_notes_reach_standard_error(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with logs.logging_to_stderr(0, as_json):
        logs.note("it rains")
    said = capsys.readouterr().err
    assert (json.loads(said)["message"] if as_json else said) == ("it rains" if as_json else "note: it rains\n")
    logs.note("still")
    assert capsys.readouterr().err == "note: still\n"
