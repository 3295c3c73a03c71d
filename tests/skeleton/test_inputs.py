from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.errors import DataError, LayoutError
from mmn_edge.skeleton import layouts, mappings
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.inputs import ModelInputs
from mmn_edge.skeleton.missing import fill_missing

MA52 = layouts.get("ma52")


def inputs(source: str | None, target: str | None = "ma52", *, channels: int = 2, joints: int = 44) -> ModelInputs:
    layout = layouts.get(target) if target else None
    return ModelInputs(source, layout, joints=joints, channels=channels, bones=layout.bones if layout else ())


def clip(joints: int, channels: int = 2, frames: int = 9) -> FloatArray:
    return np.random.default_rng(0).uniform(10, 400, (frames, joints, channels)).astype(np.float32)


def test_a_clip_is_hidden_mapped_and_filled() -> None:
    keypoints, scores = clip(136), np.full((9, 136), 0.9, np.float32)
    scores[2:4, 9], keypoints[5, 10] = 0.1, 0  # a guess, and a joint that was not found
    taken, seen = inputs("halpe136").take(keypoints, scores, "here")
    hidden = keypoints.copy()
    hidden[2:4, 9] = hidden[5, 10] = np.nan
    expected, _ = mappings.get("halpe136", "ma52").apply(hidden, scores)
    np.testing.assert_array_equal(taken, fill_missing(expected, MA52.bones))
    assert np.isfinite(taken).all()
    assert seen == pytest.approx(1 - 3 / (9 * 44))


def test_a_frame_goes_the_way_of_a_clip() -> None:
    keypoints, scores = clip(133), np.random.default_rng(1).random((9, 133)).astype(np.float32)
    way = inputs("coco-wholebody133")
    together, confidence = way.seen(keypoints, scores, "here")
    one_by_one = [way.seen(*pair, "here") for pair in zip(keypoints, scores, strict=True)]
    np.testing.assert_array_equal(together, np.stack([points for points, _ in one_by_one]))
    np.testing.assert_array_equal(confidence, np.stack([values for _, values in one_by_one]))


def test_triples_of_an_unnamed_layout_are_read_once_the_models_is_known() -> None:
    triples = np.concatenate([clip(44), np.full((9, 44, 1), 0.9, np.float32)], axis=-1)
    triples[:, 3, 2] = 0.1
    for source in (None, "ma52"):
        taken, seen = inputs(source).take(triples, None, "here")
        assert taken.shape == (9, 44, 2)
        assert seen == pytest.approx(43 / 44)
    with pytest.raises(DataError, match="here has three numbers a keypoint in a layout of two coordinates"):
        inputs(None).take(clip(44, 3), None, "here")
    unknown, _ = inputs(None, None, channels=3).take(clip(44, 3), None, "here")
    assert unknown.shape == (9, 44, 3)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(LayoutError, match=r"here has 15 joints and the model takes 44: .* may be jhmdb"):
        inputs(None).take(clip(15), None, "here")
    with pytest.raises(LayoutError, match="here has 2 coordinates per joint, and the model needs 3"):
        inputs(None, "nw-ucla", channels=3, joints=20).take(clip(20), None, "here")
    with pytest.raises(LayoutError, match="no mapping between them"):
        inputs("nw-ucla")


def test_a_layout_that_cannot_reach_the_bound() -> None:
    coco = inputs("coco17")
    assert coco.is_mapped
    assert coco.reach == 0.5
    coco.check_reach(0.5)
    with pytest.raises(LayoutError, match=r"coco17 shows at most 50 % .* so it would never answer"):
        coco.check_reach(0.51)
    assert not inputs("ma52").is_mapped
    inputs("ma52").check_reach(1.0)
    inputs(None, None).check_reach(1.0)


def test_a_sensor_in_space_feeds_a_model_of_images_as_an_image_would() -> None:
    """The same person as the Kinect v2 sees it in space, and as places in an image."""
    image = np.array(layouts.get("kinect-v2").pose, dtype=np.float32) * 4 - 2
    space = np.concatenate([-image, np.full_like(image[:, :1], 2.5)], axis=1)
    scores = np.ones(25, np.float32)
    seen, _ = inputs("kinect-v2").seen(space[None], scores[None], "x")
    expected, _ = inputs("kinect-v2").seen(image[None], scores[None], "x")
    np.testing.assert_array_equal(seen, expected)
    assert seen.shape == (1, 44, 2)
