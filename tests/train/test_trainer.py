import copy
import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmn_edge.datasets.reading import Clip
from mmn_edge.errors import CheckpointError, DataError, MmnEdgeError, UsageError
from mmn_edge.model import presets
from mmn_edge.model.labels import Labels
from mmn_edge.network import build_network, read_checkpoint
from mmn_edge.skeleton import layouts
from mmn_edge.train.data import evaluation_batches
from mmn_edge.train.log import EpochResult
from mmn_edge.train.recipe import Recipe, load
from mmn_edge.train.start import begin
from mmn_edge.train.trainer import Trainer

JHMDB = layouts.get("jhmdb")
TINY = ["model.width=16", "model.depth=1", "model.frames=16", "optim.epochs=2", "optim.batch_size=8"]
PLAIN = ["optim.warmup_epochs=0", "optim.weight_decay=0", "model.drop_path=0", "model.head_drop=0", "optim.lr=1e-2"]


def recipe(*changes: str) -> Recipe:
    return load("paper", [*TINY, *PLAIN, *changes])


class EasyData:
    """Standing still against waving both arms."""

    def __init__(self, labels: Labels | None = None) -> None:
        self.labels = labels or Labels(("still", "moving"))
        rng = np.random.default_rng(0)
        pose = rng.normal(300, 60, (15, 2))
        clips = []
        for index in range(64):
            keypoints = pose + rng.normal(0, 1, (30, 15, 2))
            if index % 2:
                swing = 120 * np.sin(np.arange(30) / rng.uniform(1, 2) + rng.uniform(0, 6))
                keypoints[:, 7:9] += swing[:, None, None]
            clips.append(Clip(str(index), index % 2, keypoints.astype(np.float32)))
        self.training, self.validation = clips[:40], clips[40:]

    def epoch(self, number: int) -> Sequence[Clip]:
        return self.training


def trainer(folder: Path, chosen: Recipe | None = None, checkpoint: Path | None = None, **options: bool) -> Trainer:
    data = EasyData()
    beginning = begin(data, JHMDB, chosen or recipe(), checkpoint)
    return Trainer(data, beginning, JHMDB, folder, presets.Window(), **options)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)[0]


def test_training_learns_and_writes_checkpoints_that_describe_themselves(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run = trainer(tmp_path, recipe("optim.epochs=8"))
    best = run.fit(on_step=lambda step, steps, loss: seen.append((step, steps)))
    assert seen[:5] == [(step, 5) for step in range(1, 6)]
    assert best.accuracy > 0.9
    assert best.accuracy == max(result.accuracy for result in run.history)
    with (tmp_path / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == list("12345678")
    state, description = read_checkpoint(tmp_path / "best.pt")
    network = build_network(state, description["options"])
    assert network.arch == run.network.arch
    assert description["result"]["epoch"] == best.epoch
    assert description["recipe"]["optim"]["lr"] == 1e-2
    assert description["layout"] == "jhmdb"
    assert not list(tmp_path.glob(".*partial*"))


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    chosen = recipe("optim.epochs=1", "model.drop_path=0.3", "data.mixup=0.4", "augment.noise=0.01")
    for name in ("one", "two"):
        trainer(tmp_path / name, chosen).fit()
    one, two = (weights(tmp_path / name / "last.pt") for name in ("one", "two"))
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    trainer(tmp_path / "three", replace(chosen, seed=2)).fit()
    assert not torch.equal(weights(tmp_path / "three" / "last.pt")["head.weight"], one["head.weight"])


@pytest.mark.parametrize(
    "changes",
    [
        ["optim.ema=0.9", "optim.clip_norm=1"],
        ["optim.precision=bf16"],
        ["optim.optimizer=muon", "model.width=32", "optim.clip_norm=1"],
    ],
)
def test_a_run_stopped_between_epochs_goes_on_to_the_same_bits(tmp_path: Path, changes: list[str]) -> None:
    chosen = recipe("optim.epochs=3", "model.drop_path=0.3", "data.mixup=0.4", *changes)
    trainer(tmp_path / "whole", chosen).fit()

    def stop(result: EpochResult) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "broken", chosen).fit(on_epoch=stop)
    trainer(tmp_path / "broken", chosen).fit(resume=True)
    for name in ("last.pt", "best.pt"):
        whole, again = (weights(tmp_path / folder / name) for folder in ("whole", "broken"))
        assert all(torch.equal(value, again[key]) for key, value in whole.items()), name


def test_the_average_is_what_is_saved_and_validated(tmp_path: Path) -> None:
    run = trainer(tmp_path, recipe("optim.ema=0.5"))
    run.fit()
    saved = weights(tmp_path / "last.pt")
    assert not torch.equal(saved["head.weight"], run.network.state_dict()["head.weight"])
    assert set(saved) == set(run.network.state_dict())


def test_validation_is_of_the_saved_weights_in_float32(tmp_path: Path) -> None:
    run = trainer(tmp_path, recipe("optim.precision=bf16"))
    run.fit()
    state, description = read_checkpoint(tmp_path / "last.pt")
    network = build_network(state, description["options"])
    with torch.inference_mode():
        (x, index_t, target), *rest = evaluation_batches(
            run.data.validation, run.preprocessing, batch_size=64, frames=16
        )
        loss = torch.nn.functional.cross_entropy(network(x, index_t), target)
    assert not rest
    assert run.history[-1].validation_loss == pytest.approx(float(loss), rel=1e-5)


def test_a_run_without_progress_stops_early(tmp_path: Path) -> None:
    run = trainer(tmp_path, recipe("optim.epochs=50", "optim.patience=2", "optim.lr=1e-9", "optim.min_lr=1e-9"))
    run.fit()
    accuracies = [result.accuracy for result in run.history]
    assert len(run.history) == accuracies.index(max(accuracies)) + 1 + 2 < 50
    trainer(tmp_path, run.recipe).fit(resume=True)
    with (tmp_path / "log.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(run.history)


def test_tensorboard_shows_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    trainer(tmp_path, tensorboard=True).fit()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    with (tmp_path / "log.csv").open() as file:
        logged = [float(row["accuracy"]) for row in csv.DictReader(file)]
    assert [event.value for event in events.Scalars("accuracy")] == pytest.approx(logged)


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    trainer(tmp_path).fit()
    before = (tmp_path / "best.pt").read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        trainer(tmp_path).fit()
    assert (tmp_path / "best.pt").read_bytes() == before


def test_what_is_left_of_a_run_is_not_overwritten_either(tmp_path: Path) -> None:
    trainer(tmp_path).fit()
    (tmp_path / "last.pt").unlink()
    before = (tmp_path / "best.pt").read_bytes()
    for name in ("best.pt", "log.csv"):
        with pytest.raises(UsageError, match=rf"holds a run \({name}\): it cannot be continued without last.pt"):
            trainer(tmp_path).fit()
        assert not (tmp_path / "last.pt").exists()
        if name == "best.pt":
            assert (tmp_path / name).read_bytes() == before
            (tmp_path / name).unlink()


def test_a_validation_loss_that_is_not_finite_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer(tmp_path / "good").fit()
    monkeypatch.setattr(Trainer, "_validate", lambda self, network: (float("nan"), 0.25))
    with pytest.raises(MmnEdgeError, match="the validation loss became nan in epoch 1: lower"):
        trainer(tmp_path / "bad").fit()
    assert not list((tmp_path / "bad").glob("*.pt"))


def test_an_accuracy_that_stays_the_same_is_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(tmp_path, recipe("optim.epochs=9", "optim.patience=3"))
    accuracies = iter([0.5, 0.75, 0.75, 0.5, 0.75, 1.0])
    monkeypatch.setattr(run, "_validate", lambda network: (1.0, next(accuracies)))
    run.fit()
    assert len(run.history) == 5
    assert run.best.epoch == 5  # of several the latest, which has learned longest


def test_only_the_same_run_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no epoch was finished there: start without --resume"):
        trainer(tmp_path / "none").fit(resume=True)
    best = trainer(tmp_path).fit()
    assert trainer(tmp_path).fit(resume=True) == best  # a finished run has nothing left to do
    with pytest.raises(UsageError, match="another recipe"):
        trainer(tmp_path, recipe("optim.epochs=3")).fit(resume=True)
    (tmp_path / "last.pt").write_bytes((tmp_path / "best.pt").read_bytes())
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        trainer(tmp_path).fit(resume=True)


def test_too_few_clips_for_a_batch(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"optim\.batch_size"):
        trainer(tmp_path, recipe("optim.batch_size=64")).fit()


def test_a_checkpoint_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    def block(result: EpochResult) -> None:
        (tmp_path / "last.pt").rename(tmp_path / "kept.pt")
        (tmp_path / "last.pt").mkdir()

    with pytest.raises(MmnEdgeError, match=r"cannot write .*last\.pt"):
        trainer(tmp_path).fit(on_epoch=block)
    for name in ("best.pt", "kept.pt"):
        build_network(*read_checkpoint(tmp_path / name)[:1], {"num_frames": 16})
    assert not list(tmp_path.glob(".*partial*"))


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_diverging_run_stops_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(MmnEdgeError, match=r"lower optim\.lr"):
        trainer(tmp_path, recipe("optim.lr=1e30", "optim.epochs=3")).fit()


def test_quantization_aware_training(tmp_path: Path) -> None:
    trainer(tmp_path / "float", recipe("optim.epochs=8")).fit()
    best = tmp_path / "float" / "best.pt"
    qat = load("paper", [*TINY, "qat.calibration_clips=16", "optim.epochs=1"], qat=True)
    run = trainer(tmp_path / "int8", qat, best)
    # As several GPUs have it.
    synchronised = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(run.network))
    run._train_mode(synchronised)
    assert synchronised.training
    assert not any(module.training for module in synchronised.modules() if isinstance(module, torch.nn.SyncBatchNorm))
    before = {name: value.clone() for name, value in run.network.named_buffers() if "running" in name}
    assert run.fit().accuracy > 0.9
    state, description = read_checkpoint(tmp_path / "int8" / "last.pt")
    assert any(key.endswith("quantizer.amax") for key in state)
    assert "DSs.0.reduction" in description["quantization"]["kept"]
    assert all(torch.equal(value, state[name]) for name, value in before.items())  # statistics stay the teacher's
    assert not torch.equal(state["head.weight"], weights(best)["head.weight"])
    quantized, plain = (build_network(state, description["options"], quantized=on) for on in (True, False))
    x, index_t = 2 * torch.rand(2, 2, 16, 15, 1) - 1, torch.linspace(-1, 1, 16).expand(2, 16)
    difference = (quantized(x, index_t) - plain(x, index_t)).abs().max().item()
    assert 0 < difference < 0.6
    assert trainer(tmp_path / "int8", qat, best).fit(resume=True) == run.best


def test_the_control_of_quantization_aware_training_quantizes_nothing(tmp_path: Path) -> None:
    trainer(tmp_path / "float").fit()
    best = tmp_path / "float" / "best.pt"
    control = load("paper", [*TINY, "qat.keep=all", "optim.epochs=1"], qat=True)
    trainer(tmp_path / "control", control, best).fit()
    assert not any(key.endswith("amax") for key in weights(tmp_path / "control" / "last.pt"))


def test_another_stream_begins_with_the_weights_of_one(tmp_path: Path) -> None:
    trainer(tmp_path / "joint").fit()
    bone = trainer(tmp_path / "bone", recipe("stream=bone", "optim.epochs=1"), tmp_path / "joint" / "best.pt")
    assert torch.equal(bone.network.head.weight, weights(tmp_path / "joint" / "best.pt")["head.weight"])
    bone.fit()
    assert read_checkpoint(tmp_path / "bone" / "last.pt")[1]["stream"] == "bone"


def test_a_checkpoint_of_something_else_is_not_fine_tuned(tmp_path: Path) -> None:
    trainer(tmp_path).fit()
    best = tmp_path / "best.pt"
    for data, chosen, error, message in [
        (EasyData(Labels(("a", "b", "c"))), load("paper", TINY, qat=True), CheckpointError, "other classes"),
        (EasyData(Labels(("a", "b"))), load("paper", [*TINY, *PLAIN], qat=True), CheckpointError, "other classes"),
        (EasyData(), load("paper", [*TINY, "stream=bone"], qat=True), UsageError, "--stream joint"),
        (EasyData(), load("paper", [*TINY, "qat.keep=knee*"], qat=True), UsageError, "knee"),
    ]:
        with pytest.raises(error, match=message):
            begin(data, JHMDB, chosen, best)
    with pytest.raises(CheckpointError, match=r"\(15, 2\), and the data set has \(22, 2\)"):
        begin(EasyData(), layouts.get("imigue"), recipe(), best)


def test_other_classes_keep_the_body_and_begin_a_new_head(tmp_path: Path) -> None:
    run = trainer(tmp_path / "first")
    run.fit()
    checkpoint = tmp_path / "first" / "last.pt"
    trained = weights(checkpoint)
    for names in (("a", "b"), ("still", "moving", "else")):
        beginning = begin(EasyData(Labels(names)), JHMDB, recipe("seed=5"), checkpoint)
        assert f"a new head of {len(names)} classes begins" in beginning.note
        state = beginning.network.state_dict()
        assert state["head.weight"].shape[0] == len(names)
        assert all(torch.equal(value, trained[key]) for key, value in state.items() if not key.startswith("head."))
        if len(names) == 2:
            assert not torch.equal(state["head.weight"], trained["head.weight"])
    same = begin(EasyData(), JHMDB, recipe(), checkpoint)
    assert same.note == ""
    assert torch.equal(same.network.state_dict()["head.weight"], trained["head.weight"])


@pytest.mark.parametrize("kind", [["optim.optimizer=adamw"], ["optim.optimizer=muon", "model.width=32"]])
def test_the_body_may_learn_at_a_smaller_rate(tmp_path: Path, kind: list[str]) -> None:
    run = trainer(tmp_path, recipe("optim.body_rate=0", "optim.epochs=1", *kind))
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    run.fit()
    for name, value in run.network.named_parameters():
        assert torch.equal(value, before[name]) == (not name.startswith("head.")), name


@pytest.mark.parametrize("change", ["keypoints", "labels", "nothing"])
def test_a_run_is_not_resumed_on_other_data(tmp_path: Path, change: str) -> None:
    trainer(tmp_path).fit()
    other = trainer(tmp_path)
    clips = other.data.training  # type: ignore[attr-defined]
    if change == "keypoints":
        clips[3].keypoints[2, 1] += 1
    elif change == "labels":
        clips[3] = replace(clips[3], label=1 - clips[3].label)
    if change == "nothing":
        other.fit(resume=True)
        return
    with pytest.raises(UsageError, match="was trained on another data set"):
        other.fit(resume=True)
