from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.reading import Clip, ClipSet, open_source, read_clips, splits
from mmn_edge.errors import DataError

Values = dict[str, Any]
Save = Callable[[Any], Path]


def annotation(name: str = "a", label: Any = 0, frames: int = 4, **changes: Any) -> Values:
    keypoint = np.arange(frames * 6, dtype=np.float16).reshape(1, frames, 3, 2) + 1
    return {"frame_dir": name, "label": label, "total_frames": frames, "keypoint": keypoint, **changes}


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(content: Any) -> Path:
        path = tmp_path / "set.pkl"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set in the authors' format: its labels in another order than its data, its scores all zero."""
    entries = [annotation(name, keypoint_score=np.zeros((1, 4, 3))) for name in ("a", "b", "c")]
    labels = [{"file_name": name, "label": label} for name, label in (("c", 2), ("a", 0))]
    (tmp_path / "val_data.pkl").write_bytes(pickle.dumps({"annotations": entries}))
    (tmp_path / "val_label.pkl").write_bytes(pickle.dumps(labels))
    return tmp_path


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.pkl does not exist"):
        read_clips(tmp_path / "none.pkl")
    with pytest.raises(DataError, match=r"train_data\.pkl does not exist"):
        read_clips(tmp_path, "train")


@pytest.mark.parametrize(("name", "joints", "classes"), [("MA52", 44, 52), ("iMiGUE", 22, 32)])
def test_the_authors_folders(shared: Path, name: str, joints: int, classes: int) -> None:
    folder = shared / "fixtures" / "data" / name
    assert splits(folder) == ("train", "val", "test")
    for split in splits(folder):
        found = read_clips(folder, split)
        assert found.class_names is None
        assert all(clip.keypoints.shape[1:] == (joints, 2) for clip in found.clips)
        assert all(clip.keypoints.dtype == np.float32 and np.isfinite(clip.keypoints).all() for clip in found.clips)
        assert all(0 <= clip.label < classes for clip in found.clips)
    assert len(read_clips(folder, "val").clips) == 10


@pytest.mark.parametrize(
    ("name", "sizes", "shape", "classes"),
    [
        ("nw_ucla", {"train": 1020, "test": 464}, (20, 3), 10),
        ("jhmdb14_split1", {"train": 433, "test": 176}, (15, 2), 14),
    ],
)
def test_real_annotation_pickles(
    shared: Path, name: str, sizes: dict[str, int], shape: tuple[int, int], classes: int
) -> None:
    path = shared / "data" / f"{name}.pkl"
    if not path.is_file():
        pytest.skip(f"the data set {path} is not here")
    assert set(splits(path)) == set(sizes)
    names = set[str]()
    for split, size in sizes.items():
        found = read_clips(path, split)
        assert len(found.clips) == size
        assert found.num_classes == classes
        assert {clip.keypoints.shape[1:] for clip in found.clips} == {shape}
        names |= {clip.name for clip in found.clips}
    assert len(names) == sum(sizes.values())  # the splits share no clip


def test_scores_of_zero_become_nan(save: Save) -> None:
    scores = np.full((1, 4, 3), 0.5)
    scores[0, 1, 2] = 0
    (clip,) = read_clips(save({"annotations": [annotation(keypoint_score=scores)]})).clips
    assert np.argwhere(np.isnan(clip.keypoints)).tolist() == [[1, 2, 0], [1, 2, 1]]
    assert clip.keypoints[0].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_the_authors_format_is_in_label_order_and_ignores_scores(folder: Path) -> None:
    found = read_clips(folder, "val")
    assert [(clip.name, clip.label) for clip in found.clips] == [("c", 2), ("a", 0)]
    assert all(np.isfinite(clip.keypoints).all() for clip in found.clips)
    assert found.num_classes == 3
    assert splits(folder) == ("val",)


def test_labelled_clips_without_data(folder: Path) -> None:
    labels = [{"file_name": name, "label": 0} for name in ("a", "x", "y")]
    (folder / "val_label.pkl").write_bytes(pickle.dumps(labels))
    with pytest.raises(DataError, match="split val names 2 clips that are not there, the first is x"):
        read_clips(folder, "val")


@pytest.mark.parametrize("labels", [None, 3, [1], [{"label": 1}], [{"file_name": "a"}]])
def test_labels_in_another_format(folder: Path, labels: object) -> None:
    (folder / "val_label.pkl").write_bytes(pickle.dumps(labels))
    with pytest.raises(DataError, match="not in the authors' format"):
        read_clips(folder, "val")


def test_first_person_and_unnamed_split(save: Save) -> None:
    two = np.stack([np.ones((4, 3, 2)), np.zeros((4, 3, 2))])
    path = save({"annotations": [annotation("a", 1, keypoint=two), annotation("b", 3)], "split": {"train": ["b"]}})
    found = read_clips(path)
    assert [clip.name for clip in found.clips] == ["a", "b"]
    assert (found.clips[0].keypoints == 1).all()
    assert found.num_classes == 4
    assert [clip.name for clip in read_clips(path, "train").clips] == ["b"]


def test_named_classes_count_even_where_no_clip_has_them() -> None:
    clip = Clip("a", 1, np.zeros((1, 1, 2), np.float32))
    assert ClipSet((clip,), ("x", "y", "z")).num_classes == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": []}, r"holds no clips in split train"),
        ({"annotations": [annotation()], "split": {"test": ["a"]}}, r"no split 'train': it has test"),
        ({"annotations": [annotation()]}, r"no split 'train': it has none"),
        (
            {"annotations": [annotation("b")], "split": {"train": ["a"]}},
            r"1 clips that are not there, the first is a",
        ),
        ({"annotations": [annotation()], "split": {"train": 3}}, r"split train must be a list of clip names"),
    ],
)
def test_splits_that_are_not_there(save: Save, content: Values, message: str) -> None:
    content = {"split": {"train": []}, **content} if not content["annotations"] else content
    with pytest.raises(DataError, match=message):
        read_clips(save(content), "train")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [annotation(), annotation("b", keypoint=np.ones((1, 2, 5, 2)))],
            r"mixes layouts: clip a .*\(3, 2\) and clip b",
        ),
        ([annotation(label=2)], "clip a has label 2, and there are 2 classes"),
        ([annotation(label=-1)], "clip a has .*label -1"),
        ([annotation(label=None)], r"clip a needs a label.*\(None is no label\)"),
        ([annotation(label=1.5)], r"clip a needs a label.*\(1.5 is no label\)"),
        ([annotation(label="nod")], r"clip a needs a label.*\('nod' is no class: the classes are x, y\)"),
        ([{"frame_dir": "a", "label": 0}], r'clip a needs "keypoint"'),
        ([annotation(keypoint="x")], 'clip a needs "keypoint"'),
        ([annotation(keypoint=[])], r"clip a has keypoints of shape \(0,\)"),
        ([annotation(keypoint=[[1, 2], [3]])], 'clip a needs "keypoint"'),
        ([annotation(keypoint=np.ones((4, 3, 2)))], r"shape \(4, 3, 2\): they must be \(M, T, V, C\)"),
        ([annotation(keypoint=np.ones((1, 0, 3, 2)))], r"shape \(1, 0, 3, 2\)"),
        ([annotation(keypoint=np.ones((1, 4, 3, 4)))], r"2 or 3 coordinates"),
        ([annotation(keypoint=np.full((1, 2, 3, 2), np.inf))], "clip a is infinite in frame 0, joint 0"),
        ([annotation(keypoint=np.full((1, 2, 3, 2), np.nan))], "clip a holds no joint that was ever seen: remove it"),
        ([annotation(keypoint_score=np.zeros((1, 4, 3)))], "clip a holds no joint that was ever seen"),
        ([annotation(), annotation("b", label=2)], "clip b has label 2"),
        ([annotation(keypoint_score=np.ones((1, 4, 2)))], "scores of another shape"),
    ],
)
def test_clips_that_are_broken(save: Save, entries: list[Values], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_clips(save({"annotations": entries, "class_names": ["x", "y"]}))


@pytest.mark.parametrize("content", [None, [], {}, {"annotations": {}}, np.zeros(3)])
def test_pickles_that_are_no_annotations(save: Save, content: object) -> None:
    with pytest.raises(DataError, match="is no annotation pickle"):
        read_clips(save(content))


@pytest.mark.parametrize(
    "content",
    [
        {"annotations": [1]},
        {"annotations": [annotation(label=np.inf)]},
        {"annotations": [annotation(keypoint_score=3)]},
        {"annotations": [annotation(keypoint_score="x")]},
        {"annotations": [annotation()], "class_names": 3},
        {"annotations": [annotation()], "split": ["train"]},
    ],
)
def test_malformed_entries_are_data_errors(save: Save, content: Values) -> None:
    with pytest.raises(DataError):
        read_clips(save(content), "train" if "split" in content else None)


def test_a_clip_of_one_frame(save: Save) -> None:
    (clip,) = read_clips(save({"annotations": [annotation(frames=1)]})).clips
    assert clip.keypoints.shape == (1, 3, 2)


def test_infinite_values_of_joints_that_were_not_seen(save: Save) -> None:
    keypoint = np.ones((1, 2, 3, 2))
    keypoint[0, 0, 1] = np.inf
    scores = np.ones((1, 2, 3))
    scores[0, 0, 1] = 0
    (clip,) = read_clips(save({"annotations": [annotation(keypoint=keypoint, keypoint_score=scores)]})).clips
    assert np.isnan(clip.keypoints).sum() == 2


def test_only_the_split_that_is_asked_for_must_be_whole(save: Save) -> None:
    entries = [annotation(), annotation("b", label=1.5)]
    path = save({"annotations": entries, "split": {"train": ["a"], "test": ["b"], "none": ["c"]}})
    assert len(read_clips(path, "train").clips) == 1
    with pytest.raises(DataError, match="clip b"):
        read_clips(path, "test")


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a folder is a data set with a labels\.csv, or with \{train"):
        read_clips(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.bundle/manifest.json", "{}", "is a bundle, what recognises"),
        ("best.pt", "x", "is a checkpoint, what recognises"),
        ("a.jsonl", "{}", "is one recording: a data set is a folder of them with a labels.csv"),
    ],
)
def test_what_is_no_data_set_is_named(tmp_path: Path, name: str, content: str, words: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(DataError, match=words):
        open_source(path if path.suffix != ".json" else path.parent)
