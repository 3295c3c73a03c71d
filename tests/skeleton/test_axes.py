from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.errors import DataError
from mmn_edge.skeleton import axes


def test_camera_space_becomes_an_image() -> None:
    kinect = np.array([[0.3, 0.5, 2.0], [np.nan] * 3], dtype=np.float32)
    image = axes.turned(kinect, ("left", "up", "away"), axes.IMAGE)
    np.testing.assert_array_equal(image, np.array([[-0.3, -0.5], [np.nan] * 2], dtype=np.float32))
    assert image.dtype == np.float32


def test_axes_in_another_order() -> None:
    world = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
    np.testing.assert_array_equal(
        axes.turned(world, ("right", "away", "up"), ("right", "up", "toward")), [[1.0, 3.0, -2.0]]
    )


def test_same_axes_cost_nothing() -> None:
    points = np.zeros((4, 2), dtype=np.float32)
    assert axes.turned(points, axes.IMAGE, ("right", "down")) is points


@pytest.mark.parametrize(
    "values", [None, "right", ["right"], ["right", "left"], ["right", "down", "down"], ["x", "y"], [1, 2], [["right"]]]
)
def test_nonsense_is_refused_in_a_sentence(values: object) -> None:
    with pytest.raises(DataError, match=r'^line 3: "axes" names where'):
        axes.declared(values, "line 3")


def test_declared_axes() -> None:
    assert axes.declared(["right", "up", "toward"], "line 3") == ("right", "up", "toward")
