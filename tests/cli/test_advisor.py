from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mmn_edge.bundle.advice import Advice
from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.manifest import PRECISIONS
from mmn_edge.bundle.writing import set_advice
from mmn_edge.cli import cli
from mmn_edge.cli.engines import ready
from mmn_edge.convert.precisions import chosen_precisions
from mmn_edge.datasets.synthetic import clips
from mmn_edge.drift import drift
from mmn_edge.drift.windows import sample_windows
from mmn_edge.errors import BundleError, UsageError, VerificationError
from mmn_edge.model import labels
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.runtime.timing import turns
from mmn_edge.system import machine
from mmn_edge.system.extras import half_scales_work


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["convert", *map(str, arguments)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "set.pkl"
    content = {"annotations": clips.dataset(13, seed=3), "class_names": list(labels.get("synthetic").classes)}
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def bundle(small_precisions: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_precisions, tmp_path / "B"))


def test_the_choice_and_its_reasons_are_kept_in_the_bundle(
    bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def times(*arguments: object, **options: object) -> dict[str, list[float]]:
        return {"fp32": [9.0, 8.0, 9.0], "fp16": [8.9] * 3, "int8": [2.0] * 3}

    monkeypatch.setattr(turns, "measure_in_turns", times)
    result = convert(bundle, "--precision", "auto", "--data", data)
    assert result.exit_code == 0, result.exception or result.output
    assert "fp16      refused: 8.90 ms are not 5 % less than the 9.00 ms of fp32" in result.stdout
    found = Bundle.open(bundle)
    advice = found.manifest.advice
    assert advice is not None
    assert advice.precision == found.default_precision == "int8"
    assert [entry.precision for entry in advice.candidates] == ["fp32", "fp16", "int8"]
    assert advice.candidates[0].agreement == 1
    assert advice.windows == "13 windows of set.pkl"
    assert advice.machine["cores"]
    assert list(found.manifest.models) == ["fp32", "fp16", "int8"]
    profile = CliRunner().invoke(cli, ["profile", str(bundle), "--batch", "1", "--seconds", "0.01", "--json"])
    assert json.loads(profile.stdout)["measurements"][0]["precision"] == "int8"
    with open_backend(found) as model, open_backend(found, precision="int8") as same:
        inputs = {"keypoints": sample_windows(found.manifest.architecture, count=1)}
        np.testing.assert_array_equal(model.run(inputs).logits, same.run(inputs).logits)


def test_latencies_are_measured(bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MINIMUM_CALLS", 2)
    real = turns.measure_in_turns
    monkeypatch.setattr(turns, "measure_in_turns", lambda *a, on_round, **more: real(*a, rounds=1, seconds=1e-6))
    result = convert(bundle, "--precision", "auto", "--data", data)
    assert result.exit_code == 0, result.exception or result.output
    advice = Bundle.open(bundle).manifest.advice
    assert advice is not None
    assert all(entry.runs == 2 and 0 < entry.p50_ms <= entry.p90_ms for entry in advice.candidates)
    assert sum(entry.verdict.startswith("chosen: ") for entry in advice.candidates) == 1


def test_where_nothing_stays_within_its_limits_the_bundle_is_as_it_was(
    bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "LIMITS", {"fp32": drift.Limits(1, 2, None)})  # nobody agrees more than always
    monkeypatch.setattr(turns, "measure_in_turns", lambda *rest, **more: {key: [1.0] for key in PRECISIONS})
    before = (bundle / "manifest.json").read_bytes()
    result = convert(bundle, "--precision", "auto", "--data", data)
    assert type(result.exception) is VerificationError
    assert (bundle / "manifest.json").read_bytes() == before


def test_what_makes_no_sense_is_said(bundle: Path, data: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    for arguments, message in [
        ([small_checkpoint, "--precision", "auto"], "judges precisions by clips"),
        ([bundle, "--precision", "auto"], "judges precisions by clips"),
        ([bundle, "--precision", "auto", "--data", data, "--stream", "bone"], "is a bundle"),
    ]:
        result = convert(*arguments, *(["-o", tmp_path / "C"] if arguments[0] == small_checkpoint else []))
        assert type(result.exception) is UsageError, (arguments, result.exception)
        assert message in str(result.exception)
    assert not (tmp_path / "C").exists()


def test_auto_makes_all_that_can_be_made(tmp_path: Path) -> None:
    assert chosen_precisions(["auto"], False, None) == ("fp32", "fp16")
    possible = PRECISIONS if half_scales_work() else PRECISIONS[:3]
    assert chosen_precisions(["auto"], True, None) == chosen_precisions(["auto"], False, tmp_path) == possible


def test_an_advice_of_a_model_that_is_not_there_is_refused(bundle: Path) -> None:
    file = bundle / "manifest.json"
    values = json.loads(file.read_text())
    values["advice"] = {"precision": "fp8", "windows": "none", "machine": {}, "candidates": []}
    file.write_text(json.dumps(values))
    with pytest.raises(BundleError, match="the advice is fp8"):
        Bundle.open(bundle)
    del values["advice"]["machine"]
    file.write_text(json.dumps(values))
    with pytest.raises(BundleError, match="KeyError"):
        Bundle.open(bundle)


def test_run_and_profile_say_that_advice_is_from_another_machine(
    small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.bundle"
    shutil.copytree(small_bundle, path)
    for facts, words in ((machine.describe(), ""), ({"machine": "an abacus"}, "on another machine (an abacus;")):
        set_advice(path, Advice("fp32", (), "9 windows", facts))
        assert ready(path, None, None)[1] == "fp32"
        said = capsys.readouterr().err
        assert words in said
        assert bool(words) == bool(said)
    assert ready(path, None, "fp32")[1] == "fp32"
    assert not capsys.readouterr().err
