from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmn_edge.datasets.reading import read_clips
from mmn_edge.errors import DataError, UsageError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import (
    STREAMS,
    Preprocessing,
    features,
    make_stream,
    normalise,
    random_indices,
    resample_indices,
    time_index,
    uniform_indices,
)

FOLDERS = {"ma52": "MA52", "imigue": "iMiGUE"}
KEYS = {"joint": "j", "bone": "b", "joint-motion": "jm", "bone-motion": "bm"}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", FOLDERS)
def test_features_are_the_published_ones(shared: Path, name: str, stream: str) -> None:
    preprocessing = Preprocessing.for_layout(layouts.get(name), stream)
    clips = read_clips(shared / "fixtures" / "data" / FOLDERS[name], "val").clips
    with np.load(shared / "fixtures" / f"{name}_preprocess.npz") as reference:
        data, index = reference[f"{KEYS[stream]}_data"], reference[f"{KEYS[stream]}_index_t"]
        assert [clip.label for clip in clips] == reference["label"].tolist()
    assert len(clips) == len(data) == 10
    for clip, expected, expected_index in zip(clips, data, index, strict=True):
        x, index_t = features(clip.keypoints, preprocessing)
        assert x.dtype == index_t.dtype == np.float32
        assert x.shape == expected.shape
        assert np.abs(x - expected).max() < 1e-6
        assert np.array_equal(index_t, expected_index)


@pytest.mark.parametrize(("length", "differing"), [(154, [21, 42, 49]), (162, [45]), (178, [21, 42])])
def test_uniform_indices_truncate_as_the_published_pipeline_does(length: int, differing: list[int]) -> None:
    exact = np.arange(64) * (length - 1) // 63
    indices = uniform_indices(length, 64)
    assert np.flatnonzero(indices != exact).tolist() == differing
    assert np.array_equal(exact[differing] - indices[differing], np.ones(len(differing)))


def test_uniform_indices_of_short_clips_repeat_and_of_64_frames_are_all() -> None:
    assert uniform_indices(1, 4).tolist() == [0, 0, 0, 0]
    assert uniform_indices(2, 4).tolist() == [0, 0, 0, 1]
    assert uniform_indices(64, 64).tolist() == list(range(64))


@pytest.mark.parametrize("length", [1, 2, 7, 64, 300])
def test_random_indices_are_sorted_frames_of_the_clip(length: int) -> None:
    indices = random_indices(length, 64, np.random.default_rng(0))
    assert indices.shape == (64,)
    assert (np.diff(indices) >= 0).all()
    assert indices.min() >= 0
    assert indices.max() < length
    assert len(set(indices.tolist())) <= length


def test_random_indices_come_from_a_multiset_with_each_frame_as_often_as_there_are_indices() -> None:
    assert random_indices(1, 64, np.random.default_rng(0)).tolist() == [0] * 64
    draws = np.stack([random_indices(5, 4, np.random.default_rng(seed)) for seed in range(2000)])
    assert set(np.unique(draws)) == set(range(5))
    counts = np.stack([(draws == frame).sum(axis=1) for frame in range(5)])
    assert counts.max() == 4  # the whole draw can be one frame
    assert (draws.max(axis=1) == 4).any()
    assert (draws.min(axis=1) == 0).any()
    assert np.abs(counts.mean(axis=1) - 4 / 5).max() < 0.1


def test_time_index_is_float32_from_minus_one_to_below_one() -> None:
    index = time_index(np.array([0, 32, 63]), 64)
    assert index.dtype == np.float32
    assert index.tolist() == [-1.0, 0.0, 0.96875]


@pytest.mark.parametrize("rate", [10.0, 25.0, 29.97, 30.0])
def test_resampling_a_stream_of_constant_rate_is_the_uniform_sampling_of_a_clip(rate: float) -> None:
    truncated = set()
    for length in range(2, 301):
        resampled, uniform = resample_indices(np.arange(length) / rate, 64), uniform_indices(length, 64)
        exact = np.arange(64) * (length - 1) // 63
        assert np.array_equal(resampled, exact), length
        differing = resampled != uniform
        # Only where the instant is a frame's own, and float64 falls just short of it.
        assert (np.arange(64)[differing] * (length - 1) % 63 == 0).all()
        if differing.any():
            truncated.add(length)
    assert truncated == {154, 162, 178, 260, 274, 292}


def test_resampling_survives_time_stamps_as_decimal_text() -> None:
    times = np.round(np.arange(61) / 30, 6) + 1000.0
    assert np.array_equal(resample_indices(times, 64), np.arange(64) * 60 // 63)


def test_resampling_takes_the_newest_frame_at_each_instant_of_a_jittered_stream() -> None:
    assert resample_indices(np.array([0.0, 0.1, 0.9, 1.0]), 5).tolist() == [0, 1, 1, 1, 3]
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(5, 8, 50))
    indices = resample_indices(times, 64)
    for instant, index in zip(np.linspace(times[0], times[-1], 64), indices, strict=True):
        assert times[index] <= instant + 1e-6
        assert index == 49 or times[index + 1] > instant + 1e-6


def test_resampling_duplicate_time_stamps_takes_the_last_of_them() -> None:
    assert resample_indices(np.array([0.0, 0.0, 1.0, 1.0, 2.0]), 3).tolist() == [1, 3, 4]
    assert resample_indices(np.array([3.0, 3.0]), 4).tolist() == [1, 1, 1, 1]
    assert resample_indices(np.array([3.0]), 4).tolist() == [0, 0, 0, 0]


def test_normalise_spans_all_frames_and_joints_of_a_coordinate(clip: FloatArray) -> None:
    both = np.stack([clip, clip * 3 + 7])
    scaled = normalise(both)
    assert scaled.dtype == np.float32
    assert scaled.min(axis=(1, 2)) == pytest.approx(-1, abs=1e-6)
    assert scaled.max(axis=(1, 2)) == pytest.approx(1, abs=1e-5)
    assert np.allclose(scaled[0], scaled[1], atol=1e-5)
    assert np.array_equal(normalise(np.full((3, 2, 2), 5, np.float32)), np.full((3, 2, 2), -1, np.float32))


def test_of_bones_with_the_same_start_the_last_counts() -> None:
    preprocessing = Preprocessing("bone", (2, 0, 1), ((0, 1), (0, 2)))
    assert preprocessing.bone_ends == (2, 1, 2)
    joints = np.array([[[1, 10], [2, 20], [4, 40]]], np.float32)
    assert make_stream(joints, preprocessing).tolist() == [[[-3, -30], [0, 0], [0, 0]]]
    assert Preprocessing("bone", (2, 0, 1), ((0, 2), (0, 1))).bone_ends == (1, 1, 2)


def test_motion_is_the_forward_difference_with_a_last_frame_of_zeros() -> None:
    joints = np.array([[[1.0]], [[4.0]], [[9.0]]], np.float32)
    moved = make_stream(joints, Preprocessing("joint-motion", (0,), ()))
    assert moved.ravel().tolist() == [3, 5, 0]
    assert joints.ravel().tolist() == [1, 4, 9]


def test_features_of_chosen_frames_are_reordered_and_time_stamped(clip: FloatArray) -> None:
    order = tuple(reversed(range(22)))
    indices = np.array([0, 25, 49])
    x, index_t = features(clip, Preprocessing("joint", order, ()), indices=indices)
    assert x.shape == (2, 3, 22, 1)
    assert np.array_equal(x[..., 0].transpose(1, 2, 0), normalise(clip)[indices][:, ::-1])
    assert np.array_equal(index_t, time_index(indices, 50))


@pytest.mark.parametrize(
    ("shape", "message"), [((0, 22, 2), "0 frames and 22 joints"), ((9, 21, 2), "21 joints does not fit .* 22 joints")]
)
def test_clips_that_do_not_fit(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        features(np.zeros(shape, np.float32), Preprocessing("joint", tuple(range(22)), ()))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clips_that_are_not_finite(clip: FloatArray, value: float) -> None:
    clip[3, 4, 1] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        features(clip, Preprocessing("joint", tuple(range(22)), ()))


def test_an_unknown_stream() -> None:
    with pytest.raises(UsageError, match="unknown stream 'bones': choose one of joint, bone"):
        Preprocessing("bones", (0,), ())


@pytest.mark.parametrize("name", layouts.names())
def test_dict_round_trip(name: str) -> None:
    preprocessing = Preprocessing.for_layout(layouts.get(name), "bone-motion")
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing
    assert sorted(preprocessing.order) == list(range(layouts.get(name).num_joints))


def test_a_person_of_no_size_lies_at_the_corner_and_the_published_millionth_counts() -> None:
    """2 (x - low) / (high - low + 1e-6) - 1."""
    still = np.full((3, 4, 2), 7, np.float32)
    assert (normalise(still) == -1).all()
    small = np.zeros((1, 2, 2), np.float32)
    small[0, 1] = 1e-6, 3e-6
    assert normalise(small)[0, 1] == pytest.approx([0.0, 0.5], abs=1e-6)
