from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.clip import Clip, ClipEntry, ClipSource, class_index, make_clip
from mmn_edge.errors import DataError


@pytest.mark.parametrize(
    ("label", "names", "index"),
    [
        (3, None, 3),
        (np.int64(3), None, 3),
        (np.float32(3), None, 3),
        (" 3 ", None, 3),
        ("b", ("a", "b"), 1),
        ("1", ("1", "0"), 0),  # the name comes first
        (-1, None, -1),
    ],
)
def test_labels_are_indices_or_names(label: Any, names: tuple[str, ...] | None, index: int) -> None:
    assert class_index(label, names) == index


@pytest.mark.parametrize("label", [None, True, 1.5, float("nan"), float("inf"), "nod", "", "²", [1], np.array([1, 2])])
def test_what_is_no_label(label: Any) -> None:
    with pytest.raises(ValueError, match="is no"):
        class_index(label, None)


def test_the_first_person_is_taken_and_unseen_joints_become_nan() -> None:
    keypoints = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2)
    scores = np.ones((2, 3, 4))
    scores[0, 1, 2], scores[0, 2, 3] = 0, np.nan
    clip = make_clip("here", "a", 1, keypoints, scores)
    assert clip.keypoints.dtype == np.float32
    assert np.argwhere(np.isnan(clip.keypoints).all(axis=-1)).tolist() == [[1, 2], [2, 3]]
    assert clip.keypoints[0].tolist() == keypoints[0, 0].tolist()


def test_numbers_beyond_float32_are_infinite() -> None:
    with pytest.raises(DataError, match="here is infinite in frame 1, joint 0"):
        make_clip("here", "a", 0, np.array([1, 1e300]).reshape(1, 2, 1, 1).repeat(2, axis=-1))


def test_entries_and_absent_names_of_a_split() -> None:
    def read() -> Clip:
        raise AssertionError("lists are read without clips")

    entries = tuple(ClipEntry(name, splits, read) for name, splits in (("a", ("x",)), ("b", ("x", "y")), ("c", ())))
    source = ClipSource(Path("set"), "kind", entries, {"x": ("a", "b", "d"), "y": ("b",)})
    assert [entry.name for entry in source.of_split("y")] == ["b"]
    assert len(source.of_split(None)) == 3
    assert (source.absent("x"), source.absent("y")) == (("d",), ())
    with pytest.raises(DataError, match="set has no split 'z': it has x, y"):
        source.of_split("z")
