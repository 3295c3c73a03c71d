from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.check import Report, check
from mmn_edge.datasets.reading import open_source, read_clips
from mmn_edge.errors import DataError
from mmn_edge.skeleton import layouts

Values = dict[str, Any]


def entry(name: str, label: Any = 0, *, seed: int | None = None, frames: int = 4, **changes: Any) -> Values:
    rng = np.random.default_rng(sum(map(ord, name)) if seed is None else seed)
    keypoint = rng.uniform(50, 400, (1, frames, 22, 2)).astype(np.float32)
    return {"frame_dir": name, "label": label, "total_frames": frames, "keypoint": keypoint, **changes}


def run(tmp_path: Path, entries: list[Values], split: str | None = None, **content: Any) -> Report:
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": entries, **content}))
    return check(open_source(path), split)


def test_a_sound_data_set(tmp_path: Path) -> None:
    entries = [entry("a", 0, frames=1), entry("b", 1), entry("c", 1, frames=7), entry("d", 0)]
    splits = {"train": ["a", "b"], "val": ["c", "d"]}
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": entries, "split": splits, "class_names": ["x", "y"]}))
    calls: list[tuple[int, int]] = []
    found = check(open_source(path), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (found.problems, found.warnings, found.broken, found.clips) == ((), (), 0, 4)
    assert (found.joints, found.coordinates, found.units) == (22, 2, "pixels")
    assert (found.layout, found.layout_guess) == (None, ("imigue",))
    assert found.lengths is not None
    assert (found.lengths.least, found.lengths.median, found.lengths.greatest, found.lengths.single) == (1, 4, 7, 1)
    assert [(c.name, c.clips, c.splits) for c in found.classes] == [
        ("x", 2, {"train": 1, "val": 1}),
        ("y", 2, {"train": 1, "val": 1}),
    ]
    assert found.imbalance == 1
    assert found.missing == 0
    assert list(found.missing_joints)[:2] == ["nose", "neck"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_all_broken_clips_are_listed(tmp_path: Path) -> None:
    infinite = entry("inf")
    infinite["keypoint"][0, 1, 2] = np.inf
    entries = [
        entry("fine"),
        infinite,
        entry("blank", keypoint_score=np.zeros((1, 4, 22))),
        entry("high", 2),
        entry("low", -1),
        entry("empty", keypoint=np.ones((1, 0, 22, 2))),
        {"frame_dir": "none", "label": 0},
    ]
    found = run(tmp_path, entries, class_names=["x", "y"])
    assert (found.clips, found.broken) == (1, 6)
    assert [line.partition(": clip ")[2].split()[0] for line in found.problems] == [
        "inf",
        "blank",
        "high",
        "low",
        "empty",
        "none",
    ]
    for name in ("inf", "blank"):  # what is a problem here stops training there
        path = tmp_path / "one.pkl"
        path.write_bytes(pickle.dumps({"annotations": [e for e in entries if e["frame_dir"] == name]}))
        with pytest.raises(DataError, match=f"clip {name}"):
            read_clips(path)


def test_nothing_readable(tmp_path: Path) -> None:
    found = run(tmp_path, [entry("low", -1)], class_names=["x"])
    assert (found.joints, found.lengths, found.imbalance, found.missing, found.units) == (None,) * 5
    assert found.warnings == ("1 class without any clips: x",)
    found = run(tmp_path, [])
    assert found.problems[0].endswith("holds no clips")
    json.dumps(found.to_dict())


def split_sets(tmp_path: Path, entries: list[Values], splits: dict[str, list[str]]) -> Report:
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": entries, "split": splits}))
    return check(open_source(path))


def test_clips_that_are_trained_on_and_held_out(tmp_path: Path) -> None:
    entries = [entry("a"), entry("b"), entry("c", seed=97), entry("d", seed=98)]  # c is a, and d is b
    splits = {"all": list("abcd"), "xsub_train": ["a", "b"], "xsub_val": ["b", "c"], "xview_val": ["a", "d"]}
    found = split_sets(tmp_path, entries, splits)
    assert found.problems == (
        "clip b is in split xsub_train and in split xsub_val: what is trained on is not held out",
        "clips a of split xsub_train and c of split xsub_val are identical: what is trained on is not held out",
    )


def test_identical_clips_of_one_split(tmp_path: Path) -> None:
    found = run(tmp_path, [entry("a", 0, seed=1), entry("b", 1, seed=1), entry("c", 0)])
    assert found.problems == ()
    assert found.warnings == ("clips a, b are identical and have different labels (0, 1)",)
    entries = [entry(name, 0, seed=seed) for name, seed in zip("abcde", (1, 1, 2, 2, 2), strict=True)]
    found = run(tmp_path, entries)
    assert found.warnings == ("5 clips come more than once, in 2 groups; the first: clips a, b are identical",)
    assert found.warnings[0].clips == tuple("abcde")


def test_names_that_splits_and_clips_do_not_share(tmp_path: Path) -> None:
    entries = [entry("a"), entry("a", seed=5), entry("b", seed=6)]
    found = split_sets(tmp_path, entries, {"train": ["a", "x"], "test": ["a"], "other": ["y"]})
    assert set(found.problems) == {
        "split train names clip x, which is not there",
        "split other names clip y, which is not there",
        "two clips of split train have the name a",
        "clip a is in split train and in split test: what is trained on is not held out",
    }
    assert "1 clip in no split, such as b" in found.warnings


def test_mixed_joints(tmp_path: Path) -> None:
    odd = entry("odd", keypoint=np.ones((1, 4, 20, 3)))
    found = run(tmp_path, [odd, entry("a"), entry("b")])
    assert found.problems == (
        "clip odd has (V, C) = (20, 3) in a layout that is not named, and most clips have (22, 2) in a layout that is "
        "not named",
    )
    assert found.joints == 22


def test_what_is_odd_about_values(tmp_path: Path) -> None:
    still = entry("still", keypoint=np.full((1, 4, 22, 2), 7.0) + np.arange(22)[:, None] * 20)
    wild = entry("wild")
    wild["keypoint"][0, 0, 0] = 1e6
    sparse = entry("sparse", keypoint_score=(np.arange(22) < 5)[None, None] * np.ones((1, 4, 22)))
    zeros = entry("zeros")
    zeros["keypoint"][:, :, 14:] = 0
    short = entry("short", total_frames=9)
    found = run(tmp_path, [still, wild, sparse, zeros, short])
    text = "\n".join(found.warnings)
    for part in (
        '1 clip with fewer frames than "total_frames" says, such as short (keypoint (1, 4, 22, 2), "total_frames" 9)',
        "1 clip without any motion, such as still",
        "1 clip with more than half of the joints missing, such as sparse",
        "of the joints lie at exactly the origin",
        "1 clip more than 20 times as large as usual, such as wild",
    ):
        assert part in text
    assert found.problems == ()
    assert found.missing == pytest.approx((17 + 8) / 22 / 5)


def test_joints_that_are_never_seen_and_scores_taken_for_coordinates(tmp_path: Path) -> None:
    scores = np.ones((1, 4, 22))
    scores[..., 3] = 0
    found = run(tmp_path, [entry("a", keypoint_score=scores)])
    assert found.warnings == (f"1 joint never seen in any clip: {layouts.get('imigue').joints[3]}",)
    points = np.random.default_rng(0).uniform(100, 300, (1, 4, 22, 3))
    points[..., 2] = 0.5
    assert "probably a score" in run(tmp_path, [entry("a", keypoint=points)]).warnings[0]


def test_clips_that_may_not_be_of_one_person(tmp_path: Path) -> None:
    entries = [entry(name, number % 2) for number, name in enumerate("abcd")]
    entries[0]["keypoint"][0, 2:] += 900
    entries[1]["keypoint"][0, 1] += 900
    entries[2]["keypoint"] = np.concatenate([np.zeros((2, 4, 22, 2)), entries[2]["keypoint"]])
    found = run(tmp_path, entries)
    assert found.problems == ()
    jumped = next(line for line in found.warnings if "jumps" in line)
    assert jumped == (
        "2 clips in which the body jumps to another place: another person's skeleton, or a cut, such as a (at frame 2, "
        "once in all)"
    )
    assert "clip c: person 1 shows nobody, so person 3 of 3 was followed" in found.warnings
    assert [fact.jumps for fact in found.facts] == [(2,), (1, 2), (), ()]


def test_recordings_whose_times_are_no_clock(tmp_path: Path) -> None:
    rows = ["file,label"]
    for name, step in (("numbers", 1.0), ("seconds", 0.04)):
        points = np.random.default_rng(0).uniform(50, 400, (22, 2)).round().tolist()
        lines = [
            json.dumps({"time": k * step, "layout": "imigue", "persons": [{"id": 0, "keypoints": points}]})
            for k in range(20)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        rows.append(f"{name}.jsonl,{name}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    told = [line for line in check(open_source(tmp_path)).warnings if "clock" in line]
    assert len(told) == 1
    assert told[0].startswith("clip numbers.jsonl: its time stamps are no clock: a window of 2 s holds only 3 frames")


def test_classes_that_are_empty_or_uneven(tmp_path: Path) -> None:
    entries = [entry(f"a{n}", 0, seed=n) for n in range(20)] + [entry("b", 1), entry("c", 1, seed=99)]
    path = tmp_path / "set.pkl"
    splits = {"train": [e["frame_dir"] for e in entries[:-1]], "val": ["c"]}
    path.write_bytes(pickle.dumps({"annotations": entries, "split": splits, "class_names": ["x", "y", "z"]}))
    assert check(open_source(path)).warnings == (
        "1 class without any clips: z",
        "1 class without clips in split val, and with clips elsewhere: x",
        "classes are uneven: x has 20 clips and y 2",
    )
    found = check(open_source(path), "val")
    assert (found.clips, found.splits) == (1, {"val": 1})
    with pytest.raises(DataError, match="no split 'test'"):
        check(open_source(path), "test")


@pytest.mark.parametrize(
    ("name", "clips", "problems", "units"),
    [("jhmdb14_split1", 609, 0, "normalised around a centre"), ("nw_ucla", 1484, 1, "metres")],
)
def test_real_data_sets(shared: Path, name: str, clips: int, problems: int, units: str) -> None:
    path = shared / "data" / f"{name}.pkl"
    if not path.is_file():
        pytest.skip(f"the data set {path} is not here")
    found = check(open_source(path))
    assert (found.clips, found.broken, len(found.problems), found.units) == (clips, 0, problems, units)
    for problem in found.problems:
        assert problem.startswith("95 clips of split test are identical to clips of split train, such as ")
        assert len(problem.clips) == 95


def test_findings_that_are_alike_are_one(tmp_path: Path) -> None:
    long = [entry(f"S{n:03}", n % 4, frames=4 + n, total_frames=2) for n in range(24)]
    long[3]["keypoint"][:, :, 10:] = 0
    broken = [entry(f"B{n}", 0, keypoint=np.ones((1, 0, 22, 2))) for n in range(5)]
    found = run(tmp_path, long + broken)
    assert len(found.problems) == 1
    assert found.problems[0].startswith("5 clips alike, the first: ")
    assert found.problems[0].clips == tuple(f"B{n}" for n in range(5))
    text = '24 clips with more frames than "total_frames" says: those beyond it are taken for padding and not used'
    assert found.warnings[0] == f'{text}, such as S000 (keypoint (1, 4, 22, 2), "total_frames" 2)'
    assert "exactly the origin" in found.warnings[1]
    values = json.loads(json.dumps(found.to_dict()))
    assert values["clips_of"][found.problems[0]] == [f"B{n}" for n in range(5)]


def test_clips_cut_from_one_recording(tmp_path: Path) -> None:
    recording = np.random.default_rng(3).uniform(50, 400, (1, 40, 22, 2)).astype(np.float32)
    entries = [entry("a", keypoint=recording[:, :20], total_frames=20)]
    entries += [entry("b", keypoint=recording[:, 15:35], total_frames=20)]
    entries += [entry("c", keypoint=recording[:, 38:], total_frames=2), entry("d", frames=20)]
    found = split_sets(tmp_path, entries, {"train": ["a"], "val": ["b", "c", "d"]})
    assert found.problems == (
        "1 clip of split val shares frames with clips of split train, such as b and a (5 frames): cut from one "
        "recording, so that what is trained on is not held out",
    )


def test_axes_in_another_order_and_labels_that_are_placeholders(tmp_path: Path) -> None:
    entries = [entry(f"c{n}", n % 2, frames=8) for n in range(20)]
    for values in entries:
        values["keypoint"] = values["keypoint"].transpose(1, 0, 2, 3)
    entries += [entry(f"t{n}", 0) for n in range(12)]
    splits = {"train": [f"c{n}" for n in range(20)], "test": [f"t{n}" for n in range(12)]}
    found = split_sets(tmp_path, entries, splits)
    assert found.warnings[0].startswith("20 clips probably with axes in another order, for ")
    assert any(
        line.startswith("all 12 clips of split test have label 0: if that is a placeholder") for line in found.warnings
    )


def test_hands_that_are_in_other_units_than_the_body(tmp_path: Path) -> None:
    pose = np.array(layouts.get("ma52").pose, np.float32)[None, None] * 400
    frames = pose + np.random.default_rng(0).normal(0, 1, (1, 12, 44, 2)).astype(np.float32)
    far = frames.copy()
    far[:, :, 32:] += 900
    assert not any("widths of the body" in line for line in run(tmp_path, [entry("a", keypoint=frames)]).warnings)
    assert "widths of the body away" in run(tmp_path, [entry("a", keypoint=far)]).warnings[1]
