from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.check import check
from mmn_edge.datasets.importing import ImportedSet, convert, open_inputs, splits_of, write
from mmn_edge.datasets.reading import open_source, read_clips
from mmn_edge.errors import DataError, LayoutError, UsageError
from mmn_edge.skeleton import layouts, mappings
from mmn_edge.skeleton.frame import Frame, Person
from mmn_edge.skeleton.recording import write_frames


def recording(path: Path, layout: str = "halpe136", frames: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    joints = layouts.get(layout).num_joints
    points = np.random.default_rng(seed).uniform(10, 400, (frames, joints, 2)).astype(np.float32)
    scores = np.full(joints, 0.5, np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        write_frames(file, [Frame(t, layout, (Person(0, keypoints, scores),)) for t, keypoints in enumerate(points)])
    return points


def holistic(path: Path, names: list[str], labels: list[int], frames: int = 2) -> None:
    rng = np.random.default_rng(len(names))
    count = len(labels)
    hands = {f"{side}_hand": rng.uniform(0.1, 0.9, (count, frames, 21, 3)) for side in ("left", "right")}
    hands["left_hand"][0] = 0
    np.savez(
        path,
        pose=rng.uniform(0.1, 0.9, (count, frames, 33, 4)),
        label=labels,
        class_names=names,
        **hands,
        sequence=labels,
    )


def imported(paths: list[Path], target: str = "ma52", **options: Any) -> ImportedSet:
    return convert(open_inputs(paths, class_names=options.pop("class_names", None)), target, **options)


def test_subfolders_are_classes(tmp_path: Path) -> None:
    points = recording(tmp_path / "in" / "wave" / "b.jsonl")
    recording(tmp_path / "in" / "nod" / "a.jsonl", seed=1)
    (tmp_path / "in" / "none").mkdir()
    clip = tmp_path / "in" / "wave" / "c"
    clip.mkdir()
    person = {"pose_keypoints_2d": [5.0, 6.0, 0.5] * 25}
    (clip / "0_keypoints.json").write_text(json.dumps({"people": [person]}))
    found = imported([tmp_path / "in"])
    assert found.class_names == ("nod", "none", "wave")
    assert [(entry["frame_dir"], entry["label"]) for entry in found.annotations] == [
        ("in/nod/a.jsonl", 0),
        ("in/wave/b.jsonl", 2),
        ("in/wave/c", 2),
    ]
    expected, scores = mappings.get("halpe136", "ma52").apply(points, np.full(points.shape[:2], 0.5))
    assert found.annotations[1]["keypoint"].tolist() == expected[None].tolist()
    assert found.annotations[1]["keypoint_score"].tolist() == scores[None].tolist()
    assert found.annotations[2]["total_frames"] == 1  # one frame is a clip
    assert found.annotations[2]["keypoint"].dtype == np.float32
    assert (found.annotations[2]["keypoint_score"][0, 0] == 0).any()  # its hands were not looked for


def test_files_that_are_no_clips_are_named(tmp_path: Path) -> None:
    recording(tmp_path / "in" / "nod" / "a.jsonl")
    for name in ("b.mp4", ".DS_Store"):
        (tmp_path / "in" / "nod" / name).touch()
    found = open_inputs([tmp_path / "in"])
    assert found.notes == ("no clips, and not imported: 1 files (in/nod/b.mp4)",)
    assert len(found.items) == 1


def test_labels_and_splits_of_a_table(tmp_path: Path) -> None:
    recording(tmp_path / "a.jsonl")
    recording(tmp_path / "b.jsonl")
    (tmp_path / "labels.csv").write_text("file,label,split\na.jsonl,nod,train\nb.jsonl,wave,test\n")
    found = imported([tmp_path])
    name = tmp_path.name
    assert splits_of(found) == {"train": (f"{name}/a.jsonl",), "test": (f"{name}/b.jsonl",)}
    assert list(splits_of(found, {"x": 1.0})) == ["x"]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    holistic(tmp_path / "isl.npz", ["Sorry", "I", "How are you"], [2, 0])
    found = imported([tmp_path / "isl.npz"])
    write(found, splits_of(found), tmp_path / "out.pkl")
    back = read_clips(tmp_path / "out.pkl", "all")
    assert back.class_names == ("Sorry", "I", "How are you")
    assert back.layout == "ma52"
    assert [(clip.name, clip.label) for clip in back.clips] == [("isl/How are you/2", 2), ("isl/Sorry/0", 0)]
    unseen = found.annotations[0]["keypoint_score"][0] == 0
    assert unseen.any()
    assert (found.annotations[0]["keypoint"][0][unseen] == 0).all()
    assert (np.isnan(back.clips[0].keypoints).any(axis=-1) == unseen).all()
    with pytest.raises(UsageError, match=r"out\.pkl exists and was left alone"):
        write(found, {}, tmp_path / "out.pkl")
    write(found, {}, tmp_path / "out.pkl", force=True)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".pkl"] == ["out.pkl"]


def test_classes_of_several_inputs(tmp_path: Path) -> None:
    holistic(tmp_path / "one.npz", ["b", "a"], [0, 1])
    holistic(tmp_path / "two.npz", ["a", "c", "b"], [0, 1, 2])
    found = imported([tmp_path / "one.npz", tmp_path / "two.npz"])
    assert found.class_names == ("b", "a", "c")
    assert [entry["label"] for entry in found.annotations] == [0, 1, 1, 2, 0]
    found = imported([tmp_path / "one.npz"], class_names=("c", "a", "b"))
    assert [entry["label"] for entry in found.annotations] == [2, 1]
    with pytest.raises(DataError, match=r"clip two/c/1 is of class 'c', which is not among the given classes"):
        imported([tmp_path / "two.npz"], class_names=("a", "b"))


def pickled(path: Path, **changes: Any) -> Path:
    entry = {"frame_dir": "a", "label": 0, "keypoint": np.ones((1, 3, 136, 2), np.float32), **changes}
    path.write_bytes(pickle.dumps({"annotations": [entry], "split": {"train": ["a"]}}))
    return path


def test_a_data_set_in_another_layout(tmp_path: Path) -> None:
    path = pickled(tmp_path / "set.pkl")
    found = imported([path], source="halpe136")
    assert found.annotations[0]["keypoint"].shape == (1, 3, 44, 2)
    assert found.splits == {"train": ("a",)}
    assert found.class_names is None
    write(found, splits_of(found), tmp_path / "out.pkl")
    assert len(read_clips(tmp_path / "out.pkl", "train").clips) == 1
    with pytest.raises(LayoutError, match="clip a does not say which layout its 136 joints are in"):
        imported([path])
    with pytest.raises(LayoutError, match="clip a: layout openpose has 137 joints"):
        imported([path], source="openpose")
    with pytest.raises(LayoutError, match="there is no mapping between them"):
        imported([path], "openpose", source="halpe136")


def test_a_layout_that_a_file_contradicts(tmp_path: Path) -> None:
    recording(tmp_path / "in" / "nod" / "a.jsonl")
    with pytest.raises(LayoutError, match="is in layout halpe136, and openpose was named"):
        imported([tmp_path / "in"], source="openpose")


def test_a_third_coordinate_is_left_out_and_cannot_be_made_up(tmp_path: Path) -> None:
    path = pickled(tmp_path / "set.pkl", keypoint=np.ones((1, 3, 136, 3)))
    assert imported([path], source="halpe136").annotations[0]["keypoint"].shape == (1, 3, 44, 2)
    path = pickled(tmp_path / "set.pkl", keypoint=np.ones((1, 3, 20, 2)))
    with pytest.raises(DataError, match="clip a is 2-D, and layout nw-ucla has 3 coordinates"):
        imported([path], "nw-ucla", source="nw-ucla")


def test_clips_in_which_nobody_is_seen_are_left_out(tmp_path: Path) -> None:
    recording(tmp_path / "in" / "nod" / "a.jsonl")
    empty = tmp_path / "in" / "nod" / "b"
    empty.mkdir()
    (empty / "0_keypoints.json").write_text('{"people": []}')
    found = imported([tmp_path / "in"])
    assert found.left_out == ("in/nod/b",)
    assert len(found.annotations) == 1
    (tmp_path / "in" / "nod" / "a.jsonl").unlink()
    with pytest.raises(DataError, match="no clip shows a single joint of layout ma52"):
        imported([tmp_path / "in"])


def test_infinite_coordinates(tmp_path: Path) -> None:
    holistic(tmp_path / "a.npz", ["a"], [0])
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    arrays["pose"][0, 1, 5, 0] = np.inf
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match="clip a/a/0 is infinite in frame 1, joint 5"):
        imported([tmp_path / "a.npz"])


def test_inputs_that_cannot_be_imported(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", keypoints=np.ones((2, 3, 2)))
    with pytest.raises(DataError, match="no file of MediaPipe Holistic landmarks"):
        open_inputs([tmp_path / "a.npz"])
    (tmp_path / "in" / "nod").mkdir(parents=True)
    with pytest.raises(DataError, match=r"in holds no clips: it needs a labels\.csv"):
        open_inputs([tmp_path / "in"])
    path = pickled(tmp_path / "set.pkl")
    with pytest.raises(DataError, match="two clips are named a"):
        open_inputs([path, path])
    recording(tmp_path / "in" / "nod" / "a.jsonl")
    with pytest.raises(DataError, match=r"set\.pkl names no classes, and other inputs do"):
        open_inputs([path, tmp_path / "in"])
    (tmp_path / "in" / "labels.csv").write_text("file,label\n,nod\n")
    with pytest.raises(DataError, match=r"labels\.csv, line 2 lacks its file"):
        open_inputs([tmp_path / "in"])


def test_the_landmarks_of_a_sign_language(shared: Path) -> None:
    path = shared / "data" / "isl18_holistic.npz"
    if not path.is_file():
        pytest.skip(f"the data set {path} is not here")
    inputs = open_inputs([path])
    assert len(inputs.items) == 1080
    assert inputs.class_names is not None
    assert inputs.class_names[4] == "How are you"
    found = convert(type(inputs)(inputs.items[::60], inputs.class_names), "ma52")
    joints = layouts.get("ma52").joints
    assert [entry["label"] for entry in found.annotations] == list(range(18))
    distances = []
    for entry in found.annotations:
        points, seen = entry["keypoint"][0], entry["keypoint_score"][0] > 0
        root, tip, wrist = (joints.index(f"right_{part}") for part in ("hand_root", "middle_tip", "wrist"))
        shoulders = points[:, joints.index("left_shoulder")] - points[:, joints.index("right_shoulder")]
        offset = np.linalg.norm(points[:, root] - points[:, wrist], axis=-1) / np.linalg.norm(shoulders, axis=-1)
        distances += offset[seen[:, tip]].tolist()  # the middle tip is seen with the hand's landmarks only
    assert len(distances) > 200
    assert np.median(distances) < 0.2  # a hand begins where its arm ends


def test_folds_and_splits_by_person(tmp_path: Path) -> None:
    lines = ["file,label,person,recording"]
    for index in range(12):
        recording(tmp_path / f"{index}.jsonl", seed=index)
        lines.append(f"{index}.jsonl,{'ab'[index % 2]},p{index // 3},r{index // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = imported([tmp_path])
    listed = splits_of(found, by="person", folds=4)
    assert sorted(listed) == sorted([f"fold{n}{role}" for n in range(4) for role in ("", "_train")])
    person = {entry["frame_dir"]: entry["person"] for entry in found.annotations}
    for fold in range(4):
        held_out, rest = listed[f"fold{fold}"], listed[f"fold{fold}_train"]
        assert len({person[name] for name in held_out}) == 1
        assert sorted(held_out + rest) == sorted(person)
    write(found, listed, tmp_path / "folds.pkl")
    checked = check(open_source(tmp_path / "folds.pkl"))
    assert not checked.problems
    assert any("cut from recordings that split fold0_train has clips of" in line for line in checked.warnings)
    again = convert(open_inputs([tmp_path / "folds.pkl"]), "ma52")  # what clips have in common stays with them
    by_recording = splits_of(again, {"train": 0.5, "val": 0.5}, by="recording")
    assert sorted(map(len, by_recording.values())) == [6, 6]
    with pytest.raises(DataError, match=r"12 of 12 clips do not say their session, such as .*give labels\.csv"):
        splits_of(found, by="session")


def test_a_broken_clip_is_left_out_and_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        recording(tmp_path / "in" / "nod" / f"{name}.jsonl")
    (tmp_path / "in" / "nod" / "b.jsonl").write_text("no recording\n")
    found = imported([tmp_path / "in"])
    assert [entry["frame_dir"] for entry in found.annotations] == ["in/nod/a.jsonl", "in/nod/c.jsonl"]
    assert "b.jsonl, line 1 is not JSON" in found.findings[0]
    assert found.findings[0].endswith("left out")
