from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmn_edge.cli import cli
from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.errors import DataError, GateError, UsageError
from mmn_edge.skeleton import recording


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["replay", *map(str, arguments)])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "session.jsonl"
    with path.open("w") as file:
        recording.write_frames(file, scene(8.0, seed=4, persons=2).frames())
    return path


@pytest.fixture(scope="module")
def baseline(small_bundle: Path, session: Path) -> Path:
    path = session.with_name("baseline.jsonl")
    result = invoke(session, "-m", small_bundle, "--sensitivity", 1, "-o", path)
    assert result.exit_code == 0, result.output
    return path


def test_the_same_model_gives_the_same(small_bundle: Path, session: Path, baseline: Path) -> None:
    result = invoke(session, "-m", small_bundle, "--sensitivity", 1, "--check", baseline)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("no difference: ")


def test_it_is_compared_with_what_run_wrote(small_bundle: Path, session: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    ran = CliRunner().invoke(cli, ["run", "-m", str(small_bundle), str(session), "--emit", "both", "-o", str(path)])
    assert ran.exit_code == 0, ran.output
    assert invoke(session, "-m", small_bundle, "--check", path).exit_code == 0


def test_another_model_differs_and_the_check_fails(
    small_features_bundle: Path, small_precisions: Path, session: Path, baseline: Path, tmp_path: Path
) -> None:
    arguments = [session, "-m", small_precisions, "--precision", "int8", "--sensitivity", 1, "--check", baseline]
    result = invoke(*arguments, "-o", tmp_path / "d.svg", "-o", tmp_path / "d.json", "-o", tmp_path / "now.jsonl")
    assert isinstance(result.exception, GateError)
    assert result.exception.exit_code == 10
    assert "differ" in result.stdout
    assert (tmp_path / "d.svg").read_text().startswith("<svg")
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["differing"] > 0
    assert not found["same"]
    assert len((tmp_path / "now.jsonl").read_text().splitlines()) > 10
    machine = invoke(*arguments, "--json")
    assert json.loads(machine.stdout) == found


def test_wrong_usage(small_bundle: Path, session: Path, baseline: Path, tmp_path: Path) -> None:
    result = invoke(session, "-m", small_bundle, "-o", tmp_path / "d.svg")
    assert isinstance(result.exception, UsageError)
    result = invoke(session, "-m", small_bundle, "--check", baseline, "-o", baseline)
    assert isinstance(result.exception, UsageError)
    result = invoke(session, "-m", small_bundle, "--check", session)
    assert isinstance(result.exception, DataError)
    assert baseline.stat().st_size > 0
