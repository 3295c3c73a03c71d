from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from mmn_edge.reports.timeline import Bar, Lane, Row, timeline

SVG = "{http://www.w3.org/2000/svg}"


def bars(svg: str) -> list[tuple[float, float, float, str]]:
    """x, y, width and tooltip of every bar."""
    root = ElementTree.fromstring(svg)
    found = []
    for rect in root.iter(f"{SVG}rect"):
        hint = rect.find(f"{SVG}title")
        if hint is not None:
            found.append(
                (float(rect.get("x", 0)), float(rect.get("y", 0)), float(rect.get("width", 0)), hint.text or "")
            )
    return found


def row(*entries: tuple[float, float, str]) -> Row:
    return Row("head & <neck>", (Lane("truth", tuple(Bar(a, b, text, "#0072b2") for a, b, text in entries)),))


def test_bars_are_where_their_times_are() -> None:
    svg = timeline([row((0, 5, "a"), (5, 10, "b"))], 0, 10, title='x & "y"', width=800)
    (x1, y1, w1, _), (x2, y2, w2, _) = bars(svg)
    assert x2 - x1 == pytest.approx(w1, abs=0.11)
    assert w1 == w2
    assert y1 == y2
    assert x2 + w2 == pytest.approx(800 - 24, abs=0.11)


def test_bars_that_overlap_are_below_one_another() -> None:
    svg = timeline([row((0, 5, "a"), (4, 8, "b"), (6, 9, "c"))], 0, 10, title="x")
    heights = {hint: y for _, y, _, hint in bars(svg)}
    assert heights["a"] == heights["c"] < heights["b"]


def test_long_times_come_in_strips_of_one_scale() -> None:
    svg = timeline([row((25, 35, "a"), (70, 75, "b"))], 0, 75, title="x", strip=30)
    found = bars(svg)
    assert [hint for *_, hint in found] == ["a", "a", "b"]
    assert found[0][2] == found[1][2]  # 5 s on either side
    assert found[0][1] < found[1][1] < found[2][1]
    assert "1:10" not in svg
    height = float(re.search(r'height="(\d+)"', svg)[1])  # type: ignore[index]
    assert height > max(y for _, y, _, _ in found)


def test_text_stands_in_the_bar_or_beside_it_or_is_cut() -> None:
    name = "scratching or touching hindbrain"
    svg = timeline([row((0, 20, name), (30, 31, name), (58, 60, name))], 0, 60, title="x", width=1000)
    texts = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert texts.count(name) == 2
    assert any(text and text.startswith("s") and text.endswith("…") for text in texts)
