from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.reading import open_source, read_clips, splits
from mmn_edge.errors import DataError, LayoutError

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


def test_annotations_of_several_persons_as_pyskl_and_mmaction2_write_them(save: Save) -> None:
    """NTU RGB+D: up to two persons with scores in half precision, splits xsub and xview over the same clips."""
    rng = np.random.default_rng(0)
    entries: list[Values] = []
    for number in range(4):
        frames = 5 + number
        entries.append(
            {
                "frame_dir": f"S001C00{number}P001R001A00{number % 2 + 1}",
                "label": number % 2,
                "img_shape": (1080, 1920),
                "original_shape": (1080, 1920),
                "total_frames": frames,
                "keypoint": rng.uniform(1, 1000, (2, frames, 17, 2)).astype(np.float16),
                "keypoint_score": np.full((2, frames, 17), 0.9, np.float16),
            }
        )
    names = [entry["frame_dir"] for entry in entries]
    splits_ = {"xsub_train": names[:2], "xsub_val": names[2:], "xview_train": names[1:3], "xview_val": names[::3]}
    path = save({"split": splits_, "annotations": entries})
    assert splits(path) == ("xsub_train", "xsub_val", "xview_train", "xview_val")
    found = read_clips(path, "xview_train")
    assert [clip.name for clip in found.clips] == names[1:3]
    assert [clip.keypoints.shape for clip in found.clips] == [(6, 17, 2), (7, 17, 2)]
    assert found.clips[0].keypoints.tolist() == entries[1]["keypoint"][0].tolist()
    assert found.layout is None


def test_labels_as_text(save: Save) -> None:
    entries = [annotation(str(number), label) for number, label in enumerate(("nod", "shake", "nod"))]
    found = read_clips(save({"annotations": entries}))
    assert found.class_names == ("nod", "shake")
    assert [clip.label for clip in found.clips] == [0, 1, 0]
    found = read_clips(save({"annotations": entries, "class_names": ["shake", "tilt", "nod"]}))
    assert [clip.label for clip in found.clips] == [2, 0, 2]
    found = read_clips(save({"annotations": [annotation(label="3"), annotation("b", label=np.float32(2))]}))
    assert [clip.label for clip in found.clips] == [3, 2]
    assert found.class_names is None


def test_a_bare_list_of_annotations(save: Save) -> None:
    assert [clip.name for clip in read_clips(save([annotation("a"), annotation("b")])).clips] == ["a", "b"]


def test_the_layout_that_a_file_names(save: Save) -> None:
    entry = annotation(keypoint=np.ones((1, 2, 44, 2)))
    assert read_clips(save({"annotations": [entry], "layout": "ma52"})).layout == "ma52"
    for layout, message in (
        ("imigue", "has 44 joints, and its layout imigue has 22"),
        ("x", "unknown skeleton layout"),
    ):
        with pytest.raises(LayoutError, match=message):
            read_clips(save({"annotations": [entry], "layout": layout}))
    with pytest.raises(DataError, match='"layout" must name'):
        read_clips(save({"annotations": [entry], "layout": 3}))


def test_class_names_that_are_named_twice(save: Save) -> None:
    with pytest.raises(DataError, match="names a class twice"):
        read_clips(save({"annotations": [annotation()], "class_names": ["x", "x"]}))


def test_the_authors_folder_opens_with_all_its_splits(tmp_path: Path) -> None:
    data = pickle.dumps({"annotations": [annotation(name) for name in "abc"]})
    labels = pickle.dumps([{"file_name": name, "label": 0} for name in "ca"])
    for split in ("val", "test"):
        (tmp_path / f"{split}_data.pkl").write_bytes(data)
        (tmp_path / f"{split}_label.pkl").write_bytes(labels)
    source = open_source(tmp_path)
    assert {name: len(source.of_split(name)) for name in source.splits} == {"val": 2, "test": 2}
    assert source.notes[0].startswith("val_data.pkl holds 1 clips that val_label.pkl does not name, such as b")
    assert len(read_clips(tmp_path).clips) == 2  # the validation split


def test_a_split_whose_labels_are_withheld_does_not_hide_the_others(tmp_path: Path) -> None:
    """MA-52 comes with the clips of its test split, and without their labels."""
    data = pickle.dumps({"annotations": [annotation(name) for name in "abc"]})
    for split in ("train", "test"):
        (tmp_path / f"{split}_data.pkl").write_bytes(data)
    (tmp_path / "train_label.pkl").write_bytes(pickle.dumps([{"file_name": name, "label": 0} for name in "abc"]))
    source = open_source(tmp_path)
    assert {name: len(source.of_split(name)) for name in source.splits} == {"train": 3}
    assert source.notes == ("the labels of split test are not here: its clips can only be submitted",)
    (tmp_path / "test_label.pkl").write_bytes(pickle.dumps([{"file_name": name} for name in "abc"]))
    assert open_source(tmp_path).notes == source.notes
    (tmp_path / "train_data.pkl").unlink()
    with pytest.raises(DataError, match="not in the authors' format"):
        open_source(tmp_path)


def test_a_split_without_labels_in_a_pickle_does_not_hide_the_others(save: Save) -> None:
    entries = [annotation("a"), annotation("b", -1), annotation("c", None), annotation("d", -1)]
    path = save({"annotations": entries, "split": {"train": ["a"], "val": ["a", "d"], "test": ["b", "c"]}})
    source = open_source(path)
    assert {name: len(source.of_split(name)) for name in source.splits} == {"train": 1, "val": 2}
    assert [entry.name for entry in source.entries] == ["a", "d"]
    assert source.notes == ("the labels of split test are not here: its clips can only be submitted",)
    with pytest.raises(DataError, match="clip d"):
        read_clips(path, "val")
    with pytest.raises(DataError, match=r"the labels of split test are not here: .* evaluate --submission"):
        read_clips(path, "test")
    alone = open_source(save({"annotations": entries[1:], "split": {"test": ["b", "c", "d"]}}))
    assert len(alone.of_split("test")) == 3


def test_an_annotation_that_comes_twice_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "val_data.pkl").write_bytes(pickle.dumps({"annotations": [annotation(name) for name in "aab"]}))
    (tmp_path / "val_label.pkl").write_bytes(pickle.dumps([{"file_name": name, "label": 0} for name in "ab"]))
    assert open_source(tmp_path).notes == (
        "val_data.pkl holds 1 clips more than once, such as a: the last one is used",
    )


@pytest.mark.parametrize("names", [np.array("a"), [1], {"a": 1}, np.zeros(2), {1, None}])
def test_splits_of_another_form(save: Save, names: object) -> None:
    with pytest.raises(DataError, match="split train must be a list of clip names"):
        open_source(save({"annotations": [annotation()], "split": {"train": names}}))


@pytest.mark.parametrize("names", [["a"], ("a",), {"a"}, np.array(["a"])])
def test_splits_as_lists_sets_and_arrays(save: Save, names: object) -> None:
    assert len(read_clips(save({"annotations": [annotation()], "split": {"train": names}}), "train").clips) == 1


@pytest.mark.parametrize(
    ("frames", "used"), [(3, 3), (3.0, 3), (np.float32(3), 3), ("3", 3), (3.5, None), ("three", None), ([3], None)]
)
def test_total_frames_counts_or_is_refused(save: Save, frames: Any, used: int | None) -> None:
    path = save({"annotations": [annotation(frames=6, total_frames=frames)]})
    if used is None:
        with pytest.raises(DataError, match=r'has "total_frames" .*: it must be a whole number'):
            read_clips(path)
    else:
        assert len(read_clips(path).clips[0].keypoints) == used


def test_scores_under_another_name_are_not_passed_over(save: Save) -> None:
    path = save({"annotations": [annotation(keypoint_scores=np.full((1, 4, 3), 0.1))]})
    with pytest.raises(DataError, match='clip a has "keypoint_scores", and scores of joints are read from "keypoint_s'):
        read_clips(path)
    path = save({"annotations": [annotation(score=0.9)]})  # of the person, as detectors give it
    assert len(read_clips(path).clips) == 1


def test_scores_may_say_seen_and_not_seen(save: Save) -> None:
    seen = np.array([True, False, True]) & np.ones((1, 4, 1), bool)
    (clip,) = read_clips(save({"annotations": [annotation(keypoint_score=seen)]})).clips
    assert np.isnan(clip.keypoints[:, 1]).all()
    assert np.isfinite(clip.keypoints[:, ::2]).all()
