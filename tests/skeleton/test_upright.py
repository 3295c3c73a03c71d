from __future__ import annotations

import numpy as np
import pytest

from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.axes import IMAGE
from mmn_edge.skeleton.frame import Frame, Person
from mmn_edge.skeleton.upright import ENOUGH, UprightWatch

WITHOUT_HIPS = {"imigue"}


def frames(layout: str, upside_down: bool, lying: bool = False, channels: int | None = None) -> list[Frame]:
    """The drawn person along the layout's axes, again and again."""
    facts = layouts.get(layout)
    x, y = np.array(facts.pose, dtype=np.float32).T
    if lying:
        x, y = y, x
    if upside_down:
        y = 1 - y
    ahead = np.full_like(x, 2.0)
    places = {"right": x, "left": -x, "down": y, "up": -y, "away": ahead, "toward": -ahead}
    axes = facts.axes_of(channels or facts.channels)
    points = np.stack([places[direction] for direction in axes], axis=-1)
    return [Frame(k / 30, layout, (Person(0, points, np.ones(len(x), np.float32)),)) for k in range(3 * ENOUGH)]


@pytest.mark.parametrize("layout", [name for name in layouts.names() if name not in WITHOUT_HIPS])
def test_people_on_their_heads_are_told_once(layout: str) -> None:
    watch = UprightWatch()
    assert [watch.take(frame) for frame in frames(layout, upside_down=True)].count(True) == 1
    watch = UprightWatch()
    assert not any(watch.take(frame) for frame in frames(layout, upside_down=False))


def test_people_who_lie_and_layouts_without_hips_say_nothing() -> None:
    for some in (frames("coco17", upside_down=True, lying=True), frames("imigue", upside_down=True)):
        watch = UprightWatch()
        assert not any(watch.take(frame) for frame in some)


def test_places_in_the_image_of_a_layout_in_space() -> None:
    watch = UprightWatch()
    assert layouts.get("kinect-v2").axes_of(2) == IMAGE
    assert not any(watch.take(frame) for frame in frames("kinect-v2", upside_down=False, channels=2))
