from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.formats.pose_files import is_pose_file, read_pose_file
from mmn_edge.errors import DataError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.missing import ScoreScale


def triples(joints: int, value: float = 5, score: float = 0.5) -> list[float]:
    return [number for joint in range(joints) for number in (value, joint, score)]


def openpose(folder: Path, frame: int, people: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"clip_{frame}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))


def alphapose(path: Path, *persons: tuple[Any, ...], joints: int = 136) -> Path:
    keys = ("image_id", "value", "idx", "score")
    entries = []
    for values in persons:
        person = dict(zip(keys, values, strict=False))
        entries.append({"category_id": 1, **person, "keypoints": triples(joints, person.pop("value"))})
    path.write_text(json.dumps(entries))
    return path


def test_openpose_frames_are_in_the_order_of_the_layout(tmp_path: Path) -> None:
    parts = {"pose_keypoints_2d": 25, "face_keypoints_2d": 70, "hand_left_keypoints_2d": 21}
    person = {key: triples(count, value) for value, (key, count) in enumerate(parts.items(), 1)}
    person["hand_right_keypoints_2d"] = triples(21, 9)
    person["pose_keypoints_2d"][2] = 0  # the nose was not seen
    openpose(tmp_path / "c", 2, [person, {"pose_keypoints_2d": triples(25, 99)}])
    openpose(tmp_path / "c", 10, [{"pose_keypoints_2d": triples(25, 4), "hand_left_keypoints_2d": []}])
    openpose(tmp_path / "c", 11, [])
    assert is_pose_file(tmp_path / "c")
    found = read_pose_file(tmp_path / "c")
    joints = layouts.get("openpose").joints
    assert found.layout == "openpose"
    assert found.keypoints.shape == (10, 137, 2)  # frames 2 to 11: nobody looked at those between
    assert np.isnan(found.keypoints[1:8]).all()
    assert np.isnan(found.keypoints[0, 0]).all()
    assert found.scores[0, 0] == 0
    for joint, value in (("neck", 1), ("face_0", 2), ("left_thumb_tip", 3), ("right_hand_root", 9)):
        assert found.keypoints[0, joints.index(joint), 0] == value
    assert (found.keypoints[8, :25, 0] == 4).all()  # frame 10 comes after frame 2
    assert np.isnan(found.keypoints[8, 25:]).all()
    assert np.isnan(found.keypoints[9]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", 'no output of OpenPose: it needs a list of "people"'),
        ('{"people": [3]}', "no output of OpenPose"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', r'"pose_keypoints_2d" must hold 75 numbers.*\(3 came\)'),
        ('{"people": [{"hand_left_keypoints_2d": "x"}]}', "must hold 63 numbers"),
    ],
)
def test_openpose_frames_that_are_broken(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "0_keypoints.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_pose_file(tmp_path)


def test_alphapose_keeps_frames_in_which_nobody_is_seen(tmp_path: Path) -> None:
    path = alphapose(tmp_path / "a.json", ("10.jpg", 3), ("2.jpg", 1), ("4.jpg", 2))
    found = read_pose_file(path)
    assert found.layout == "halpe136"
    assert found.keypoints[:, 0, 0].tolist() == pytest.approx([1, 2, np.nan, np.nan, 3], nan_ok=True)
    assert found.scores[:, 0].tolist() == [0.5, 0.5, 0, 0, 0.5]


def test_alphapose_images_without_numbers(tmp_path: Path) -> None:
    found = read_pose_file(alphapose(tmp_path / "a.json", ("b", 2), ("a", 1), joints=133))
    assert found.layout == "coco-wholebody133"
    assert found.keypoints[:, 0, 0].tolist() == [1, 2]


def test_alphapose_follows_the_person_tracked_longest(tmp_path: Path) -> None:
    tracked = [("0.jpg", 9, 1, 3.0), ("0.jpg", 1, 2, 1.0), ("1.jpg", 2, 2, 1.0)]
    found = read_pose_file(alphapose(tmp_path / "a.json", *tracked))
    assert found.keypoints[:, 0, 0].tolist() == [1, 2]
    assert not found.notes


@pytest.mark.parametrize("idx", [None, 0, 0.0, [[0.0], [0.0]], [1, 2]])
def test_alphapose_ids_that_are_none_do_not_change_whom_a_clip_follows(idx: Any, tmp_path: Path) -> None:
    frames = [[(f"{k}.jpg", 1 + k, 3.0), (f"{k}.jpg", 500 + k, 1.2)][:: 1 if k % 3 else -1] for k in range(12)]
    entries = [
        (image, x, idx[k % 2] if idx == [1, 2] else idx, score) for f in frames for k, (image, x, score) in enumerate(f)
    ]
    found = read_pose_file(alphapose(tmp_path / "a.json", *entries))
    assert found.keypoints[:, 0, 0].tolist() == list(range(1, 13))
    (note,) = found.notes
    assert note.startswith("several persons in 12 of 12 frames and no ids that keep to one, so the nearest")


def test_openpose_follows_its_ids_or_the_nearest(tmp_path: Path) -> None:
    for k in range(12):
        for name, ids in (("tracked", (4, 7)), ("untracked", (-1, -1))):
            people = [
                {"person_id": [number], "pose_keypoints_2d": triples(25, x + k)}
                for number, x in zip(ids, (1, 500), strict=True)
            ]
            openpose(tmp_path / name, k, people[:: 1 if k % 3 else -1])
    tracked, untracked = read_pose_file(tmp_path / "tracked"), read_pose_file(tmp_path / "untracked")
    for found in (tracked, untracked):
        assert len(set((found.keypoints[:, 0, 0] - np.arange(12)).tolist())) == 1
    assert not tracked.notes
    assert "several persons in 12 of 12 frames" in untracked.notes[0]


def test_frames_of_several_videos_are_no_clip(tmp_path: Path) -> None:
    for video in ("left", "right"):
        for k in range(3):
            (tmp_path / f"{video}_{k:012d}_keypoints.json").write_text('{"people": []}')
    with pytest.raises(DataError, match="holds frames of 2 videos, whose names begin with 'left_' and 'right_'"):
        read_pose_file(tmp_path)
    path = alphapose(tmp_path / "a.json", ("a/0.jpg", 1), ("a/1.jpg", 1), ("b/0.jpg", 1))
    with pytest.raises(DataError, match="holds frames of 2 videos"):
        read_pose_file(path)


def test_times_in_names_are_of_one_video(tmp_path: Path) -> None:
    path = alphapose(tmp_path / "a.json", ("12.966.jpg", 1), ("13.000.jpg", 2), ("13.033.jpg", 3))
    assert read_pose_file(path).keypoints[:, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds nobody"),
        ('{"a": 1}', "no output of AlphaPose"),
        ('[{"keypoints": [1]}]', 'each person needs "image_id"'),
        (json.dumps([{"image_id": "0", "keypoints": triples(17)}]), "has 17 keypoints a person: the whole body"),
        (
            json.dumps([{"image_id": str(n), "keypoints": triples(n)} for n in (133, 136)]),
            "image 136 must hold 399 numbers",
        ),
    ],
)
def test_alphapose_files_that_are_broken(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_pose_file(path)


def line(time: float, *persons: tuple[int, float], layout: str = "imigue", size: int = 2) -> str:
    joints = layouts.get(layout).num_joints
    entries = [{"id": i, "keypoints": [[value] * size] * joints} for i, value in persons]
    return json.dumps({"time": time, "layout": layout, "persons": entries}) + "\n"


def test_recordings_follow_who_is_seen_longest_or_first(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line(0) + line(1, (5, 1.0)) + line(2, (2, 9.0), (5, 2.0)) + line(3, (2, 9.0)))
    found = read_pose_file(path)
    assert found.layout == "imigue"
    assert found.keypoints[:, 0, 0].tolist() == pytest.approx([np.nan, 1, 2, np.nan], nan_ok=True)
    assert found.scores[:, 0].tolist() == [0, 1, 1, 0]
    path.write_text(line(1, (5, 1.0), (2, 9.0)) + line(2, (2, 9.0)) + line(3, (2, 9.0), (5, 1.0)))
    assert read_pose_file(path).keypoints[:, 0, 0].tolist() == [9, 9, 9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds nobody: it has 0 frames"),
        (line(0), "holds nobody: it has 1 frames"),
        (line(0, (0, 1)) + line(1, (0, 1), layout="ma52"), "mixes the layouts imigue and ma52"),
        (
            line(0, (0, 1), layout="nw-ucla", size=3) + line(1, (0, 1), layout="nw-ucla"),
            "mixes 2-D and 3-D",
        ),
        (line(0, (0, 1)) + "x\n", r"a\.jsonl, line 2 is not JSON"),
    ],
)
def test_recordings_that_are_no_clip(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_pose_file(path)


def test_arrays_of_one_or_several_persons(tmp_path: Path) -> None:
    keypoints = np.stack([np.ones((3, 4, 2)), np.zeros((3, 4, 2))])
    keypoints[0, 1, 2] = np.nan
    scores = np.ones((2, 3, 4))
    scores[0, 0, 0] = 0
    np.savez(tmp_path / "a.npz", keypoints=keypoints, scores=scores)
    np.savez(tmp_path / "b.npz", keypoints=keypoints[0])
    found, plain = read_pose_file(tmp_path / "a.npz"), read_pose_file(tmp_path / "b.npz")
    assert np.argwhere(np.isnan(found.keypoints[..., 0])).tolist() == [[0, 0], [1, 2]]
    assert np.argwhere(found.scores == 0).tolist() == [[0, 0], [1, 2]]
    assert np.argwhere(plain.scores == 0).tolist() == [[1, 2]]
    assert found.layout is None
    np.savez(tmp_path / "c.npz", keypoints=keypoints[::-1], scores=scores[::-1])
    turned = read_pose_file(tmp_path / "c.npz")
    np.testing.assert_array_equal(turned.keypoints, found.keypoints)
    assert turned.notes == ("person 1 shows nobody, so person 2 of 2 was followed",)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": np.ones(3)}, 'has no array "keypoints": it has points'),
        ({"keypoints": np.ones((4, 2))}, r'"keypoints" must be .* not float64 of shape \(4, 2\)'),
        ({"keypoints": np.ones((0, 4, 2))}, "none of them 0"),
        ({"keypoints": np.array([[["a"]]])}, '"keypoints" must be numbers'),
        ({"keypoints": np.array([[[{}]]], dtype=object)}, "no readable .npz file of plain arrays"),
        ({"keypoints": np.ones((3, 4, 2)), "scores": np.ones((3, 5))}, r'"scores" must be numbers of shape \(3, 4\)'),
        ({"keypoints": np.ones((3, 4, 2)), "layout": np.arange(2)}, '"layout" must be the name'),
        ({"keypoints": np.ones((3, 4, 2)), "layout": "ma52"}, "4 joints are said to be in ma52, which has 44"),
        ({"keypoints": np.ones((3, 4, 2)), "layout": "x"}, "unknown skeleton layout"),
    ],
)
def test_arrays_that_are_no_clip(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_pose_file(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken"])
def test_files_that_are_no_arrays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz is no readable"):
        read_pose_file(tmp_path / "a.npz")


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, keypoints=np.random.default_rng(0).normal(size=(9, 4, 2)))
    whole = path.read_bytes()
    for place in range(0, len(whole), 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_pose_file(path)
        except DataError:
            continue


def test_files_of_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert not is_pose_file(tmp_path / "a.txt")
    assert not is_pose_file(tmp_path)
    for path, message in (
        (tmp_path / "a.txt", "is no clip"),
        (tmp_path / "b", "does not exist"),
        (tmp_path, "no \\*_"),
    ):
        with pytest.raises(DataError, match=message):
            read_pose_file(tmp_path / path)


def test_a_compressed_recording_is_a_clip_unless_it_is_cut_off(tmp_path: Path) -> None:
    points = np.arange(88).reshape(44, 2).tolist()
    lines = [{"time": n / 10, "layout": "ma52", "persons": [{"id": 0, "keypoints": points}]} for n in range(9)]
    packed = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed)
    assert is_pose_file(path)
    assert read_pose_file(path).keypoints.shape == (9, 44, 2)
    path.write_bytes(packed[:-9])
    with pytest.raises(DataError, match=r"is no whole file of gzip \(Compressed file ended"):
        read_pose_file(path)


def test_openpose_of_other_versions_is_not_taken_for_nobody(tmp_path: Path) -> None:
    openpose(tmp_path / "c", 0, [{"pose_keypoints": triples(18), "face_keypoints": []}])
    with pytest.raises(
        DataError, match=r"of another OpenPose: a person has none of pose_keypoints_2d, .*'pose_keypoints'$"
    ):
        read_pose_file(tmp_path / "c")


@pytest.mark.parametrize("name", ["confidence", "keypoint_score", "Visibility"])
def test_scores_under_another_name_are_not_passed_over(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "a.npz", keypoints=np.ones((5, 44, 2)), **{name: np.full((5, 44), 0.01)})
    with pytest.raises(DataError, match=f'has "{name}", and scores of joints are read from "scores": rename it'):
        read_pose_file(tmp_path / "a.npz")


def test_scores_may_say_seen_and_not_seen(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", keypoints=np.ones((5, 44, 2)), scores=np.arange(44) % 2 * np.ones((5, 1)) > 0)
    assert read_pose_file(tmp_path / "a.npz").scores.sum() == 5 * 22


def test_a_scale_of_scores_counts_where_the_file_says_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", keypoints=np.ones((5, 44, 2)), scores=np.full((5, 44), 50))
    assert read_pose_file(tmp_path / "a.npz", ScoreScale.declared(100, "")).scores.max() == 0.5
    np.savez(tmp_path / "b.npz", keypoints=np.ones((5, 44, 2)), scores=np.full((5, 44), 50), score_scale=200)
    assert read_pose_file(tmp_path / "b.npz", ScoreScale.declared(100, "")).scores.max() == 0.25
