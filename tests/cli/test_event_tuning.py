from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.writing import set_decoder
from mmn_edge.cli import cli
from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.errors import DataError, UsageError
from mmn_edge.events import formats, tuning
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.events.parameters import ClassParameters, DecoderParameters
from mmn_edge.events.scoring import score
from mmn_edge.skeleton import recording

SECONDS = 12.0


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def annotated(tmp_path: Path) -> tuple[Path, Path]:
    """Two recordings of scenes, and who did what in them."""
    folder, intervals, recordings = tmp_path / "recordings", [], {}
    folder.mkdir()
    for seed in (1, 2):
        play = scene(SECONDS, seed, fps=15.0)
        with (folder / f"s{seed}.jsonl").open("w") as file:
            recording.write_frames(file, play.frames())
        intervals += [Interval(f"s{seed}", m.start, m.end, m.label, "0") for m in play.movements[0]]
        recordings[f"s{seed}"] = Recording(f"s{seed}", SECONDS, 15.0, (0.0, SECONDS))
    formats.write(AnnotationSet(tuple(intervals)), tmp_path / "truth.csv")
    return folder, tmp_path / "truth.csv"


def test_tune_writes_parameters_that_run_uses(
    small_bundle: Path, annotated: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_GRID", {"enter": (0.05, 0.3)})
    bundle = shutil.copytree(small_bundle, tmp_path / "m.bundle")
    dry = invoke("events", "tune", *annotated, "-m", bundle, "--folds", 2, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    document = json.loads(dry.stdout)
    assert Bundle.open(bundle).manifest.decoder is None
    assert document["measure"] == "event_f1"
    assert len(document["gains_by_fold"]) == 2
    result = invoke("events", "tune", *annotated, "-m", bundle, "--folds", 2)
    assert result.exit_code == 0, result.output
    assert "95 % interval" in result.stdout
    written = Bundle.open(bundle).manifest.decoder
    assert written == document["parameters"]
    assert DecoderParameters.from_dict(dict(written or {})).rest == "rest"
    tuned = invoke("run", "-m", bundle, annotated[0] / "s1.jsonl")
    assert tuned.exit_code == 0
    assert tuned.stdout != invoke("run", "-m", small_bundle, annotated[0] / "s1.jsonl").stdout


def test_a_recording_that_is_not_there_is_named(small_bundle: Path, annotated: tuple[Path, Path]) -> None:
    folder, truth = annotated
    (folder / "s2.jsonl").unlink()
    error = invoke("events", "tune", folder, truth, "-m", small_bundle).exception
    assert isinstance(error, DataError)
    assert "'s2'" in str(error)


def test_evaluate_scores_events_and_writes_a_report(
    small_bundle: Path, annotated: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, truth = annotated
    bundle = shutil.copytree(small_bundle, tmp_path / "m.bundle")
    eager = DecoderParameters(default=ClassParameters(0.09, 0.08, 0.0, 0.0, 0.25), rest="rest")
    set_decoder(bundle, eager.to_dict())
    report = tmp_path / "report"
    result = invoke("evaluate", bundle, "--data", folder, "--events", truth, "-o", report, "--json")
    assert result.exit_code == 0, result.output
    (scores,) = json.loads(result.stdout).values()
    found = formats.read(report / "events.csv")
    assert scores["predicted"] == len(found.intervals) > 0
    again = score(formats.read(truth), found, resamples=0)
    assert again.measures["event_f1"] == pytest.approx(scores["event_f1"])
    assert again.measures["detection_map"] == pytest.approx(scores["detection_map"], abs=1e-6)
    assert json.loads((report / "report.json").read_text())["event_f1"] == scores["event_f1"]
    page = (report / "report.html").read_text()
    assert page.count("<svg") == 1 + len(list((report / "timelines").iterdir())) == 3
    # An earlier report is replaced, anything else is left alone.
    assert invoke("evaluate", bundle, "--data", folder, "--events", truth, "-o", report).exit_code == 0
    (report / "mine.txt").touch()
    refused = invoke("evaluate", bundle, "--data", folder, "--events", truth, "-o", report).exception
    assert isinstance(refused, UsageError)


def test_what_is_for_clips_is_refused_with_events(
    small_bundle: Path, small_checkpoint: Path, annotated: tuple[Path, Path]
) -> None:
    folder, truth = annotated
    for model, options, words in (
        (small_bundle, ("--split", "test"), "--split is for clips"),
        (small_checkpoint, (), "convert the checkpoint first"),
    ):
        error = invoke("evaluate", model, "--data", folder, "--events", truth, *options).exception
        assert isinstance(error, UsageError)
        assert words in str(error)
