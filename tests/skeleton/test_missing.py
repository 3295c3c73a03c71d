from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.errors import DataError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.missing import (
    HEATMAP,
    MIN_SCORE,
    ScoreScale,
    fill_missing,
    hide_unseen,
    seen_joints,
    share_seen,
    split_confidence,
    unit_scores,
)

NAN = np.float32(np.nan)


def points(*values: tuple[float, ...]) -> FloatArray:
    return np.array(values, np.float32)


def test_a_joint_is_seen_from_a_score_of_a_fifth_on() -> None:
    assert MIN_SCORE == 0.2
    keypoints = points(*[(3, 4)] * 5)
    scores = np.array([0, 0.03, 0.1999, 0.2, 1], np.float32)
    assert seen_joints(keypoints, scores).tolist() == [False, False, False, True, True]
    assert seen_joints(keypoints).all()
    assert not seen_joints(points((NAN, 1), (np.inf, 1)), np.ones(2, np.float32)).any()


def test_the_origin_and_minus_one_are_no_places_in_2d() -> None:
    keypoints = points((0, 0), (-1, -1), (0, 5), (5, 0), (-1, 5), (0.0001, 0))
    assert seen_joints(keypoints, np.full(6, 0.37, np.float32)).tolist() == [False, False, True, True, True, True]


def test_in_3d_one_joint_may_lie_at_the_origin_and_two_of_a_frame_do_not() -> None:
    frames = np.stack([points((0, 0, 0), (1, 2, 3), (4, 5, 6)), points((0, 0, 0), (0, 0, 0), (4, 5, 6))])
    assert seen_joints(frames).tolist() == [[True, True, True], [False, False, True]]
    assert seen_joints(points((-1, -1, -1), (1, 1, 1))).tolist() == [False, True]


def test_what_was_not_seen_is_hidden_and_counted() -> None:
    keypoints, scores, placeholders = hide_unseen(
        points((3, 4), (0, 0), (-1, -1), (5, 6), (0, 0)), np.array([0.9, 0.37, 1, 0.1, 0], np.float32)
    )
    assert np.isfinite(keypoints).all(axis=-1).tolist() == [True, False, False, False, False]
    assert scores.tolist() == pytest.approx([0.9, 0, 0, 0, 0])
    assert placeholders == 2  # the last two had no score to be seen by
    assert share_seen(keypoints) == pytest.approx(1 / 5)


def test_scores_become_confidences() -> None:
    assert unit_scores([0, 0.5, 1.0005, NAN, -1], "here").tolist() == [0, 0.5, 1, 0, 0]
    assert unit_scores([0.5, 1.2], "here", HEATMAP).tolist() == [0.5, 1]
    assert unit_scores([5, 90, 200], "here", ScoreScale.declared(100, "here")).tolist() == pytest.approx([0.05, 0.9, 1])
    assert unit_scores([], "here").shape == (0,)


@pytest.mark.parametrize(("scores", "scale"), [([0.4, 1.1], None), ([5, 90], None), ([0.2, 1.6], HEATMAP)])
def test_scores_beyond_1_that_nobody_declared_are_refused(scores: list[float], scale: ScoreScale | None) -> None:
    with pytest.raises(DataError, match=rf"^here has scores up to {max(scores):g}, .*score_scale"):
        unit_scores(scores, "here", scale)
    with pytest.raises(DataError, match="up to inf"):
        unit_scores([np.inf], "here", ScoreScale.declared(2, "here"))


@pytest.mark.parametrize("full", [0, -1, True, "100", float("nan"), float("inf"), None, [1]])
def test_a_declaration_is_a_positive_number(full: object) -> None:
    with pytest.raises(DataError, match='here: "score_scale" is what scores are divided by'):
        ScoreScale.declared(full, "here")


def test_a_third_number_in_two_coordinates_is_the_confidence() -> None:
    triples = points((3, 4, 0.9), (0, 0, 0), (5, 6, 0.1), (NAN, NAN, NAN), (-1, -1, -1))
    keypoints, scores = split_confidence(triples, np.array([1, 1, 1, 0, 1], np.float32), "here")
    assert keypoints.shape == (5, 2)
    assert scores.tolist() == pytest.approx([0.9, 0, 0.1, 0, 0])
    assert seen_joints(keypoints, scores).tolist() == [True, False, False, False, False]


def test_a_third_number_that_is_no_confidence_is_refused() -> None:
    with pytest.raises(DataError, match=r"here has three numbers a keypoint .* runs from -0\.3 to 0\.9"):
        split_confidence(points((3, 4, 0.9), (3, 4, -0.3)), np.ones(2, np.float32), "here")
    with pytest.raises(DataError, match="leave one of the two out"):
        split_confidence(points((3, 4, 0.9)), np.array([0.8], np.float32), "here")


def track(*values: float) -> FloatArray:
    """A clip of one joint per row's value, ``(T, 1, 2)``, whose y is ten times its x."""
    x = np.array(values, np.float32)
    return np.stack([x, 10 * x], axis=-1)[:, None, :]


def test_a_joint_seen_in_part_is_interpolated_inside_and_held_at_the_edges() -> None:
    filled = fill_missing(track(NAN, NAN, 2, NAN, NAN, 8, NAN), ())
    assert np.allclose(filled, track(2, 2, 2, 4, 6, 8, 8))
    assert filled.dtype == np.float32


def test_half_a_keypoint_is_a_missing_keypoint() -> None:
    keypoints = track(2, 4, 8)
    keypoints[1, 0, 1] = np.inf
    assert np.allclose(fill_missing(keypoints, ()), track(2, 5, 8))


def test_a_joint_never_seen_takes_the_place_of_the_nearest_along_the_bones() -> None:
    keypoints = np.concatenate([track(1, 2), track(NAN, NAN), track(NAN, NAN), track(7, NAN), track(5, 6)], axis=1)
    bones = ((1, 0), (3, 2), (2, 1), (4, 4))
    filled = fill_missing(keypoints, bones)
    assert np.array_equal(filled[:, 1], keypoints[:, 0])  # over (1, 0), from either end of a bone
    assert np.array_equal(filled[:, 2], track(7, 8)[:, 0])  # over (3, 2), whose own gap is filled before
    assert np.array_equal(fill_missing(keypoints, ())[:, 1:3], np.repeat(keypoints[:, :1], 2, axis=1))


def test_a_joint_out_of_sight_moves_with_the_nearest_that_is_seen_more_often() -> None:
    elbow, wrist = track(0, 10, 20, 30, 40), track(1, NAN, NAN, 34, NAN)
    tip = track(NAN, NAN, NAN, 36, NAN)
    filled = fill_missing(np.concatenate([tip, wrist, elbow], axis=1), ((2, 1), (1, 0)))
    assert np.array_equal(filled[:, 1], track(1, 12, 23, 34, 44)[:, 0])  # 1 before the elbow, then 4
    assert np.array_equal(filled[:, 0], track(3, 14, 25, 36, 46)[:, 0])  # 2 before the wrist, filled or not


def test_a_clip_in_which_nothing_was_seen_becomes_zeros() -> None:
    filled = fill_missing(np.full((3, 2, 2), NAN), ((0, 1),))
    assert np.array_equal(filled, np.zeros((3, 2, 2)))
    assert filled.dtype == np.float32


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_filling_changes_neither_its_input_nor_what_was_seen(clip: FloatArray, share: float) -> None:
    clip[np.random.default_rng(1).random((50, 22)) < share] = np.nan
    before = clip.copy()
    filled = fill_missing(clip, layouts.get("imigue").bones)
    assert np.array_equal(clip, before, equal_nan=True)
    assert np.isfinite(filled).all()
    seen = np.isfinite(before)
    assert np.array_equal(filled[seen], before[seen])
