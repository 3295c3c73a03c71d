import math
from xml.etree import ElementTree

import pytest

from mmn_edge.train.curves import svg
from mmn_edge.train.log import EpochResult


def history(count: int, loss: float = 3.0) -> list[EpochResult]:
    return [EpochResult(n + 1, loss / (n + 1), loss / (n + 1) + 0.1, n / (n + 1), 1e-3, 60.0) for n in range(count)]


@pytest.mark.parametrize("count", [1, 2, 7, 80, 300])
@pytest.mark.parametrize("loss", [0.004, 3.0, 900.0])
def test_every_run_has_its_picture(count: int, loss: float) -> None:
    picture = ElementTree.fromstring(svg(history(count, loss), max(count, 80), 'a & <b>: "joint"'))
    texts = ["".join(element.itertext()) for element in picture.iter() if element.tag.endswith("text")]
    assert 'a & <b>: "joint"' in texts
    assert any(f"in epoch {count} (circle)" in text for text in texts)
    width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
    for element in picture.iter():
        if element.tag.endswith("polyline"):
            points = [tuple(map(float, pair.split(","))) for pair in element.get("points", "").split()]
            assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_a_loss_that_is_not_finite_is_left_out() -> None:
    broken = [*history(3), EpochResult(4, 0.5, math.inf, 0.5, 1e-3, 1.0)]
    assert "inf" not in svg(broken, 10, "x")
