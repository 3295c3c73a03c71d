from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.posture import crowded_place, turned
from mmn_edge.datasets.reading import read_clips
from mmn_edge.datasets.synthetic.clips import dataset
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray

LEGS = slice(11, 17)


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    return dataset(13, 5, fps=(30, 30), seconds=(2, 2))


def points(entry: dict[str, Any]) -> FloatArray:
    hidden: FloatArray = np.where(entry["keypoint_score"][0, ..., None] >= 0.2, entry["keypoint"][0], np.float32("nan"))
    return hidden


@pytest.mark.parametrize(
    ("matrix", "angle"),
    [
        ([[1, 0], [0, 1]], 0),
        ([[-1, 0], [0, 1]], 0),  # a mirror, or somebody seen from behind
        ([[0, -1], [1, 0]], 90),
        ([[0, 1], [1, 0]], 90),  # rows before columns
        ([[-1, 0], [0, -1]], 180),
        ([[1, 0], [0, -1]], 180),  # y points up
    ],
)
def test_how_a_body_is_turned(entries: list[dict[str, Any]], matrix: list[list[float]], angle: float) -> None:
    for entry in entries:
        found = turned(points(entry) @ np.array(matrix, np.float32), "ma52")
        assert found is not None
        assert abs(found - angle) < 20


def test_axes_of_the_layout_say_what_is_up(entries: list[dict[str, Any]]) -> None:
    pose = np.array(layouts.get("kinect-v2").pose, np.float32)[None]
    up = np.concatenate([-pose, np.ones_like(pose[..., :1])], axis=-1)  # left, up, away
    assert turned(up, "kinect-v2") == pytest.approx(0, abs=1)
    assert turned(-up, "kinect-v2") == pytest.approx(180, abs=1)


def test_too_little_says_nothing(entries: list[dict[str, Any]]) -> None:
    few = points(entries[0]).copy()
    few[:, 5:] = np.nan
    assert turned(few, "ma52") is None
    assert turned(points(entries[0]), None) is None
    assert turned(np.ones((3, 44, 2), np.float32), "ma52") is None
    assert turned(points(entries[0]), "coco17") is None


def test_a_place_that_too_many_joints_share(entries: list[dict[str, Any]]) -> None:
    moving, still = points(entries[0]), np.repeat(points(entries[0])[:1], 60, axis=0)
    assert crowded_place(moving) is None
    assert crowded_place(still) is None
    hidden = moving.copy()
    hidden[:, LEGS] = (0, 480)
    assert crowded_place(hidden) == (6 * len(hidden), (0, 480))
    assert crowded_place(np.full((4, 44, 2), np.nan, np.float32)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda keypoint: keypoint * np.float32([1, -1]), "the body stands on its head, turned by 1[78]. degrees"),
        (lambda keypoint: keypoint[..., ::-1], "the body lies on its side, turned by [89]. degrees"),
        (
            lambda keypoint: _placed(keypoint, (-100, -100)),
            r"13 clips with many joints at exactly one .* at -100, -100\)",
        ),
        (lambda keypoint: _placed(keypoint, (0, 480)), r"13 clips with many joints at exactly one .* at 0, 480\)"),
    ],
)
def test_whoever_reads_the_clips_is_told(
    tmp_path: Path, entries: list[dict[str, Any]], change: Any, words: str
) -> None:
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": entries, "layout": "ma52"}))
    assert not read_clips(path).findings
    changed = [{**entry, "keypoint": change(entry["keypoint"])} for entry in entries]
    path.write_bytes(pickle.dumps({"annotations": changed, "layout": "ma52"}))
    assert re.search(words, " ".join(read_clips(path).findings))


def _placed(keypoint: FloatArray, place: tuple[float, float]) -> FloatArray:
    changed = keypoint.copy()
    changed[:, :, LEGS] = place
    return changed
