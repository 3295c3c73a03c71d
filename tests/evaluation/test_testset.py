import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.reading import Clip
from mmn_edge.datasets.synthetic.clips import dataset
from mmn_edge.errors import DataError, LayoutError, UsageError
from mmn_edge.evaluation import testset
from mmn_edge.evaluation.testset import EvaluationSet, align, align_models, as_live, fitted_keypoints
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.missing import fill_missing

MODEL = Labels(("wave", "sit down", "Touch nose", "clap"))


def clips_of(
    labels: Sequence[int], names: tuple[str, ...] | None = None, shape: tuple[int, ...] = (5, 22, 2), **more: Any
) -> EvaluationSet:
    keypoints = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    clips = tuple(Clip(f"clip{index}", label, keypoints) for index, label in enumerate(labels))
    return EvaluationSet(Path("data.pkl"), "val", clips, names, more.pop("layout", None), **more)


def aligned(data: EvaluationSet, model: Labels = MODEL) -> tuple[list[int], Labels, list[str]]:
    notes: list[str] = []
    targets, names = align(data, model, notes.append)
    return targets.tolist(), names, notes


def test_classes_are_matched_by_name() -> None:
    targets, names, notes = aligned(clips_of([0, 1, 2, 0], ("touch_nose", "wave", "Sit-Down")))
    assert targets == [2, 0, 1, 2]
    assert names is MODEL
    assert "matched by name" in notes[0]


def test_the_same_names_need_no_note() -> None:
    assert aligned(clips_of([3, 0], MODEL.classes)) == ([3, 0], MODEL, [])


def test_an_exact_name_wins_over_a_similar_one() -> None:
    model = Labels(("OK", "ok"))
    assert aligned(clips_of([0, 1], ("ok", "OK")), model)[0] == [1, 0]
    with pytest.raises(DataError, match="1 classes that the model does not know: Ok"):
        aligned(clips_of([0], ("Ok",)), model)  # it might be either


def test_clips_of_unknown_classes_are_refused_and_listed() -> None:
    names = ("wave", "jump", "run", "swim")
    with pytest.raises(DataError, match=r"2 classes that the model does not know: jump, swim \(it knows wave, sit"):
        aligned(clips_of([0, 1, 3], names))
    _, _, notes = aligned(clips_of([0, 0], names))
    assert any("without clips in this split: jump, run, swim" in note for note in notes)


def test_two_names_for_one_class_are_refused() -> None:
    with pytest.raises(DataError, match="'sit down' and 'Sit Down'"):
        aligned(clips_of([0], ("sit down", "Sit Down")))


def test_without_names_numbers_count() -> None:
    targets, names, notes = aligned(clips_of([3, 1]))
    assert (targets, names) == ([3, 1], MODEL)
    assert "matched by number" in notes[0]
    with pytest.raises(DataError, match="has 5 classes and the model 4"):
        aligned(clips_of([4]))


def test_a_model_that_only_numbers_its_classes_takes_the_datas_names() -> None:
    numbered = Labels.numbered(2)
    targets, names, _ = aligned(clips_of([1], ("a", "b")), numbered)
    assert (targets, names.classes) == ([1], ("a", "b"))
    with pytest.raises(DataError, match="has 3 classes and the model 2"):
        aligned(clips_of([1], ("a", "b", "c")), numbered)


def test_another_models_classes_are_put_in_order() -> None:
    other = Labels(("clap", "touch nose", "wave", "Sit down"))
    assert align_models(MODEL, other, "other").tolist() == [2, 3, 1, 0]
    assert align_models(MODEL, Labels.numbered(4), "other").tolist() == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="other cannot be compared with the first model, it lacks clap"):
        align_models(MODEL, Labels(("wave", "sit down", "touch nose", "jump")), "other")
    with pytest.raises(UsageError, match="it has 5 classes and not 4"):
        align_models(MODEL, Labels((*MODEL.classes, "jump")), "other")


def fitted(data: EvaluationSet, joints: int, layout: str | None, channels: int = 2) -> tuple[list[Any], list[str]]:
    notes: list[str] = []
    arch = Architecture(num_classes=4, num_joints=joints, in_channels=channels)
    known = layouts.get(layout) if layout else None
    return fitted_keypoints(data, arch, known, known.bones if known else (), notes.append), notes


def test_missing_joints_are_filled() -> None:
    data = clips_of([0])
    data.clips[0].keypoints[1:3, 4] = np.nan
    (clip,), notes = fitted(data, 22, "imigue")
    assert np.isfinite(clip).all()
    np.testing.assert_array_equal(clip, fill_missing(data.clips[0].keypoints, layouts.get("imigue").bones))
    assert notes == []


def test_another_layout_is_mapped() -> None:
    (clip,), notes = fitted(clips_of([0], shape=(5, 137, 2), layout="openpose"), 22, "imigue")
    assert clip.shape == (5, 22, 2)
    assert notes == ["Joints were mapped from layout openpose to imigue."]
    with pytest.raises(LayoutError, match="no mapping between them"):
        fitted(clips_of([0], shape=(5, 15, 2), layout="jhmdb"), 22, "imigue")


def test_clips_that_show_too_little_are_counted() -> None:
    data = clips_of([0, 1, 2])
    sparse = data.clips[1].keypoints.copy()
    sparse[:, 4:] = np.nan
    data = replace(data, clips=(data.clips[0], replace(data.clips[1], keypoints=sparse), data.clips[2]))
    _, notes = fitted(data, 22, "imigue")
    assert notes == [
        "1 of 3 clips show less than 25 % of the model's joints: their answers count here, and a live stream would get "
        "none."
    ]
    arch, layout = Architecture(num_classes=4, num_joints=22), layouts.get("imigue")
    quiet: list[str] = []
    fitted_keypoints(data, arch, layout, layout.bones, quiet.append, enough_seen=0.1)
    assert quiet == []


def test_joints_and_coordinates_must_fit() -> None:
    with pytest.raises(LayoutError, match=r"has 15 joints and the model takes 22: .* \(it may be jhmdb\)"):
        fitted(clips_of([0], shape=(5, 15, 2)), 22, "imigue")
    with pytest.raises(LayoutError, match="has 2 coordinates per joint, and the model needs 3"):
        fitted(clips_of([0]), 22, "imigue", channels=3)
    (clip,), notes = fitted(clips_of([0], shape=(5, 22, 3)), 22, None)
    assert clip.shape == (5, 22, 2)
    assert "only the first 2" in notes[0]
    with pytest.raises(LayoutError, match="2 persons"):
        fitted_keypoints(clips_of([0]), Architecture(num_classes=4, num_joints=11, num_people=2), None, (), print)


def test_the_layout_is_the_datas_own_or_the_named_one(tmp_path: Path) -> None:
    path = save(tmp_path / "own.pkl", [0, 1], layout="imigue")
    assert testset.read(path, None).layout == "imigue"
    assert testset.read(path, None, layout="imigue").layout == "imigue"
    with pytest.raises(LayoutError, match="says that its layout is imigue"):
        testset.read(path, None, layout="ma52")
    assert testset.read(save(tmp_path / "none.pkl", [0, 1]), None, layout="imigue").layout == "imigue"


def save(path: Path, labels: Sequence[int | None], split: dict[str, list[str]] | None = None, **more: Any) -> Path:
    keypoints = np.ones((1, 5, 22, 2), dtype=np.float32)
    entries: list[dict[str, Any]] = [{"frame_dir": f"c{i}", "keypoint": keypoints} for i in range(len(labels))]
    for entry, label in zip(entries, labels, strict=True):
        if label is not None:
            entry["label"] = label
    path.write_bytes(pickle.dumps({"annotations": entries, **({"split": split} if split else {}), **more}))
    return path


SPLITS = [
    (("train", "val", "test"), "val"),
    (("train", "test"), "test"),
    (("xsub_train", "xsub_val"), "xsub_val"),
    (("a",), None),
    (("all",), None),
]


def test_the_default_split(tmp_path: Path) -> None:
    for names, expected in SPLITS:
        path = save(tmp_path / "s.pkl", [0], {name: ["c0"] for name in names})
        assert testset.default_split(path) == expected
    assert testset.default_split(save(tmp_path / "s.pkl", [0])) is None
    for names in (("train",), ("xsub_train", "xsub_val", "xview_train", "xview_val")):
        with pytest.raises(UsageError, match=f"has the splits {', '.join(names)}: name the one to measure on"):
            testset.default_split(save(tmp_path / "s.pkl", [0], {name: ["c0"] for name in names}))


def test_withheld_labels_in_a_pickle(tmp_path: Path) -> None:
    path = save(tmp_path / "d.pkl", [None, -1, None], {"test": ["c2", "c1"]})
    found = testset.read_unlabelled(path, "test")
    assert found is not None
    assert [clip.name for clip in found.clips] == ["c2", "c1"]
    assert not found.labelled
    assert testset.read_unlabelled(save(tmp_path / "l.pkl", [0, 1]), None) is None
    mixed = save(tmp_path / "m.pkl", [3, -1, 0], {"train": ["c0", "c2"], "test": ["c1"]})
    assert testset.read_unlabelled(mixed, "train") is None
    found = testset.read_unlabelled(mixed, "test")
    assert found is not None
    assert [clip.name for clip in found.clips] == ["c1"]
    with pytest.raises(DataError, match="lacks 1 clips of split test, the first is gone"):
        testset.read_unlabelled(save(tmp_path / "d.pkl", [None], {"test": ["gone"]}), "test")


def test_withheld_labels_in_the_authors_format(tmp_path: Path) -> None:
    save(tmp_path / "test_data.pkl", [None, None])
    found = testset.read_unlabelled(tmp_path, "test")
    assert found is not None
    assert [clip.name for clip in found.clips] == ["c0", "c1"]
    (tmp_path / "test_label.pkl").write_bytes(pickle.dumps([{"file_name": "c1"}, {"file_name": "c0"}]))
    found = testset.read_unlabelled(tmp_path, "test")
    assert found is not None
    assert [clip.name for clip in found.clips] == ["c1", "c0"]
    (tmp_path / "test_label.pkl").write_bytes(pickle.dumps([{"file_name": "c1", "label": 3}]))
    assert testset.read_unlabelled(tmp_path, "test") is None
    assert testset.read_unlabelled(tmp_path, "val") is None


def test_scores_of_unlabelled_clips_are_used(tmp_path: Path) -> None:
    scores = np.ones((1, 5, 22), np.float32)
    scores[0, 2, 7] = 0
    entry = {"frame_dir": "c", "keypoint": np.ones((1, 5, 22, 2), np.float32), "keypoint_score": scores}
    (tmp_path / "d.pkl").write_bytes(pickle.dumps({"annotations": [entry]}))
    found = testset.read_unlabelled(tmp_path / "d.pkl", None)
    assert found is not None
    unseen = np.isnan(found.clips[0].keypoints).any(axis=-1)
    assert np.argwhere(unseen).tolist() == [[2, 7]]


def test_clips_longer_than_the_live_window_are_seen_as_a_stream_gives_them() -> None:
    window = Window(seconds=2.0)
    frames = np.arange(150, dtype=np.float32)[:, None, None] * np.ones((1, 22, 2), np.float32)
    times = np.arange(150) / 30  # 5 s
    slow = np.arange(150) * 1.0  # frame numbers
    timed, plain, doubtful = (Clip(name, 0, frames, times=t) for name, t in (("a", times), ("b", None), ("c", slow)))
    notes: list[str] = []
    data = EvaluationSet(Path("set.pkl"), "val", (timed, plain, doubtful), None, "imigue")
    found = as_live(data, [frames] * 3, window, notes.append)
    assert [len(clip) for clip in found] == [60, 150, 150]
    assert found[0][[0, -1], 0, 0].tolist() == [45, 104]
    assert notes[0].startswith("1 of 3 clips are longer than the model's live window of 2 s")
    short = EvaluationSet(Path("set.pkl"), "val", (Clip("a", 0, frames[:16], times=times[:16]),), None, "imigue")
    notes.clear()
    assert len(as_live(short, [frames[:16]], window, notes.append)[0]) == 16
    assert notes[0].startswith("The clips are 0.5 s long in the median")


def labelless(tmp_path: Path, labels: list[int | None]) -> Path:
    """A folder in the authors' format whose test split has no label file; stray labels stand in its annotations."""
    rng = np.random.default_rng(0)
    entries = [
        {"frame_dir": f"c{n}", "label": label, "keypoint": rng.uniform(1, 9, (1, 5, 22, 2))}
        for n, label in enumerate(labels)
    ]
    (tmp_path / "test_data.pkl").write_bytes(pickle.dumps({"annotations": entries}))
    return tmp_path


def test_a_stray_label_does_not_make_a_split_without_labels_unreadable(tmp_path: Path) -> None:
    folder = labelless(tmp_path, [0, 0, 0])
    found = testset.read_unlabelled(folder, "test")
    assert found is not None
    assert len(found.clips) == 3
    names = [{"file_name": f"c{n}", "label": label} for n, label in enumerate((None, 3, None))]
    (folder / "test_label.pkl").write_bytes(pickle.dumps(names))
    found = testset.read_unlabelled(folder, "test")
    assert found is not None
    assert len(found.clips) == 3


def test_what_is_odd_about_clips_is_among_the_findings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = [{"frame_dir": f"c{n}", "label": 0, "keypoint": rng.uniform(1, 9, (1, 5, 22, 2))} for n in range(12)]
    entries[4]["keypoint"][0, 2, 3] = 1e30
    (tmp_path / "d.pkl").write_bytes(
        pickle.dumps({"annotations": entries, "split": {"test": [e["frame_dir"] for e in entries]}})
    )
    found = testset.read(tmp_path / "d.pkl", "test")
    assert len(found.clips) == 11
    assert "clip c4 has a coordinate of 1e+30 in frame 2, joint 3" in found.findings[0]
    assert any(finding.startswith("all 11 clips of split test have label 0") for finding in found.findings)


def test_clips_that_were_trained_on_are_named(tmp_path: Path) -> None:
    entries = dataset(26, 3, fps=(30, 30), seconds=(2, 2))
    names = [entry["frame_dir"] for entry in entries]
    path = tmp_path / "set.pkl"

    def found(train: list[str], *more: dict[str, Any]) -> str:
        content = {"annotations": [*entries, *more], "split": {"train": train, "val": names[13:]}, "layout": "ma52"}
        path.write_bytes(pickle.dumps(content))
        return " ".join(testset.read(path, "val").findings)

    assert "trained on" not in found(names[:13])
    assert "1 clip of split val in split train too: what is trained on is not held out" in found(names[:14])
    copy = {**entries[20], "frame_dir": "copy"}
    assert "clips copy of split train and" in found(["copy"], copy)
    part = {
        **{key: entries[20][key][:, 10:] for key in ("keypoint", "keypoint_score")},
        "frame_dir": "part",
        "label": 7,
    }
    assert "1 clip of split val shares frames with clips of split train, such as" in found(["part"], part)
