import numpy as np
import pytest

from mmn_edge.model.presets import Window
from mmn_edge.runtime.sliding_window import MAX_FRAMES, PersonWindow
from mmn_edge.skeleton.preprocess import uniform_indices

BONES = ((0, 1), (1, 2))


def frame(value: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.full((3, 2), value, np.float32)


def due_times(window: PersonWindow, times: list[float]) -> list[float]:
    return [t for t in times if window.push(t, frame(t))]


def test_due_when_full_and_then_every_stride() -> None:
    window = PersonWindow(Window(64, 2.0, 0.5), BONES)
    times = [k / 30 for k in range(121)]
    assert due_times(window, times) == pytest.approx([2.0, 2.5, 3.0, 3.5, 4.0])


def test_a_slow_stream_is_due_at_most_once_a_frame() -> None:
    window = PersonWindow(Window(64, 2.0, 0.1), BONES)
    assert due_times(window, [k * 0.5 for k in range(8)]) == pytest.approx([2.0, 2.5, 3.0, 3.5])


@pytest.mark.parametrize("fps", [10, 24, 30, 60])
def test_a_constant_rate_gives_the_window_that_a_data_set_would(fps: int) -> None:
    window = PersonWindow(Window(64, 2.0, 0.5), BONES)
    times = [k / fps for k in range(5 * fps)]
    for t in times:
        if window.push(t, frame(t)):
            inside = [s for s in times if t - 2.0 - 1e-6 <= s <= t]
            cut, _ = window.cut()
            expected = np.array(inside, np.float32)[uniform_indices(len(inside), 64)]
            np.testing.assert_array_equal(cut[:, 0, 0], expected)


def test_a_gap_begins_anew() -> None:
    window = PersonWindow(Window(64, 2.0, 0.5), BONES)
    early = [k / 10 for k in range(15)]
    late = [3.0 + k / 10 for k in range(21)]
    assert due_times(window, early + late) == pytest.approx([5.0])
    cut, _ = window.cut()
    assert cut.min() == pytest.approx(3.0)


def test_a_short_interruption_does_not() -> None:
    window = PersonWindow(Window(64, 2.0, 0.5), BONES)
    assert due_times(window, [0.0, 0.5, 1.4, 2.0]) == [2.0]


def test_missing_joints_are_filled_and_the_share_seen_is_told() -> None:
    window = PersonWindow(Window(64, 1.0, 0.5), BONES)
    for k in range(11):
        points = frame(k)
        points[1 if k % 2 else 2] = np.nan
        window.push(k / 10, points)
    cut, seen = window.cut()
    assert np.isfinite(cut).all()
    assert seen == pytest.approx(2 / 3)


def test_frames_without_the_person_count_as_unseen_once_it_is_back() -> None:
    window = PersonWindow(Window(20, 2.0, 0.5), BONES)
    for k in range(21):
        if 5 <= k < 10:
            window.miss(k / 10)
        else:
            window.push(k / 10, frame(k))
    assert window.last_seen == 2.0
    assert window.instants() == 16
    cut, seen = window.cut()
    assert seen == pytest.approx(15 / 20)
    assert np.diff(cut[:, 0, 0]) == pytest.approx([1] * 18 + [2])  # carried over the gap, as in a data set's clip


def test_absences_before_a_new_beginning_are_forgotten() -> None:
    window = PersonWindow(Window(20, 1.0, 0.5), BONES)
    window.push(0.0, frame(0))
    for k in range(1, 10):
        window.miss(k / 10)
    window.push(1.0, frame(1))  # more than half a window later
    assert window.cut()[1] == 1


def test_unfinished_until_the_first_prediction() -> None:
    window = PersonWindow(Window(64, 1.0, 0.5), BONES)
    window.push(0.0, frame(0))
    window.push(0.5, frame(1))
    window.push(0.5, frame(1))
    assert window.unfinished()
    assert window.instants() == 2
    window.push(1.0, frame(2))
    assert not window.unfinished()


def test_large_time_stamps_and_small_strides_do_not_hang() -> None:
    window = PersonWindow(Window(64, 2.0, 0.01), BONES)
    start = 1.7e9  # seconds since 1970
    assert len(due_times(window, [start + k / 10 for k in range(41)])) == 21
    late = PersonWindow(Window(64, 2.0, 0.5), BONES)
    assert due_times(late, [0.0, 0.9, 1.8, 2.7, 3.6]) == [2.7, 3.6]


def test_a_clock_that_stands_still_does_not_fill_the_memory() -> None:
    window = PersonWindow(Window(64, 2.0, 0.5), BONES)
    for _ in range(MAX_FRAMES + 10):
        window.push(0.0, frame(0))
    assert len(window._times) == MAX_FRAMES
