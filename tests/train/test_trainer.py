import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmn_edge import layouts, presets
from mmn_edge.architecture import Architecture
from mmn_edge.clips import Clip
from mmn_edge.errors import CheckpointError, DataError, MmnEdgeError, UsageError
from mmn_edge.labels import Labels
from mmn_edge.network import build_network, read_checkpoint
from mmn_edge.train.data import SyntheticData
from mmn_edge.train.recipe import Recipe
from mmn_edge.train.trainer import EpochResult, Trainer

ARCH = Architecture(num_classes=13, num_joints=44, width=16, depth=1, mlp_width=32)
QUICK = Recipe(
    epochs=2,
    batch_size=13,
    lr=5e-3,
    warmup_epochs=0,
    weight_decay=0.0,
    drop_path=0.0,
    head_drop=0.0,
    sampling="uniform",
)


def trainer(folder: Path, recipe: Recipe = QUICK, size: int = 52) -> Trainer:
    layout = layouts.get("ma52")
    data = SyntheticData(size, 26, recipe.seed)
    return Trainer(data, ARCH, recipe, layout, "joint", folder, "synthetic", presets.get("synthetic").window)


class EasyData:
    """Standing still against waving all ten fingers."""

    labels = Labels(("still", "moving"))

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        pose = rng.normal(300, 60, (44, 2))
        clips = []
        for index in range(96):
            keypoints = pose + rng.normal(0, 1, (64, 44, 2))
            if index % 2:
                swing = 40 * np.sin(np.arange(64) / rng.uniform(1, 2) + rng.uniform(0, 6))
                keypoints[:, 32:] += swing[:, None, None]
            clips.append(Clip(str(index), index % 2, keypoints.astype(np.float32)))
        self.training, self.validation = clips[:64], clips[64:]

    def epoch(self, number: int) -> Sequence[Clip]:
        return self.training


def test_training_learns_and_writes_checkpoints_that_describe_themselves(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    arch = replace(ARCH, num_classes=2)
    recipe = QUICK.with_values(epochs=6, batch_size=8)
    window = presets.get("synthetic").window
    run = Trainer(EasyData(), arch, recipe, layouts.get("ma52"), "joint", tmp_path, "synthetic", window)
    best = run.fit(on_step=lambda step, steps, loss: seen.append((step, steps)))
    assert seen[:8] == [(step, 8) for step in range(1, 9)]
    assert best.accuracy > 0.9
    assert best.accuracy == max(result.accuracy for result in run.history)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == [1, 2, 3, 4, 5, 6]
    state, description = read_checkpoint(tmp_path / "best.pt")
    assert build_network(state).arch == arch
    assert description["preset"] == "synthetic"
    assert description["result"]["epoch"] == best.epoch
    assert description["recipe"]["lr"] == 5e-3
    assert not list(tmp_path.glob(".*partial*"))


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    for name in ("one", "two"):
        trainer(tmp_path / name, QUICK.with_values(epochs=1)).fit()
    one, _ = read_checkpoint(tmp_path / "one" / "last.pt")
    two, _ = read_checkpoint(tmp_path / "two" / "last.pt")
    for key, value in one.items():
        assert torch.equal(value, two[key]), key


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    trainer(tmp_path, QUICK.with_values(epochs=1)).fit()
    before = (tmp_path / "best.pt").read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        trainer(tmp_path, QUICK.with_values(epochs=1)).fit()
    assert (tmp_path / "best.pt").read_bytes() == before


def test_a_finished_run_resumes_to_its_result(tmp_path: Path) -> None:
    best = trainer(tmp_path, QUICK.with_values(epochs=2)).fit()
    assert trainer(tmp_path, QUICK.with_values(epochs=2)).fit(resume=True) == best


def test_only_the_same_run_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        trainer(tmp_path / "none").fit(resume=True)
    trainer(tmp_path, QUICK.with_values(epochs=1)).fit()
    with pytest.raises(UsageError, match="another recipe"):
        trainer(tmp_path, QUICK.with_values(epochs=2)).fit(resume=True)
    (tmp_path / "last.pt").write_bytes((tmp_path / "best.pt").read_bytes())
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        trainer(tmp_path, QUICK.with_values(epochs=1)).fit(resume=True)


def test_too_few_clips_for_a_batch(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="smaller --batch-size"):
        trainer(tmp_path, size=5).fit()


def test_a_checkpoint_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    def block(result: EpochResult) -> None:
        (tmp_path / "last.pt").rename(tmp_path / "kept.pt")
        (tmp_path / "last.pt").mkdir()

    with pytest.raises(MmnEdgeError, match=r"cannot write .*last\.pt"):
        trainer(tmp_path).fit(on_epoch=block)
    for name in ("best.pt", "kept.pt"):
        build_network(read_checkpoint(tmp_path / name)[0])
    assert not list(tmp_path.glob(".*partial*"))


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_diverging_run_stops_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(MmnEdgeError, match="lower --lr"):
        trainer(tmp_path, QUICK.with_values(lr=1e30, epochs=3)).fit()
