"""Drawings of a skeleton layout: in the terminal, and as SVG.

The person faces the viewer, so that the person's left is on the right of the picture.
"""

from __future__ import annotations

import re
import textwrap
from html import escape

from mmn_edge.reports.svg import COLOURS, picture
from mmn_edge.skeleton.layouts import Layout

__all__ = ["svg", "text"]

_SIZE = 1000.0
_CROWDED = 60

_NUMBERED = re.compile(r"(\w+_)(\d+)")

# Braille dots of a character cell, 2 wide and 4 high (Unicode block 2800).
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def text(layout: Layout, *, width: int = 76) -> str:
    """Draw a layout with characters: bones in braille dots, joints as their indices, then a legend by part.

    A label that would cover another one is left out, and so are those of numbered points such as face_12.

    Args:
        layout: What to draw.
        width: Columns of the drawing, at least 20; it is half as many rows high.
    """
    height = width // 2
    columns, rows = 2 * width - 1, 4 * height - 1
    dots = [(round(x * columns), round(y * rows)) for x, y in layout.pose]
    cells: dict[tuple[int, int], int] = {}
    for start, end in layout.bones:
        for x, y in _line(dots[start], dots[end]):
            cells[y // 4, x // 2] = cells.get((y // 4, x // 2), 0) | _DOTS[y % 4][x % 2]
    grid = [[chr(0x2800 + cells[r, c]) if (r, c) in cells else " " for c in range(width)] for r in range(height)]

    taken: set[tuple[int, int]] = set()
    for joint, (x, y) in enumerate(dots):
        if _NUMBERED.fullmatch(layout.joints[joint]):
            continue
        label = str(joint)
        row, left = y // 4, min(max(x // 2 - len(label) // 2, 0), width - len(label))
        # One blank on either side, or neighbouring numbers would read as one.
        if not taken & {(row, c) for c in range(left - 1, left + len(label) + 1)}:
            grid[row][left : left + len(label)] = label
            taken |= {(row, c) for c in range(left, left + len(label))}
    drawn = [line.rstrip() for line in map("".join, grid)]
    return "\n".join([*_trim(drawn), "", *_legend(layout, width)])


def svg(layout: Layout) -> str:
    """Draw a layout as an SVG document: joints coloured by part, labelled as in text, names as tooltips."""
    colour = {
        joint: COLOURS[number % len(COLOURS)] for number, joints in enumerate(layout.parts.values()) for joint in joints
    }
    crowded = layout.num_joints > _CROWDED
    radius, font = (5.0, 9) if crowded else (11.0, 13)
    places = [(x * _SIZE, y * _SIZE) for x, y in layout.pose]
    foot = _SIZE + 30 * (len(layout.parts) + 1)
    lines = [
        f"<title>{escape(layout.name)}: {escape(layout.title)}</title>",
        f'<g stroke="#9a9a9a" stroke-width="{1 if crowded else 3}">',
    ]
    for start, end in layout.bones:
        (x1, y1), (x2, y2) = places[start], places[end]
        lines.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    lines += ["</g>", f'<g font-size="{font}" text-anchor="middle">']
    for joint, (x, y) in enumerate(places):
        name = f"<title>{joint} {escape(layout.joints[joint])}</title>"
        numbered = _NUMBERED.fullmatch(layout.joints[joint])
        r = 2.0 if numbered else radius
        lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:g}" fill="{colour[joint]}">{name}</circle>')
        if numbered:
            continue
        # Small dots have their label above them, large ones inside.
        below, ink = (-radius - 1, "#333333") if crowded else (font * 0.36, "#ffffff")
        lines.append(f'<text x="{x:.1f}" y="{y + below:.1f}" fill="{ink}" pointer-events="none">{joint}</text>')
    lines += ["</g>", '<g font-size="20">']
    for number, (part, joints) in enumerate(layout.parts.items()):
        y = _SIZE + 30 * (number + 1)
        lines.append(f'<circle cx="40" cy="{y - 7:g}" r="8" fill="{COLOURS[number % len(COLOURS)]}"/>')
        lines.append(f'<text x="60" y="{y:g}">{escape(part)} ({len(joints)})</text>')
    return picture(_SIZE, foot, [*lines, "</g>"], font_size=font)


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    (x1, y1), (x2, y2) = start, end
    steps = max(abs(x2 - x1), abs(y2 - y1), 1)
    return [(round(x1 + (x2 - x1) * i / steps), round(y1 + (y2 - y1) * i / steps)) for i in range(steps + 1)]


def _trim(lines: list[str]) -> list[str]:
    full = [number for number, line in enumerate(lines) if line]
    return lines[full[0] : full[-1] + 1]


def _legend(layout: Layout, width: int) -> list[str]:
    lines: list[str] = []
    for part, joints in layout.parts.items():
        # Hard spaces keep an index and its name on one line.
        entries = ", ".join(_runs(layout, joints)).replace(" ", "\xa0").replace(",\xa0", ", ")
        wrapped = textwrap.wrap(f"{part}: {entries}", width, subsequent_indent="  ", break_on_hyphens=False)
        lines += [line.replace("\xa0", " ") for line in wrapped]
    return lines


def _runs(layout: Layout, joints: tuple[int, ...]) -> list[str]:
    """``7 left_elbow`` for every joint; numbered neighbours such as face_0 .. face_67 become one entry."""
    runs: list[list[int]] = []
    for joint in joints:
        if runs and _follows(layout, runs[-1][-1], joint):
            runs[-1].append(joint)
        else:
            runs.append([joint])
    entries = []
    for run in runs:
        first, last = run[0], run[-1]
        if first == last:
            entries.append(f"{first} {layout.joints[first]}")
        else:
            entries.append(f"{first}-{last} {layout.joints[first]}..{layout.joints[last]}")
    return entries


def _follows(layout: Layout, one: int, other: int) -> bool:
    before = _NUMBERED.fullmatch(layout.joints[one])
    after = _NUMBERED.fullmatch(layout.joints[other])
    if before is None or after is None or other != one + 1:
        return False
    return before[1] == after[1] and int(after[2]) == int(before[2]) + 1
