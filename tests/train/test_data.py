import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge import labels, layouts
from mmn_edge.errors import DataError
from mmn_edge.preprocess import Preprocessing, features
from mmn_edge.train.data import AnnotatedData, SyntheticData, evaluation_batches, training_batches


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


def test_annotated_data(tmp_path: Path) -> None:
    data = AnnotatedData(annotations(tmp_path / "d.pkl"), layouts.get("nw-ucla"), None, "train", "test")
    assert data.labels.classes == ("a", "b", "c")
    assert [clip.name for clip in data.epoch(0)] == [f"c{i}" for i in range(6)]
    assert [clip.label for clip in data.validation] == [0, 1, 2]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = annotations(tmp_path / "d.pkl")
    with pytest.raises(DataError, match="20 joints, and layout ma52 has 44"):
        AnnotatedData(path, layouts.get("ma52"), labels.get("ma52"), "train", "test")
    with pytest.raises(DataError, match="no split 'val'"):
        AnnotatedData(path, layouts.get("nw-ucla"), None, "train", "val")
    two = annotations(tmp_path / "two.pkl", class_names=["a", "b"])
    with pytest.raises(DataError, match="there are 2 classes"):
        AnnotatedData(two, layouts.get("nw-ucla"), None, "train", "test")


def test_training_batches_hold_each_clip_once_and_drop_the_rest(tmp_path: Path) -> None:
    layout = layouts.get("nw-ucla")
    data = AnnotatedData(annotations(tmp_path / "d.pkl"), layout, None, "train", "test")
    preprocessing = Preprocessing.for_layout(layout, "joint")

    def batches(seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        return list(
            training_batches(
                data.epoch(0),
                preprocessing,
                batch_size=4,
                frames=64,
                sampling="random",
                erase_probability=0.0,
                rng=rng,
            )
        )

    (first,) = batches(0)
    assert first[0].shape == (4, 3, 64, 20, 1)
    assert first[1].shape == (4, 64)
    assert first[2].shape == (4,)
    assert (first[1].diff(dim=1) >= 0).all()
    (again,) = batches(0)
    (other,) = batches(1)
    assert (first[0] == again[0]).all()
    assert not (first[0] == other[0]).all()


def test_evaluation_batches_are_the_published_windows(tmp_path: Path) -> None:
    layout = layouts.get("nw-ucla")
    data = AnnotatedData(annotations(tmp_path / "d.pkl"), layout, None, "train", "test")
    preprocessing = Preprocessing.for_layout(layout, "bone")
    batches = list(evaluation_batches(data.validation, preprocessing, batch_size=2, frames=64))
    assert [len(batch[2]) for batch in batches] == [2, 1]
    expected, time = features(data.validation[2].keypoints, preprocessing)
    np.testing.assert_array_equal(batches[1][0][0], expected)
    np.testing.assert_array_equal(batches[1][1][0], time)


def test_synthetic_data_is_new_every_epoch_and_the_same_every_run() -> None:
    one, two = SyntheticData(26, 13, seed=3), SyntheticData(26, 13, seed=3)
    for a, b in zip(one.epoch(0), two.epoch(0), strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        assert np.isfinite(a.keypoints).all()
    names = [{clip.name for clip in one.epoch(e)} for e in range(3)] + [{clip.name for clip in one.validation}]
    assert len(set.union(*names)) == 3 * 26 + 13
