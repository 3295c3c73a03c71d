from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.errors import CheckpointError, UsageError
from mmn_edge.model.architecture import Architecture, parse_options

Shapes = dict[str, tuple[int, ...]]


def shapes(**changes: tuple[int, ...] | None) -> Shapes:
    """The telling shapes of an MMN with 44 joints, 52 classes and 3 blocks; ``__`` stands for a dot, None removes."""
    found: Shapes = {f"MFM.0.blocks.{block}.gconv": (4, 44, 44) for block in range(3)}
    found |= {
        "MFM.0.blocks.0.mlp.fc1.weight": (192, 96),
        "projection.0.weight": (4, 2, 1, 1),
        "projection.4.weight": (96, 6, 1, 1),
        "head.weight": (52, 96),
        "STPE": (96, 44),
    }
    for key, shape in changes.items():
        name = key.replace("__", ".")
        if shape is None:
            del found[name]
        else:
            found[name] = shape
    return found


@pytest.mark.parametrize(("name", "joints", "classes"), [("ma52", 44, 52), ("imigue", 22, 32)])
def test_the_published_models_are_recognised_by_shape(shared: Path, name: str, joints: int, classes: int) -> None:
    file = shared / "fixtures" / f"{name}_state_dict_shapes.json"
    published = json.loads(file.read_text(encoding="utf-8"))
    assert Architecture.from_shapes(published) == Architecture(num_classes=classes, num_joints=joints)


def test_every_option_that_shapes_tell_is_read_from_them() -> None:
    found = Architecture.from_shapes(
        {
            "MFM.0.blocks.0.gconv": (2, 10, 10),
            "MFM.0.blocks.1.gconv": (2, 10, 10),
            "MFM.1.blocks.2.gconv": (2, 10, 10),
            "MFM.0.blocks.0.mlp.fc1.weight": (48, 32),
            "projection.0.weight": (6, 3, 1, 1),
            "projection.4.weight": (32, 9, 1, 1),
            "head.weight": (7, 32),
            "STPE_": (1, 32, 40, 10),
        },
        {"num_people": 2, "global_pool": "max"},
    )
    assert found == Architecture(
        num_classes=7,
        num_joints=5,
        num_people=2,
        in_channels=3,
        num_frames=40,
        width=32,
        depth=2,
        num_heads=2,
        mlp_width=48,
        index_t=False,
        global_pool="max",
    )
    assert found.graph_joints == 10


def test_dict_round_trip() -> None:
    arch = Architecture(num_classes=3, num_joints=5, global_pool="max", index_t=False, num_frames=16)
    assert Architecture.from_dict(json.loads(json.dumps(arch.to_dict()))) == arch
    with pytest.raises(TypeError, match="colour"):
        Architecture.from_dict({**arch.to_dict(), "colour": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 51}, "num_classes=51 contradicts .* num_classes=52"),
        ({"num_joints": 22}, "num_joints=22 contradicts"),
        ({"num_people": 2, "num_joints": 44}, "num_joints=44 contradicts .* num_joints=22"),
        ({"in_channels": 3}, "in_channels=3 contradicts"),
        ({"index_t": False}, "index_t=False contradicts"),
        ({"num_people": 3}, "num_people=3 does not divide the checkpoint's 44 joints"),
        ({"num_people": 0}, "num_people=0 does not divide"),
        ({"num_people": -1}, "num_people=-1 does not divide"),
        ({"global_pool": "sum"}, "global_pool='sum' must be 'avg' or 'max'"),
        ({"num_frames": 60}, "num_frames=60 must be divisible by 8"),
    ],
)
def test_an_option_that_contradicts_the_shapes_or_makes_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Architecture.from_shapes(shapes(), options)


def test_options_that_agree_with_the_shapes_are_accepted() -> None:
    options = {"num_people": 2, "num_joints": 22, "num_classes": 52, "index_t": True, "num_frames": 32}
    assert Architecture.from_shapes(shapes(), options).num_frames == 32


def test_num_frames_contradicts_the_learned_positional_tensor() -> None:
    with pytest.raises(UsageError, match=r"num_frames=64 contradicts .* num_frames=32"):
        Architecture.from_shapes(shapes(STPE=None, STPE_=(1, 96, 32, 44)), {"num_frames": 64})


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({}, r"MFM\.0\.blocks\.0\.gconv is missing \(it holds 0 tensors\)"),
        ({"conv1.weight": (64, 3, 7, 7)}, r"gconv is missing \(it holds 1 tensors, such as conv1\.weight\)"),
        (shapes(head__weight=None), r"head\.weight is missing"),
        (shapes(head__weight=()), r"head\.weight is of shape \(\)"),
        (shapes(projection__0__weight=(4,)), r"projection\.0\.weight is of shape \(4,\)"),
    ],
)
def test_other_checkpoints_are_told_apart(broken: Shapes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Architecture.from_shapes(broken)


@pytest.mark.parametrize(
    "name", ["num_classes", "num_joints", "num_people", "in_channels", "width", "depth", "num_heads", "mlp_width"]
)
def test_counts_must_be_positive(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}=0 must be at least 1"):
        Architecture(**{"num_classes": 3, "num_joints": 5, name: 0})


def test_width_must_be_divisible_into_head_groups() -> None:
    with pytest.raises(UsageError, match="width=40 must be divisible by 4 x num_heads"):
        Architecture(num_classes=3, num_joints=5, width=40)


def test_options_are_parsed_by_type() -> None:
    pairs = ["num_people=2", "index_t=No", "global_pool=max"]
    assert parse_options(pairs) == {"num_people": 2, "index_t": False, "global_pool": "max"}
    assert parse_options(["index_t=1"]) == {"index_t": True}
    assert parse_options([]) == {}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("num_people", "not of the form name=value"),
        ("people=2", "known name: num_classes, num_joints, num_people"),
        ("=2", "not of the form name=value"),
        ("num_people=two", "num_people=two must be a whole number"),
        ("num_people=2.0", "must be a whole number"),
        ("index_t=maybe", "index_t=maybe must be true or false"),
    ],
)
def test_malformed_options(pair: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_options([pair])


@pytest.mark.parametrize("frames", [8, 20])
def test_four_scales_of_two_frames_at_least(frames: int) -> None:
    with pytest.raises(UsageError, match=f"num_frames={frames} must be divisible by 8 .* at least 16"):
        Architecture(num_classes=3, num_joints=5, num_frames=frames)
