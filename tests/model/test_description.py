from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.errors import CheckpointError, LayoutError, UsageError
from mmn_edge.model import labels
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.description import Identity, described_options, described_temperature, identify
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window

MA52 = Architecture(num_classes=52, num_joints=44)
OWN: dict[str, Any] = {
    "preset": "jhmdb",
    "layout": "jhmdb",
    "labels": Labels(("a", "b")).to_dict(),
    "window": asdict(Window(64, 1.2, 0.5)),
    "stream": "bone",
}


def identified(
    arch: Architecture, description: dict[str, Any], preset: str | None = None, stream: str | None = None
) -> Identity:
    return identify(arch, description, preset=preset, stream=stream, origin=Path("m.pt"))


def test_the_authors_checkpoints_are_known_by_their_shapes() -> None:
    found = identified(MA52, {})
    assert found.preset == "ma52"
    assert found.labels == labels.get("ma52")
    assert found.stream == "joint"
    assert found.preprocessing(MA52).order[:3] == (7, 9, 32)


def test_ours_say_what_they_are() -> None:
    arch = Architecture(num_classes=2, num_joints=15)
    found = identified(arch, OWN)
    assert found.layout is not None
    assert (found.layout.name, found.labels.classes, found.stream) == ("jhmdb", ("a", "b"), "bone")
    assert found.window.stride == 0.5
    assert found.preprocessing(arch).stream == "bone"


def test_what_nobody_knows() -> None:
    arch = Architecture(num_classes=3, num_joints=5)
    found = identified(arch, {})
    assert (found.layout, found.labels) == (None, Labels.numbered(3))
    assert found.preprocessing(arch).order == (0, 1, 2, 3, 4)
    bone = identified(arch, {}, stream="bone")
    with pytest.raises(UsageError, match="stream bone needs the bones and the joint order of a layout"):
        bone.preprocessing(arch)
    assert bone.preprocessing(arch, any_stream=True).stream == "joint"


def test_contradictions() -> None:
    arch = Architecture(num_classes=2, num_joints=15)
    with pytest.raises(UsageError, match=r"m\.pt was trained on stream bone"):
        identified(arch, OWN, stream="joint")
    with pytest.raises(UsageError, match="unknown stream 'mine'"):
        identified(arch, {}, stream="mine")
    with pytest.raises(LayoutError, match="num_people=2"):
        identified(Architecture(num_classes=52, num_joints=88), {}, preset="ma52")
    with pytest.raises(CheckpointError, match="has 3 classes, and preset ma52 names 52"):
        identified(Architecture(num_classes=3, num_joints=44), {}, preset="ma52")
    with pytest.raises(CheckpointError, match="describes itself wrongly"):
        identified(arch, {**OWN, "window": 3})
    with pytest.raises(CheckpointError, match="broken list of classes"):
        identified(arch, {**OWN, "labels": {"groups": []}})


def test_described_values() -> None:
    options = {"num_people": 2, "global_pool": "max", "colour": "red"}
    assert described_options({"options": options}) == {"num_people": 2, "global_pool": "max"}
    assert described_options({"options": 3}) == described_options({}) == {}
    with pytest.raises(CheckpointError, match="its num_frames is '64', which is no int"):
        described_options({"options": {"num_frames": "64"}})
    assert described_temperature({}, Path("m.pt")) == 1.0
    assert described_temperature({"temperature": 2}, Path("m.pt")) == 2.0
    with pytest.raises(CheckpointError, match=r"m\.pt has a temperature of -1"):
        described_temperature({"temperature": -1}, Path("m.pt"))
