from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mmn_edge.datasets.clip import ClipEntry, make_clip
from mmn_edge.datasets.facts import ClipFacts, facts_of, guess_layouts, guess_units


def facts(keypoints: npt.ArrayLike) -> ClipFacts:
    clip = make_clip("here", "a", 2, np.asarray(keypoints, np.float32)[None])
    return facts_of(ClipEntry("a", (), lambda: clip), clip)


def box(low: tuple[float, ...], high: tuple[float, ...]) -> ClipFacts:
    return facts(np.array([[low, high]]))


def test_figures_of_a_clip() -> None:
    nan = float("nan")
    found = facts(np.array([[[0, 1], [10, 0]], [[3, 5], [nan, nan]], [[3, 5], [10, 0]], [[3, 5], [0, 0]]]))
    assert found.shape == (4, 2, 2)
    assert found.missing.tolist() == [0, 2]
    assert found.zeros == 1
    assert (found.low.tolist(), found.high.tolist(), found.extent) == ([0, 0], [10, 5], 10)
    assert found.motion == pytest.approx((5 + 0 + 0) / 3 / 10)  # the first joint moves by 5, then by 0


@pytest.mark.parametrize("keypoints", [[[[1, 2]]], [[[1, 2]], [[1, 2]]], [[[1, 2], [3, 4]]]])
def test_clips_of_one_frame_or_one_point_do_not_move(keypoints: list[list[list[float]]]) -> None:
    assert facts(keypoints).motion == 0


def test_a_digest_is_of_values_and_shape() -> None:
    ones = np.ones((2, 3, 2))
    assert facts(ones).digest == facts(ones).digest
    assert len({facts(array).digest for array in (ones, ones.reshape(3, 2, 2), 2 * ones)}) == 3


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((44, 2), ("ma52",)),
        ((20, 3), ("nw-ucla",)),
        ((20, 2), ("nw-ucla",)),
        ((17, 2), ("coco17",)),
        ((17, 3), ("h36m17",)),
        ((19, 2), ()),
    ],
)
def test_layouts_are_guessed_by_their_joints(shape: tuple[int, int], names: tuple[str, ...]) -> None:
    assert guess_layouts(*shape) == names


@pytest.mark.parametrize(
    ("low", "high", "units"),
    [
        ((-0.8, -0.9, 2.1), (0.4, 0.8, 3), "metres"),
        ((-800, -900, 2100), (400, 800, 3000), "millimetres"),
        ((100, 80), (400, 470), "pixels"),
        ((0.1, 0.2), (0.8, 2.2), "fractions of the image"),
        ((-1.2, -0.9), (1.1, 1), "normalised around a centre"),
    ],
)
def test_units_are_guessed_by_the_usual_clip(low: tuple[float, ...], high: tuple[float, ...], units: str) -> None:
    wild = box(tuple(1e3 * x for x in low), tuple(1e3 * x for x in high))
    assert guess_units([box(low, high), wild, box(low, high)]) == units
