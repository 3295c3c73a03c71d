import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmn_edge.datasets.reading import Clip
from mmn_edge.errors import DataError
from mmn_edge.model import labels
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import Preprocessing, features
from mmn_edge.train.data import (
    AnnotatedData,
    SyntheticData,
    TrainingWindows,
    class_counts,
    evaluation_batches,
    training_batches,
    training_order,
)
from mmn_edge.train.recipe import Recipe, load

UCLA = layouts.get("nw-ucla")
JOINT = Preprocessing.for_layout(UCLA, "joint")


def annotations(path: Path, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    entries = [
        {"frame_dir": f"c{i}", "label": i % 3, "keypoint": rng.normal(size=(1, 20 + i, 20, 3)).astype(np.float32)}
        for i in range(9)
    ]
    content = {
        "split": {"train": [f"c{i}" for i in range(6)], "test": ["c6", "c7", "c8"]},
        "annotations": entries,
        "class_names": ["a", "b", "c"],
        **changes,
    }
    path.write_bytes(pickle.dumps(content))
    return path


def data(tmp_path: Path) -> AnnotatedData:
    return AnnotatedData(annotations(tmp_path / "d.pkl"), UCLA, None, "train", "test")


def small(*changes: str) -> Recipe:
    return load("paper", ["model.frames=16", "optim.batch_size=4", *changes])


def test_annotated_data(tmp_path: Path) -> None:
    source = data(tmp_path)
    assert source.labels.classes == ("a", "b", "c")
    assert [clip.name for clip in source.epoch(0)] == [f"c{i}" for i in range(6)]
    assert [clip.label for clip in source.validation] == [0, 1, 2]


def test_classes_of_a_preset_are_found_by_name(tmp_path: Path) -> None:
    path = annotations(tmp_path / "d.pkl", class_names=["Nodding", "waving", "shaking-body"])
    names = labels.Labels(("shaking body", "nodding", "turning around", "waving"))
    source = AnnotatedData(path, UCLA, names, "train", "test")
    assert source.labels is names
    assert [clip.label for clip in source.epoch(0)] == [1, 3, 0, 1, 3, 0]
    assert [clip.label for clip in source.validation] == [1, 3, 0]
    with pytest.raises(DataError, match="1 classes that the model does not know: waving"):
        AnnotatedData(path, UCLA, labels.Labels(("shaking body", "nodding")), "train", "test")
    numbered = annotations(tmp_path / "n.pkl", class_names=None)
    assert [clip.label for clip in AnnotatedData(numbered, UCLA, names, "train", "test").validation] == [0, 1, 2]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = annotations(tmp_path / "d.pkl")
    with pytest.raises(DataError, match="20 joints, and layout ma52 has 44"):
        AnnotatedData(path, layouts.get("ma52"), labels.get("ma52"), "train", "test")
    with pytest.raises(DataError, match="no split 'val'"):
        AnnotatedData(path, UCLA, None, "train", "val")
    path = annotations(tmp_path / "e.pkl", class_names=None)
    assert len(AnnotatedData(path, UCLA, None, "train", "test").labels) == 3
    with pytest.raises(DataError, match="is in layout nw-ucla, and the recipe is for jhmdb"):
        AnnotatedData(annotations(tmp_path / "f.pkl", layout="nw-ucla"), layouts.get("jhmdb"), None, "train", "test")
    rng = np.random.default_rng(0)
    entries = [{"frame_dir": f"c{i}", "label": 0, "keypoint": rng.normal(size=(1, 9, 20, 2))} for i in range(9)]
    with pytest.raises(DataError, match="clip c0 has 2 coordinates per joint, and the model needs 3"):
        AnnotatedData(annotations(tmp_path / "g.pkl", annotations=entries), UCLA, None, "train", "test")
    entries = [{**entry, "keypoint": rng.normal(size=(1, 9, 15, 3))} for entry in entries]
    with pytest.raises(DataError, match="clip c0 has three numbers a keypoint in a layout of two coordinates"):
        AnnotatedData(annotations(tmp_path / "h.pkl", annotations=entries), layouts.get("jhmdb"), None, "train", "test")
    with pytest.raises(DataError, match="labels up to 2, and the preset names 2"):
        AnnotatedData(path, UCLA, labels.Labels(("a", "b")), "train", "test")


def test_synthetic_epochs_differ_and_come_from_the_seed() -> None:
    one, two = SyntheticData(26, 13, 1), SyntheticData(26, 13, 1)
    assert np.array_equal(one.epoch(3)[5].keypoints, two.epoch(3)[5].keypoints)
    assert not np.array_equal(one.epoch(3)[5].keypoints, one.epoch(4)[5].keypoints[: len(one.epoch(3)[5].keypoints)])
    assert len(one.validation) == 13
    assert np.isfinite(one.epoch(0)[0].keypoints).all()


def test_windows_are_a_function_of_seed_epoch_and_clip(tmp_path: Path) -> None:
    source = data(tmp_path)
    recipe = small("data.crop=0.5", "augment.rotate=20", "augment.erase=0.5")
    windows = TrainingWindows(source, JOINT, UCLA, recipe)
    x, time, label = windows[(3, 4)]
    assert x.shape == (3, 16, 20, 1)
    assert time.shape == (16,)
    assert label == 1
    again = TrainingWindows(source, JOINT, UCLA, recipe)
    again[(0, 1)]
    assert np.array_equal(again[(3, 4)][0], x)
    assert not np.array_equal(windows[(4, 4)][0], x)


def test_a_plain_recipe_gives_the_published_window(tmp_path: Path) -> None:
    source = data(tmp_path)
    x, time, _ = TrainingWindows(source, JOINT, UCLA, small("data.sampling=uniform"))[(0, 2)]
    expected = features(source.epoch(0)[2].keypoints, JOINT, frames=16)
    assert np.array_equal(x, expected[0])
    assert np.array_equal(time, expected[1])


def test_batches_are_the_same_however_many_share_them(tmp_path: Path) -> None:
    source = data(tmp_path)

    def batches(recipe: Recipe, rank: int, world: int, workers: int = 0) -> list[torch.Tensor]:
        windows = TrainingWindows(source, JOINT, UCLA, recipe)
        return [x for x, _, _ in training_batches(windows, recipe, [5], rank=rank, world=world, workers=workers)]

    (whole,) = batches(small(), 0, 1)
    assert whole.shape == (4, 3, 16, 20, 1)
    halves = batches(small("optim.accumulate=2"), 0, 1)
    ranks = [batches(small(), rank, 2)[0] for rank in (0, 1)]
    for parts in (halves, ranks):
        assert torch.equal(torch.cat(parts), whole)
    (worker,) = batches(small(), 0, 1, workers=1)
    assert torch.equal(worker, whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_one_epoch_comes_after_another(tmp_path: Path, workers: int) -> None:
    source = data(tmp_path)
    windows = TrainingWindows(source, JOINT, UCLA, small())
    expected = [batch[0] for epoch in (3, 4) for batch in training_batches(windows, small(), [epoch])]
    found = [batch[0] for batch in training_batches(windows, small(), range(3, 5), workers=workers)]
    assert len(found) == 2
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_an_epoch_sees_every_clip_once(tmp_path: Path) -> None:
    clips = data(tmp_path).epoch(0)
    one, two = (training_order(clips, small(), epoch, 3) for epoch in (0, 1))
    assert sorted(one) == sorted(two) == list(range(6))
    assert list(one) != list(two)


def test_balancing_draws_rare_classes_more_often() -> None:
    clips = [Clip(str(i), int(i >= 90), np.zeros((1, 20, 3), np.float32)) for i in range(100)]
    labels_of = np.array([clip.label for clip in clips])
    for balance, share in ((0.5, 0.25), (1.0, 0.5)):
        orders = [training_order(clips, small(f"data.balance={balance}"), epoch, 3) for epoch in range(50)]
        assert np.mean(labels_of[np.concatenate(orders) % 100]) == pytest.approx(share, abs=0.03)
    assert class_counts(clips, 3).tolist() == [90, 10, 0]


def test_a_clip_drawn_twice_in_an_epoch_is_augmented_twice(tmp_path: Path) -> None:
    source = data(tmp_path)
    recipe = small("data.balance=1", "augment.rotate=60")
    order = next(
        order for epoch in range(20) if max(order := training_order(source.epoch(epoch), recipe, epoch, 3)) >= 6
    )
    again = int(max(order))
    windows = TrainingWindows(source, JOINT, UCLA, recipe)
    one, other = windows[(0, again % 6)], windows[(0, again)]
    assert again % 6 in order
    assert one[2] == other[2]
    assert not np.array_equal(one[0], other[0])


def test_evaluation_keeps_the_order_and_the_last_clips(tmp_path: Path) -> None:
    source = data(tmp_path)
    batches = list(evaluation_batches(source.validation, JOINT, batch_size=2, frames=16))
    assert [len(target) for _, _, target in batches] == [2, 1]
    assert torch.cat([target for _, _, target in batches]).tolist() == [0, 1, 2]
