from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mmn_edge.datasets.clip import Clip, ClipEntry
from mmn_edge.datasets.contact_sheet import Strip, contact_sheet, pages, representative, upside_down
from mmn_edge.datasets.facts import ClipFacts, facts_of
from mmn_edge.datasets.reading import read_clips
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray

MA52 = layouts.get("ma52")


def person(frames: int = 10, up: bool = False) -> FloatArray:
    pose = np.array(MA52.pose, np.float32) * [300, -500 if up else 500]
    drift = np.linspace(0, 40, frames, dtype=np.float32)[:, None, None]
    return (pose + drift).astype(np.float32)


def fact(name: str, step: float, missing: int = 0) -> ClipFacts:
    points = np.arange(5)[:, None, None] * step + np.array([[0, 0], [0, 100]])
    points = points.astype(np.float32)
    points[:missing, 1] = np.nan
    clip = Clip(name, 0, points)
    return facts_of(ClipEntry(name, (), lambda: clip), clip)


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def numbers(svg: str) -> list[list[float]]:
    """The absolute coordinates of every path."""
    paths = [element.get("d", "").replace("h.01", "") for element in elements(svg, "path")]
    return [[float(number) for number in re.findall(r"-?[\d.]+", path)] for path in paths]


def test_the_clip_of_middling_motion_among_those_that_show_most() -> None:
    facts = [
        fact("slow", 1),
        fact("usual", 3),
        fact("wild", 30),
        fact("hidden", 3, missing=4),
        fact("other", 4, missing=4),
    ]
    chosen = representative(facts)
    assert chosen is not None
    assert chosen.entry.name == "usual"
    assert representative(facts[::-1]) is chosen
    assert representative([]) is None


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (60, [60]), (61, [31, 30]), (140, [47, 47, 46])])
def test_many_classes_go_on_even_pages(count: int, sizes: list[int]) -> None:
    strips = [Strip(str(number), "", person()) for number in range(count)]
    assert [len(page) for page in pages(strips)] == sizes
    assert [strip for page in pages(strips) for strip in page] == strips


def test_which_way_y_points() -> None:
    assert not upside_down([person()], MA52)
    assert upside_down([person(up=True)], MA52)
    assert upside_down([np.ones((1, 3, 3), np.float32)], None)
    assert not upside_down([np.ones((1, 3, 2), np.float32)], None)


def test_real_data_point_their_own_ways(shared: Path) -> None:
    for name, layout, up in (("nw_ucla", "nw-ucla", True), ("jhmdb14_split1", "jhmdb", False)):
        path = shared / "data" / f"{name}.pkl"
        if not path.is_file():
            pytest.skip(f"the data set {path} is not here")
        clips = [clip.keypoints for clip in read_clips(path, "test").clips[::40]]
        assert upside_down(clips, layouts.get(layout)) is up


def test_a_sheet_is_sound_and_shows_every_class() -> None:
    strips = [Strip(f"class <{number}>", f"{number} clips; a&b", person(frames=number + 1)) for number in range(8)]
    svg = contact_sheet(strips, MA52, "a < b")
    texts = [element.text or "" for element in elements(svg, "text")]
    assert texts[0] == "a < b"
    assert {f"class <{number}>" for number in range(8)} <= set(texts)
    assert texts.count("frame 0") == 8
    assert "7" in texts  # the last frame of the longest clip
    sheet = elements(svg, "svg")[0]
    right, bottom = float(sheet.get("width", 0)), float(sheet.get("height", 0))
    for path in numbers(svg):
        assert all(0 <= x <= right for x in path[::2])
        assert all(0 <= y <= bottom for y in path[1::2])


def test_heads_are_above_feet_whichever_way_y_points() -> None:
    for up in (False, True):
        svg = contact_sheet([Strip("a", "", person(1, up))], MA52, "")
        # Bones and joints of a part each make a path, in the order of the parts.
        parts = [name for name in MA52.parts for _ in ("bones", "joints")]
        heights = {name: np.mean(path[1::2]) for name, path in zip(parts, numbers(svg), strict=True)}
        assert heights["face"] < heights["right_foot"]


def test_more_than_twenty_classes_stand_in_two_columns() -> None:
    def width(count: int) -> float:
        svg = contact_sheet([Strip("a", "", person(1))] * count, MA52, "")
        return float(elements(svg, "svg")[0].get("width", 0))

    assert width(21) > 1.8 * width(20)


def test_joints_that_are_not_seen_are_not_drawn() -> None:
    clip = person(2)
    clip[0] = np.nan
    clip[1, 20:] = np.nan
    svg = contact_sheet([Strip("a", "", clip)], None, "")
    assert [len(path) for path in numbers(svg)] == [40]
    assert "nan" not in svg
    blank = np.full((7, 44, 2), np.nan, np.float32)
    blank[1] = 1  # seen in a frame that is not among those drawn
    assert "nan" not in contact_sheet([Strip("a", "", np.repeat(blank, 3, axis=0))], MA52, "")


def test_long_names_are_cut() -> None:
    svg = contact_sheet([Strip("word " * 30 + "w" * 50, "x/" * 90, person(1))], MA52, "")
    texts = [element.text or "" for element in elements(svg, "text")]
    assert max(map(len, texts)) <= 27
    assert len(texts) <= 8
