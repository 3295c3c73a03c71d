from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from mmn_edge.reports import layout_drawing as drawing
from mmn_edge.skeleton import layouts

SVG = "{http://www.w3.org/2000/svg}"


def picture_and_legend(name: str, width: int = 76) -> tuple[list[str], str]:
    picture, legend = drawing.text(layouts.get(name), width=width).split("\n\n")
    return picture.splitlines(), legend


@pytest.mark.parametrize("name", ["ma52", "imigue", "jhmdb", "nw-ucla"])
def test_text_labels_every_joint_of_a_small_layout_once(name: str) -> None:
    picture, _ = picture_and_legend(name)
    labels = sorted(int(label) for label in re.findall(r"\d+", " ".join(picture)))
    assert labels == list(range(layouts.get(name).num_joints))


@pytest.mark.parametrize("name", layouts.names())
def test_text_keeps_to_its_width_and_names_every_joint(name: str) -> None:
    picture, legend = picture_and_legend(name, width=60)
    assert max(map(len, picture)) <= 60
    assert len(picture) <= 30
    assert max(map(len, legend.splitlines())) <= 60
    named = 0
    for first, last in re.findall(r"(\d+)(?:-(\d+))? [a-z]", legend):
        named += int(last or first) - int(first) + 1
    assert named == layouts.get(name).num_joints


def test_text_puts_the_persons_left_on_the_right() -> None:
    picture, _ = picture_and_legend("jhmdb")
    (shoulders,) = [line for line in picture if "3" in line and "4" in line and "0" in line]
    assert shoulders.index("3") < shoulders.index("0") < shoulders.index("4")


def test_legend_of_ma52_has_the_parts_in_order_and_joints_by_index() -> None:
    _, legend = picture_and_legend("ma52")
    assert re.findall(r"^(\w+):", legend, re.MULTILINE) == list(layouts.get("ma52").parts)
    assert "right_hand: 7 left_elbow, 9 left_wrist" in legend


@pytest.mark.parametrize("name", layouts.names())
def test_svg_has_every_joint_and_bone_in_place(name: str) -> None:
    layout = layouts.get(name)
    root = ElementTree.fromstring(drawing.svg(layout))
    joints = [circle for circle in root.iter(f"{SVG}circle") if circle.find(f"{SVG}title") is not None]
    assert [circle.findtext(f"{SVG}title") for circle in joints] == [
        f"{joint} {joint_name}" for joint, joint_name in enumerate(layout.joints)
    ]
    for circle, (x, y) in zip(joints, layout.pose, strict=True):
        assert (float(circle.attrib["cx"]), float(circle.attrib["cy"])) == pytest.approx((1000 * x, 1000 * y))
    lines = list(root.iter(f"{SVG}line"))
    assert len(lines) == len(layout.bones)
    start, end = layout.bones[0]
    ends = [float(lines[0].attrib[key]) for key in ("x1", "y1", "x2", "y2")]
    assert ends == pytest.approx([1000 * value for value in (*layout.pose[start], *layout.pose[end])])
    words = {element.text for element in root.iter(f"{SVG}text")}
    assert {f"{part} ({len(joints)})" for part, joints in layout.parts.items()} <= words


def test_svg_gives_one_part_one_colour() -> None:
    layout = layouts.get("ma52")
    root = ElementTree.fromstring(drawing.svg(layout))
    fills = [c.attrib["fill"] for c in root.iter(f"{SVG}circle") if c.find(f"{SVG}title") is not None]
    colours = [{fills[joint] for joint in part} for part in layout.parts.values()]
    assert all(len(colour) == 1 for colour in colours)
    assert len(set.union(*colours)) == len(layout.parts)
