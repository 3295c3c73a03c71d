from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.datasets import splits
from mmn_edge.datasets.splits import draw, parse
from mmn_edge.errors import UsageError


def test_shares_by_name() -> None:
    assert parse("train=0.7, val=0.15,test=.15") == {"train": 0.7, "val": 0.15, "test": 0.15}


@pytest.mark.parametrize(
    "text",
    ["", "train", "train=", "=1", "train=0", "train=-1", "train=2", "train=x", "train=nan", "a=.5,a=.5", "a=.5,"],
)
def test_what_are_no_shares(text: str) -> None:
    with pytest.raises(UsageError, match=r"splits are given as train=0\.85,val=0\.15"):
        parse(text)


def test_more_than_all() -> None:
    with pytest.raises(UsageError, match="more than 1 in all"):
        parse("train=0.9,val=0.2")


def test_every_class_is_shared_out_alike() -> None:
    labels = [0] * 20 + [3] * 10 + [1] * 3 + [2]
    drawn = draw(labels, {"train": 0.8, "val": 0.2})
    assert sorted(drawn["train"] + drawn["val"]) == list(range(len(labels)))
    counts = {
        split: [sum(labels[i] == label for i in indices) for label in range(4)] for split, indices in drawn.items()
    }
    assert counts == {"train": [16, 2, 1, 8], "val": [4, 1, 0, 2]}


def test_a_seed_is_a_choice() -> None:
    labels = [0, 1] * 50
    plan = {"train": 0.5, "val": 0.5}
    assert draw(labels, plan, seed=1) == draw(labels, plan, seed=1)
    assert draw(labels, plan, seed=1) != draw(labels, plan, seed=2)


def test_blocks_keep_the_order() -> None:
    drawn = draw([0, 1, 0, 1, 0, 0], {"train": 0.5, "val": 0.5}, blocks=True)
    assert drawn == {"train": [0, 1, 2], "val": [3, 4, 5]}


def test_what_is_left_is_in_no_split() -> None:
    drawn = draw([0] * 10, {"train": 0.5, "val": 0.2})
    assert {split: len(indices) for split, indices in drawn.items()} == {"train": 5, "val": 2}


def test_whole_persons_go_into_one_split_and_classes_come_near_their_shares() -> None:
    rng = np.random.default_rng(1)
    groups = [f"p{index}" for index in range(20) for _ in range(int(rng.integers(8, 30)))]
    labels = rng.integers(0, 4, len(groups)).tolist()
    drawn = splits.draw_groups(labels, groups, {"train": 0.7, "val": 0.2}, seed=3)
    persons = {split: {groups[index] for index in indices} for split, indices in drawn.items()}
    assert not persons["train"] & persons["val"]
    assert len(persons["train"] | persons["val"]) < 20  # a tenth is in no split
    for split, share in (("train", 0.7), ("val", 0.2)):
        for label in range(4):
            of_class = [index for index in drawn[split] if labels[index] == label]
            assert len(of_class) / labels.count(label) == pytest.approx(share, abs=0.08)
    assert drawn == splits.draw_groups(labels, groups, {"train": 0.7, "val": 0.2}, seed=3)
    assert drawn != splits.draw_groups(labels, groups, {"train": 0.7, "val": 0.2}, seed=4)


def test_no_split_of_groups_is_empty() -> None:
    drawn = splits.draw_groups([0] * 102, ["big"] * 100 + ["a", "b"], {"train": 0.9, "val": 0.05, "test": 0.05})
    assert sorted(map(len, drawn.values())) == [1, 1, 100]
    with pytest.raises(UsageError, match=r"3 splits cannot be drawn of 2 \(a, b\)"):
        splits.draw_groups([0, 0], ["a", "b"], splits.folds(3))
    with pytest.raises(UsageError, match="1 folds make no sense"):
        splits.folds(1)
