from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmn_edge.errors import BundleError, UsageError
from mmn_edge.model import labels
from mmn_edge.model.labels import Labels

COUNTS = {"imigue": 32, "ma52": 52, "synthetic": 13, "synthetic-scenes": 12}


def test_names_and_counts() -> None:
    assert {name: len(labels.get(name)) for name in labels.names()} == COUNTS


@pytest.mark.parametrize("name", COUNTS)
def test_label_sets_are_sound(name: str) -> None:
    found = labels.get(name)
    assert len(set(found.classes)) == len(found)
    assert all(found.classes)
    if found.groups:
        assert len(found.class_groups) == len(found)
        assert set(found.class_groups) == set(range(len(found.groups)))  # no group is empty


def test_body_level_groups_of_ma52() -> None:
    found = labels.get("ma52")
    firsts = [found.class_groups.index(group) for group in range(7)]
    assert firsts == [0, 5, 11, 24, 32, 38, 48]
    assert list(found.class_groups) == sorted(found.class_groups)
    assert found.group_of(0) == found.groups[0]
    assert found.group_of(51) == found.groups[6]


@pytest.mark.parametrize("name", ["imigue", "ma52"])
def test_published_class_names_in_published_order(shared: Path, name: str) -> None:
    text = (shared / "labels" / f"{name}_classes.json").read_text(encoding="utf-8")
    entries = json.loads(text)["classes"]
    assert [entry["id"] for entry in entries] == list(range(COUNTS[name]))
    assert [entry["name"] for entry in entries] == list(labels.get(name).classes)


@pytest.mark.parametrize("name", COUNTS)
def test_round_trip_through_json(name: str) -> None:
    found = labels.get(name)
    assert Labels.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_numbered_labels() -> None:
    found = Labels.numbered(3)
    assert found.classes == ("class 0", "class 1", "class 2")
    assert found.group_of(2) is None
    assert Labels.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("group", [2, -1, None, "0"])
def test_a_class_of_no_group_is_refused(group: object) -> None:
    with pytest.raises(BundleError, match="a group that does not exist"):
        Labels.from_dict({"groups": ["a", "b"], "classes": [{"name": "x", "group": 0}, {"name": "y", "group": group}]})


@pytest.mark.parametrize("name", ["mars", "", "../layouts/ma52", "ma52.json"])
def test_an_unknown_set(name: str) -> None:
    with pytest.raises(UsageError, match="choose one of imigue, ma52, synthetic"):
        labels.get(name)
