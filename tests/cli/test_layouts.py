from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from mmn_edge.cli.layouts import layouts
from mmn_edge.errors import LayoutError, UsageError
from mmn_edge.reports import layout_drawing as drawing
from mmn_edge.skeleton import layouts as registry


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(layouts, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_bare_command_lists_layouts_and_their_mappings() -> None:
    lines = output_of().splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(registry.names())
    (holistic,) = [line for line in lines if line.startswith("mediapipe-holistic")]
    assert holistic.split()[:6] == ["mediapipe-holistic", "543", "2-D", "imigue", "jhmdb", "ma52"]


def test_show_prints_drawing_bones_pairs_and_centre() -> None:
    layout = registry.get("ma52")
    output = output_of("show", "ma52")
    assert drawing.text(layout) in output
    assert "bones (start-end): 7-9 9-32 32-33" in output
    assert "left-right pairs: 1/2 3/4" in output
    assert "centre: 19 hip" in output
    assert layout.note in output


def test_show_writes_the_svg(tmp_path: Path) -> None:
    target = tmp_path / "imigue.svg"
    assert f"wrote {target}" in output_of("show", "imigue", "--svg", str(target))
    assert target.read_text(encoding="utf-8") == drawing.svg(registry.get("imigue"))


def test_show_says_where_it_cannot_write(tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "imigue.svg"
    with pytest.raises(UsageError, match=r"cannot write .*imigue\.svg \(No such file or directory\)"):
        output_of("show", "imigue", "--svg", str(target))


def test_show_unknown_layout() -> None:
    with pytest.raises(LayoutError, match="unknown skeleton layout 'ma25'"):
        output_of("show", "ma25")


def test_map_prints_every_joint_with_its_status() -> None:
    lines = output_of("map", "mediapipe-holistic", "ma52").splitlines()
    assert [line.split()[0] for line in lines[1:45]] == [str(joint) for joint in range(44)]
    (thumb,) = [line for line in lines if " left_thumb_tip " in line]
    assert thumb.split(maxsplit=3)[2:] == ["exact", "left_thumb_tip[37], else left_thumb[21]"]
    assert "39 exact, 5 derived, 0 missing" in lines


@pytest.mark.parametrize("arguments", [(), ("show",), ("map",)])
def test_help_has_examples(arguments: tuple[str, ...]) -> None:
    output = output_of(*arguments, "--help")
    assert "Examples:\n" in output
    assert "\n    mmn-edge layouts" in output
