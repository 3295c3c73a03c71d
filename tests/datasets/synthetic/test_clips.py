from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import UsageError
from mmn_edge.skeleton import layouts

LAYOUT = layouts.get(clips.LAYOUT)


def energy(label: str, joint: str, axis: int, reference: str = "neck", count: int = 12) -> float:
    """Median over clips of a joint's standard deviation relative to another, in torso lengths."""
    values = []
    for seed in range(count):
        keypoints, _ = clips.clip(label, np.random.default_rng(seed))
        torso = np.nanmean(
            np.linalg.norm(keypoints[:, LAYOUT.index("neck")] - keypoints[:, LAYOUT.index("hip")], axis=-1)
        )
        relative = keypoints[:, LAYOUT.index(joint)] - keypoints[:, LAYOUT.index(reference)]
        values.append(np.nanstd(relative[:, axis]) / torso)
    return float(np.median(values))


@pytest.mark.parametrize("label", clips.CLASSES)
def test_clips_have_the_promised_shape_and_mark_missing_joints(label):
    for seed in range(5):
        keypoints, scores = clips.clip(label, np.random.default_rng(seed), seconds=2.0, fps=25.0)
        assert (keypoints.shape, keypoints.dtype) == ((50, 44, 2), np.float32)
        assert (scores.shape, scores.dtype) == ((50, 44), np.float32)
        missing = np.isnan(keypoints)
        np.testing.assert_array_equal(missing[..., 0], missing[..., 1])
        np.testing.assert_array_equal(missing[..., 0], scores == 0)
        assert scores.max() <= 1.0
        seen = keypoints[~missing[..., 0]]
        assert (seen > -200).all()
        assert (seen < 2120).all()


def test_joints_go_missing_alone_and_as_whole_hands():
    hand = [i for i, name in enumerate(LAYOUT.joints) if name.startswith("left_") and name.endswith("_tip")]
    lost = np.zeros(44)
    whole = 0
    for seed in range(60):
        _, scores = clips.clip("rest", np.random.default_rng(seed))
        lost += (scores == 0).sum(0)
        whole += int((scores[:, hand] == 0).all(1).sum())
    assert (lost > 0).all()
    assert whole > 20
    assert lost.max() < 0.2 * 60 * 60


def test_the_person_faces_the_camera():
    for seed in range(20):
        keypoints, _ = clips.clip("rest", np.random.default_rng(seed))
        x, y = np.nanmean(keypoints, axis=0).T
        assert x[LAYOUT.index("left_shoulder")] > x[LAYOUT.index("right_shoulder")]
        assert y[LAYOUT.index("head")] < y[LAYOUT.index("nose")] < y[LAYOUT.index("hip")] < y[LAYOUT.index("left_heel")]


@pytest.mark.parametrize(
    ("label", "joint", "axis", "reference"),
    [
        ("nodding", "nose", 1, "neck"),
        ("shaking head", "nose", 0, "head"),
        ("shrugging", "left_shoulder", 1, "neck"),
        ("shaking body", "neck", 0, "hip"),
        ("rubbing hands", "left_wrist", 1, "right_wrist"),
        ("crossing arms", "left_wrist", 0, "right_wrist"),
    ],
)
def test_classes_move_their_joints_more_than_rest_does(label, joint, axis, reference):
    assert energy(label, joint, axis, reference) > 1.5 * energy("rest", joint, axis, reference)


def test_clips_follow_from_the_generator_alone():
    one, two, other = (clips.clip("waving", np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one[0].tobytes() == two[0].tobytes()
    assert one[1].tobytes() == two[1].tobytes()
    assert one[0].tobytes() != other[0].tobytes()


def test_a_data_set_is_balanced_and_every_item_stands_alone():
    count = 3 * len(clips.CLASSES)
    items = clips.dataset(count, seed=5)
    assert set(Counter(item["label"] for item in items).values()) == {3}
    assert len({item["frame_dir"] for item in items}) == count
    assert len({item["total_frames"] for item in items}) > 10
    for item in items:
        frames = item["total_frames"]
        assert item["keypoint"].shape == (1, frames, 44, 2)
        assert item["keypoint_score"].shape == (1, frames, 44)
        assert 12 * 1.8 - 1 <= frames <= 60 * 2.2 + 1
    alone = clips.annotation(17, 5)
    assert alone["keypoint"].tobytes() == items[17]["keypoint"].tobytes()
    assert alone["keypoint_score"].tobytes() == items[17]["keypoint_score"].tobytes()
    assert clips.annotation(17, 6)["keypoint"].tobytes() != alone["keypoint"].tobytes()


def test_a_session_is_scripted_as_promised():
    session = clips.script(300.0, seed=2)
    segments = session.segments
    assert all(2.0 <= segment.end - segment.start <= 4.0 for segment in segments)
    rests = np.diff([0.0, *(time for segment in segments for time in (segment.start, segment.end))])[::2]
    assert ((rests >= 1.5) & (rests <= 4.0)).all()
    assert 300.0 - 8.0 < segments[-1].end <= 300.0
    counts = Counter(segment.label for segment in segments)
    assert set(counts) == set(clips.CLASSES[1:])
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(one.label != two.label for one, two in pairwise(segments))


def test_the_frames_of_a_session_run_forwards_unevenly_and_repeat_exactly():
    session = clips.script(30.0, seed=1, fps=30.0)
    frames = list(session.frames())
    times = np.array([frame.time for frame in frames])
    gaps = np.diff(times)
    assert times[0] == 0.0
    assert times[-1] == pytest.approx(30.0, abs=0.2)
    assert (gaps > 0).all()
    assert 0.001 < gaps.std() < 0.02
    assert 870 < len(frames) < 900
    assert {(frame.layout, len(frame.persons), frame.persons[0].id) for frame in frames} == {("ma52", 1, 0)}
    person = frames[0].persons[0]
    assert (person.keypoints.shape, person.keypoints.dtype) == ((44, 2), np.float32)
    assert (person.scores.shape, person.scores.dtype) == ((44,), np.float32)
    again = list(clips.script(30.0, seed=1, fps=30.0).frames())
    assert [frame.time for frame in again] == times.tolist()
    assert all(
        a.persons[0].keypoints.tobytes() == b.persons[0].keypoints.tobytes() for a, b in zip(frames, again, strict=True)
    )


def test_a_session_shows_one_person_moving_during_its_segments():
    session = clips.script(240.0, seed=4)
    frames = list(session.frames())
    times = np.array([frame.time for frame in frames])
    keypoints = np.stack([frame.persons[0].keypoints for frame in frames])
    torso = np.linalg.norm(keypoints[:, LAYOUT.index("neck")] - keypoints[:, LAYOUT.index("hip")], axis=-1)
    assert np.nanstd(torso) < 0.1 * np.nanmean(torso)
    wrists = keypoints[:, [LAYOUT.index("left_wrist"), LAYOUT.index("right_wrist")]]
    moved = []
    for segment in session.segments:
        if segment.label in ("waving", "crossing arms", "touching nose", "scratching or touching neck"):
            during = (times >= segment.start) & (times <= segment.end)
            moved.append(np.nanmax(np.nanmax(wrists[during], 0) - np.nanmin(wrists[during], 0)))
    assert len(moved) > 5
    assert min(moved) > 0.2 * np.nanmean(torso)


def test_requests_without_sense_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="unknown synthetic class 'dancing'"):
        clips.clip("dancing", rng)
    with pytest.raises(UsageError, match="less than two frames"):
        clips.clip("rest", rng, seconds=0.01)
    with pytest.raises(UsageError, match="makes no sense"):
        clips.script(-1.0, 0)
