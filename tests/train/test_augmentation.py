from dataclasses import replace

import numpy as np
import pytest

from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import normalise
from mmn_edge.train.augmentation import augment, crop, erase
from mmn_edge.train.recipe import load

MA52, UCLA = layouts.get("ma52"), layouts.get("nw-ucla")
NOTHING = load("ma52-joint").augment


def clip(layout: layouts.Layout, channels: int, frames: int = 40) -> np.ndarray:
    rng = np.random.default_rng(3)
    walk = rng.normal(0, 2, (frames, layout.num_joints, channels)).cumsum(axis=0)
    return (300 + rng.normal(0, 60, (layout.num_joints, channels)) + walk).astype(np.float32)


def test_no_option_changes_nothing() -> None:
    x = clip(MA52, 2)
    assert np.array_equal(augment(x, replace(NOTHING, erase=0), MA52, np.random.default_rng(0)), x)


@pytest.mark.parametrize(("layout", "channels"), [(MA52, 2), (UCLA, 3)])
@pytest.mark.parametrize(
    "options",
    [
        {"rotate": 30.0},
        {"tilt": 20.0, "rotate": 5.0},
        {"shear": 0.2},
        {"mirror": 1.0},
        {"speed": 0.5},
        {"roll": 1.0},
        {"parts": 0.1},
        {"stray": 1.0},
        {"noise": 0.01},
        {"drop_part": 1.0},
        {"drop_frames": 0.5},
    ],
)
def test_every_augmentation_reaches_the_network(
    layout: layouts.Layout, channels: int, options: dict[str, float]
) -> None:
    x = clip(layout, channels)
    one = augment(x, replace(NOTHING, **options), layout, np.random.default_rng(4))
    again = augment(x, replace(NOTHING, **options), layout, np.random.default_rng(4))
    assert one.shape == x.shape
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert np.array_equal(one, again)
    assert np.abs(normalise(one) - normalise(x)).max() > 1e-3  # after min-max, which would undo shifts and scales
    assert np.array_equal(x, clip(layout, channels))  # the data set's own clip is untouched


def test_rotation_in_space_keeps_distances_and_the_vertical() -> None:
    x = clip(UCLA, 3)
    turned = augment(x, replace(NOTHING, rotate=90.0), UCLA, np.random.default_rng(2))
    np.testing.assert_allclose(turned[..., 1], x[..., 1], atol=1e-3)
    np.testing.assert_allclose(
        np.linalg.norm(turned[:, 3] - turned[:, 7], axis=-1), np.linalg.norm(x[:, 3] - x[:, 7], axis=-1), rtol=1e-4
    )


def test_a_mirror_image_has_its_hands_swapped() -> None:
    x = clip(MA52, 2)
    mirrored = augment(x, replace(NOTHING, mirror=1.0), MA52, np.random.default_rng(0))
    one, other = MA52.pairs[0]
    np.testing.assert_allclose(mirrored[:, one, 0], -x[:, other, 0])
    np.testing.assert_allclose(mirrored[:, one, 1], x[:, other, 1])
    back = augment(mirrored, replace(NOTHING, mirror=1.0), MA52, np.random.default_rng(0))
    np.testing.assert_allclose(back, x)


def test_below_a_lower_edge_joints_take_the_place_of_those_above() -> None:
    x = np.zeros((20, 44, 2), np.float32)
    x[:, :, 0] = np.arange(44)
    x[:, :, 1] = np.linspace(0, 100, 44)
    cut = augment(x, replace(NOTHING, erase=0, lower_edge=1.0), MA52, np.random.default_rng(1))
    assert 50 < cut[..., 1].max() < 99
    kept = x[..., 1] <= cut[..., 1].max()
    assert np.array_equal(cut[kept], x[kept])


def test_parts_move_by_themselves_and_stay_rigid() -> None:
    x = clip(MA52, 2)
    moved = augment(x, replace(NOTHING, erase=0, parts=0.1), MA52, np.random.default_rng(1))
    for part in MA52.parts.values():
        one, other, *_ = part
        ratio = np.linalg.norm(moved[:, one] - moved[:, other], axis=-1) / np.linalg.norm(
            x[:, one] - x[:, other], axis=-1
        )
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-2)  # one scale for the part, in all frames
    assert not np.allclose(moved - x, (moved - x)[:, :1])


@pytest.mark.parametrize(("layout", "channels", "arm"), [(MA52, 2, "right_hand"), (UCLA, 3, "left_arm")])
def test_a_limb_strays_about_its_root_for_some_frames_and_keeps_its_bones(
    layout: layouts.Layout, channels: int, arm: str
) -> None:
    x = clip(layout, channels)
    strayed = augment(x, replace(NOTHING, erase=0, stray=1.0), layout, np.random.default_rng(2))
    root, *limb = layout.parts[arm]
    assert np.array_equal(strayed[:, [root, *layout.parts["torso"]]], x[:, [root, *layout.parts["torso"]]])
    away = np.flatnonzero((strayed != x).any(axis=(1, 2)) & (strayed[:, limb] != x[:, limb]).any(axis=(1, 2)))
    assert 1 <= len(away) <= len(x) // 2
    assert np.array_equal(away, np.arange(away[0], away[-1] + 1))
    for start, end in layout.bones:
        np.testing.assert_allclose(
            np.linalg.norm(strayed[:, start] - strayed[:, end], axis=-1),
            np.linalg.norm(x[:, start] - x[:, end], axis=-1),
            rtol=1e-4,
        )


def test_a_rolled_clip_begins_elsewhere_and_ends_before_it() -> None:
    x = clip(MA52, 2)
    rolled = augment(x, replace(NOTHING, erase=0, roll=1.0), MA52, np.random.default_rng(1))
    begin = int(np.flatnonzero((x == rolled[0]).all(axis=(1, 2)))[0])
    assert begin > 0
    assert np.array_equal(rolled, np.concatenate([x[begin:], x[:begin]]))


def test_perspective_makes_one_side_larger() -> None:
    x = np.zeros((2, 44, 2), np.float32)
    x[:, :22, 0], x[:, 22:, 0] = -100, 100
    x[:, ::2, 1] = 50
    seen = augment(x, replace(NOTHING, perspective=0.5), MA52, np.random.default_rng(0))
    heights = [np.ptp(seen[0, half, 1]) for half in (slice(0, 22), slice(22, 44))]
    assert abs(heights[0] - heights[1]) > 1


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_clips_survive_everything(frames: int) -> None:
    options = replace(NOTHING, rotate=30, shear=0.1, perspective=0.2, mirror=0.5, speed=0.5, noise=0.01)
    options = replace(options, drop_part=0.9, drop_frames=0.9, stray=0.9)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = augment(crop(clip(MA52, 2, frames), 0.3, rng), options, MA52, rng)
        assert 1 <= len(x) <= frames
        assert np.isfinite(x).all()


def test_a_crop_is_a_run_of_frames() -> None:
    x = clip(MA52, 2)
    lengths = set()
    for seed in range(50):
        part = crop(x, 0.5, np.random.default_rng(seed))
        start = int(np.flatnonzero((x == part[0]).all(axis=(1, 2)))[0])
        assert np.array_equal(part, x[start : start + len(part)])
        lengths.add(len(part))
    assert min(lengths) >= 20
    assert len(lengths) > 10
    assert crop(x, 1.0, np.random.default_rng(0)) is x


def test_erasing_zeroes_an_axis_or_a_run_of_frames() -> None:
    window = np.ones((2, 64, 44, 1), dtype=np.float32)
    seen = set()
    for seed in range(200):
        erased = erase(window, 0.5, np.random.default_rng(seed))
        axes = int((erased == 0).all(axis=(1, 2, 3)).sum())
        frames = int((erased == 0).all(axis=(0, 2, 3)).sum())
        assert axes in (0, 1)
        assert frames == 0 or 4 <= frames <= 16
        seen.add((axes, frames > 0))
    assert seen == {(0, False), (1, False), (0, True), (1, True)}
    assert (window == 1).all()
    assert erase(window, 0.0, np.random.default_rng(0)) is window
