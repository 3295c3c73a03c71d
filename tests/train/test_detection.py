from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as F

from mmn_edge.cli import cli
from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.errors import DataError, UsageError
from mmn_edge.events import formats
from mmn_edge.events.formats import table
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.model.presets import Window
from mmn_edge.network.checkpoint import read_checkpoint
from mmn_edge.skeleton import layouts, recording
from mmn_edge.train.detection import RecordingData, SceneData, Track, cut, targets
from mmn_edge.train.loss import detection_loss
from mmn_edge.train.recipe import load

BONES = layouts.get("ma52").bones


def track(*spans: tuple[float, float, int], fps: float = 30.0) -> Track:
    times = np.arange(0, 10, 1 / fps)
    points = np.random.default_rng(0).normal(size=(len(times), 44, 2)).astype(np.float32)
    return Track(
        "t",
        times,
        points,
        np.array([span[:2] for span in spans], dtype=np.float64).reshape(-1, 2),
        np.array([span[2] for span in spans], dtype=np.int64),
        (0.0, 10.0),
    )


def test_targets_are_the_larger_of_two_shares() -> None:
    one = track((1.0, 9.0, 0), (4.5, 5.0, 1), (5.5, 6.5, 2), (4.0, 4.2, 3), (5.8, 6.0, 3))
    # Of the window from 4 to 6: filled by 0; holds all of 1, though it fills a quarter; half of 2; 3 twice, not summed.
    np.testing.assert_allclose(targets(one, 6.0, 2.0, 5), [1.0, 1.0, 0.5, 1.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(targets(one, 1.5, 2.0, 5), [0.25, 0, 0, 0, 0], rtol=1e-6)
    assert targets(track(), 6.0, 2.0, 2).tolist() == [0.0, 0.0]


def test_a_window_is_cut_as_live_and_its_target_speaks_of_its_end() -> None:
    one = track((5.0, 8.0, 1))
    window = cut(one, 5.5, Window(32, 2.0, 0.25), BONES, 0.5, 2)
    assert window is not None
    assert window.keypoints.shape == (61, 44, 2)
    np.testing.assert_array_equal(window.keypoints[-1], one.keypoints[165])
    np.testing.assert_allclose(window.label, [0.0, 0.5], rtol=1e-6)
    assert cut(one, 40.0, Window(32, 2.0, 0.25), BONES, 0.5, 2) is None


def test_scene_windows_are_new_each_epoch_and_the_same_for_the_same_number() -> None:
    data = SceneData(60, 1, 1, Window(32, 2.0, 0.25), 0.25)
    first, second = data.epoch(0), data.epoch(1)
    assert len(first) == len(second) == 60
    assert {window.name for window in first}.isdisjoint(window.name for window in second)
    again = SceneData(60, 1, 1, Window(32, 2.0, 0.25), 0.25).epoch(0)
    assert [window.name for window in again] == [window.name for window in first]
    sums = np.array([window.label.max() for window in first])
    assert (sums == 0).any()  # rest is drawn too
    assert any((window.label > 0.5).sum() > 1 for window in first)
    assert len(data.validation) > 100


def test_losses() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.3], [0.0, 4.0, -3.0]])
    target = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])
    plain = detection_loss(logits, target)
    expected = F.binary_cross_entropy(logits.sigmoid(), target, reduction="none").sum(1).mean()
    assert float(plain) == pytest.approx(float(expected), rel=1e-5)
    p = logits.sigmoid()
    asymmetric = -(target * p.log() + (1 - target) * p**4 * (1 - p).log()).sum(1).mean()
    assert float(detection_loss(logits, target, "asymmetric")) == pytest.approx(float(asymmetric), rel=1e-5)


def test_validation_scores_events_as_evaluation_does() -> None:
    data = SceneData(60, 2, 1, Window(32, 2.0, 0.25), 0.25)
    perfect = np.stack([window.label for window in data.validation])
    assert data.event_score(perfect) > 0.75
    assert data.event_score(np.zeros_like(perfect)) == 0.0
    assert data.event_score(perfect[:, ::-1]) < 0.2


@pytest.mark.parametrize(
    "change", ["optim.label_smoothing=0.1", "data.balance=0.5", "data.logit_adjustment=1", "data.crop=0.5"]
)
def test_what_is_for_classes_that_exclude_one_another_is_refused(change: str) -> None:
    with pytest.raises(UsageError, match=change.split("=")[0]):
        load("synthetic-scenes", [change])


def test_a_run_describes_its_task(tmp_path: Path) -> None:
    small = ["model.width=16", "model.frames=16", "optim.epochs=1", "optim.batch_size=13"]
    changes = [word for change in small for word in ("--set", change)]
    command = ["train", "synthetic-scenes", "--size", "26", "--threads", "1", *changes, "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    _, description = read_checkpoint(tmp_path / "run" / "best.pt")
    assert description["task"] == "detect"
    assert description["decoder"]["default"]["onset_lag"] == 0.25
    assert "rest" not in [entry["name"] for entry in description["labels"]["classes"]]


@pytest.mark.parametrize(
    "command",
    [
        ["synthetic", "--set", "task=detect", "--set", "optim.label_smoothing=0"],
        ["synthetic-scenes", "--set", "task=classify"],
    ],
)
def test_a_task_needs_its_kind_of_data(command: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["train", *command, "-o", str(tmp_path / "run")])
    assert isinstance(result.exception, UsageError)
    assert "takes" in str(result.exception)


def recorded(folder: Path, seeds: tuple[int, ...] = (1, 2, 3), seconds: float = 12.0) -> Path:
    """A folder of recordings with annotations, as :mod:`mmn_edge.events.dataset` describes it."""
    folder.mkdir()
    intervals = []
    for seed in seeds:
        play = scene(seconds, seed, fps=15.0)
        with (folder / f"s{seed}.jsonl").open("w") as file:
            recording.write_frames(file, play.frames())
        intervals += [Interval(f"s{seed}", m.start, m.end, m.label, "0") for m in play.movements[0]]
    formats.write(AnnotationSet(tuple(intervals)), folder / "events.csv")
    table.write_recordings(folder / "recordings.csv", [Recording(f"s{n}", seconds, 15.0, (2.0, 10.0)) for n in seeds])
    return folder


def test_windows_of_annotated_recordings(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "set")
    data = RecordingData(folder, layouts.get("ma52"), None, "train", "val", 1, Window(16, 2.0, 0.25), 1.0)
    held = {window.name.split(":")[0] for window in data.validation}
    drawn = {window.name.split(":")[0] for number in range(3) for window in data.epoch(number)}
    assert len(held) == 1
    assert held | drawn == {"s1", "s2", "s3"}
    assert held.isdisjoint(drawn)
    ends = [float(window.name.split("@")[1]) for window in (*data.epoch(0), *data.validation)]
    assert 3.99 <= min(ends) <= max(ends) <= 10.01  # only what was watched
    assert [window.name for window in data.epoch(1)] != [window.name for window in data.epoch(0)]
    name = data.labels.classes[int(np.argmax(sum(window.label for window in data.epoch(0))))]
    assert name in formats.read(folder / "events.csv").labels
    assert data.event_score(np.stack([window.label for window in data.validation])) > 0.3


def test_recordings_say_what_is_validated_on(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "set", (1, 2, 3, 4))

    def data() -> RecordingData:
        return RecordingData(folder, layouts.get("ma52"), None, "train", "val", 1, Window(16, 2.0, 0.25), 1.0)

    (note,) = data().findings
    assert "no column split: 1 of 4 recordings, drawn at random, are validated on: s" in note
    listed = [
        Recording(f"s{n}", 12.0, 15.0, (2.0, 10.0), split)
        for n, split in zip((1, 2, 3, 4), ("train", "val", "train", "test"), strict=True)
    ]
    table.write_recordings(folder / "recordings.csv", listed)
    assert list(table.read_recordings(folder / "recordings.csv")) == listed
    found = data()
    assert found.findings == ()
    assert {window.name.split(":")[0] for window in found.validation} == {"s2"}
    assert {window.name.split(":")[0] for n in range(5) for window in found.epoch(n)} == {"s1", "s3"}
    table.write_recordings(folder / "recordings.csv", listed[2:])
    (folder / "events.csv").write_text("recording,start,end,label\ns3,4,6,waving\ns4,4,6,waving\n")
    with pytest.raises(DataError, match=r"has no recording in split 'val': recordings.csv has test, train"):
        data()


def test_recordings_in_another_layout_are_brought_over_and_too_few_are_said(tmp_path: Path) -> None:
    one = recorded(tmp_path / "one", (1,))
    with pytest.raises(DataError, match="cut a long one in two"):
        RecordingData(one, layouts.get("ma52"), None, "train", "val", 1, Window(16, 2.0, 0.25), 1.0)
    short = recorded(tmp_path / "short", (1, 2))
    with pytest.raises(DataError, match="longer than a window"):
        RecordingData(short, layouts.get("ma52"), None, "train", "val", 1, Window(16, 9.0, 0.25), 1.0)


def test_training_on_annotated_recordings(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "set")
    small = ["model.width=16", "optim.epochs=1", "optim.warmup_epochs=0", "optim.precision=fp32", "optim.compile=false"]
    changes = [word for change in small for word in ("--set", change)]
    command = ["train", str(folder), "--threads", "1", *changes, "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    assert "event mAP" in result.output
    _, description = read_checkpoint(tmp_path / "run" / "best.pt")
    assert (description["task"], description["layout"]) == ("detect", "ma52")
    assert description["recipe"]["detect"]["focus"] == 0.25
