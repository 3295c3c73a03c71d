import xml.etree.ElementTree as ET

import numpy as np

from mmn_edge.model import labels
from mmn_edge.model.labels import Labels
from mmn_edge.reports.confusion import confusion

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def hints(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}title")]


def test_rows_are_normalised_and_cells_tell_counts() -> None:
    svg = confusion(np.array([[3, 1], [0, 2]]), Labels(("a < b", "c & d")), title="x & y")
    found = texts(svg)
    assert "x & y" in found
    assert found.count("a < b") == found.count("c & d") == 2
    assert {"75", "25", "100"} <= set(found)
    assert hints(svg) == [
        "a < b taken for a < b: 3 of 4",
        "a < b taken for c & d: 1 of 4",
        "c & d taken for c & d: 2 of 2",
    ]


def test_classes_that_do_not_occur_are_left_out() -> None:
    matrix = np.zeros((4, 4), dtype=np.int64)
    matrix[0, 2] = 1
    found = texts(confusion(matrix, Labels(("a1", "b1", "c1", "d1")), title="t"))
    assert {"a1", "c1"} <= set(found)
    assert not {"b1", "d1"} & set(found)


def test_classes_come_by_group() -> None:
    names = Labels(("leg 1", "head 1", "leg 2"), ("head", "leg"), (1, 0, 1))
    found = texts(confusion(np.eye(3, dtype=np.int64), names, title="t"))
    assert [text for text in found if " " in text and text[-1] in "12"][::2] == ["head 1", "leg 1", "leg 2"]
    assert {"head", "leg"} <= set(found)


def test_many_classes_are_readable() -> None:
    names = labels.get("ma52")
    svg = confusion(np.full((52, 52), 2, dtype=np.int64), names, title="t")
    root = ET.fromstring(svg)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert 800 < width < 1600
    assert 800 < height < 1600
    found = texts(svg)
    assert all(found.count(name) == 2 for name in names.classes)
    assert set(names.groups) <= set(found)
    assert "4" not in found  # no numbers where they do not fit
    rows = [e for e in root.iter(f"{SVG}text") if e.text in names.classes and e.get("text-anchor") == "end"]
    heights = sorted(float(e.get("y", 0)) for e in rows)
    assert min(np.diff(heights)) > max(float(e.get("font-size", 0)) for e in rows)
