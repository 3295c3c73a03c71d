"""A confusion matrix as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from mmn_edge.model.labels import Labels
from mmn_edge.reports.svg import CHARACTER, COLOURS, GREY, INK, picture, tint

__all__ = ["confusion"]

Indices = npt.NDArray[np.int64]

RIGHT, WRONG = COLOURS[:2]
SLANT = 60


def confusion(matrix: Indices, labels: Labels, *, title: str) -> str:
    """Draw a confusion matrix, each row normalised: blue on the diagonal, vermilion off it.

    Classes come by body-level group where there are groups. Those that have neither clips nor predictions are left out.

    Args:
        matrix: ``(K, K)`` clips, rows true, columns predicted.
        labels: The K classes.
        title: Stands above.
    """
    shown = [index for index in range(len(labels)) if matrix[index].any() or matrix[:, index].any()]
    if labels.groups:
        shown.sort(key=lambda index: (labels.class_groups[index], index))
    count = len(shown)
    cell = 44 if count <= 10 else 34 if count <= 20 else 22 if count <= 36 else 17
    font = 13 if count <= 20 else 12
    names = [labels.classes[index] for index in shown]
    label_width = max(map(len, names)) * font * CHARACTER + 12
    top = 64 + label_width * math.sin(math.radians(SLANT)) + 8
    left, size = label_width + 28, count * cell
    groups = _runs([labels.class_groups[index] for index in shown]) if labels.groups else []
    group_width = max((len(labels.groups[g]) for g, _, _ in groups), default=0) * font * CHARACTER
    overhang = label_width * math.cos(math.radians(SLANT))
    width = max(left + size + max(60 + group_width, overhang), len(title) * 16 * CHARACTER + 32, 380)
    parts = [
        f'<text x="16" y="54" font-size="12" fill="{GREY}">row: true class, column: predicted class; per cent of the '
        "row</text>",
    ]
    for row, (index, name) in enumerate(zip(shown, names, strict=True)):
        y, support = top + row * cell, int(matrix[index].sum())
        parts.append(
            f'<text x="{left - 8:.1f}" y="{y + cell / 2 + font * 0.36:.1f}" text-anchor="end" font-size="{font}">'
            f"{escape(name)}</text>"
        )
        x = left + (row + 0.5) * cell
        parts.append(
            f'<text x="{x + 3:.1f}" y="{top - 8:.1f}" font-size="{font - 1}" transform="rotate(-{SLANT} {x + 3:.1f} '
            f'{top - 8:.1f})">{escape(name)}</text>'
        )
        parts.append(
            f'<text x="{left + size + 8:.1f}" y="{y + cell / 2 + font * 0.36:.1f}" font-size="{font - 1}" '
            f'fill="{GREY}">{support}</text>'
        )
        parts.append(f'<rect x="{left:.1f}" y="{y:.1f}" width="{size}" height="{cell}" fill="#f7f7f7"/>')
        for column, other in enumerate(shown):
            number = int(matrix[index, other])
            if number:
                hint = f"{name} taken for {names[column]}: {number} of {support}"
                parts += _cell(left + column * cell, y, cell, number / support, index == other, hint)
    parts.append(
        f'<text x="{left + size + 8:.1f}" y="{top + size + 16:.1f}" font-size="{font - 1}" fill="{GREY}">clips</text>'
    )
    parts += _grid(left, top, cell, count, groups)
    for group, first, last in groups:
        y1, y2 = top + first * cell + 2, top + (last + 1) * cell - 2
        x = left + size + 44
        parts.append(f'<line x1="{x:.1f}" y1="{y1:.1f}" x2="{x:.1f}" y2="{y2:.1f}" stroke="{GREY}" stroke-width="2"/>')
        parts.append(
            f'<text x="{x + 8:.1f}" y="{(y1 + y2) / 2 + font * 0.36:.1f}" font-size="{font}" fill="{INK}">'
            f"{escape(labels.groups[group])}</text>"
        )
    parts += _scale(left, top + size + 34, "right", RIGHT) + _scale(left + 170, top + size + 34, "wrong", WRONG)
    return picture(width, top + size + 74, parts, title=title)


def _cell(x: float, y: float, cell: int, share: float, right: bool, hint: str) -> list[str]:
    """A coloured cell with a tooltip, and its percentage where there is room."""
    colour = tint(share, RIGHT if right else WRONG)
    parts = [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell}" height="{cell}" fill="{colour}"><title>{escape(hint)}</title>'
        "</rect>"
    ]
    if cell >= 30:
        ink, size = "#ffffff" if share > 0.45 else INK, 12 if cell >= 40 else 10.5
        parts.append(
            f'<text x="{x + cell / 2:.1f}" y="{y + cell / 2 + size * 0.36:.1f}" font-size="{size}" '
            f'text-anchor="middle" fill="{ink}" pointer-events="none">{max(round(100 * share), 1)}</text>'
        )
    return parts


def _grid(left: float, top: float, cell: int, count: int, groups: Sequence[tuple[int, int, int]]) -> list[str]:
    """Thin lines between classes, dark ones between groups, a frame."""
    size = count * cell
    borders = {first for _, first, _ in groups}
    lines = []
    for number in range(count + 1):
        dark = number in borders or number in (0, count)
        style = f'stroke="{GREY if dark else "#e4e4e4"}" stroke-width="{1.2 if dark else 0.6}"'
        at = number * cell
        lines.append(f'<path d="M{left:.1f} {top + at:.1f}h{size}M{left + at:.1f} {top:.1f}v{size}" {style}/>')
    return sorted(lines, key=lambda line: GREY in line)  # the dark ones last, on top


def _scale(x: float, y: float, name: str, full: str) -> list[str]:
    """A colour scale with its caption."""
    steps, width = 20, 5
    parts = []
    for step in range(steps):
        colour = tint((step + 0.5) / steps, full)
        parts.append(f'<rect x="{x + step * width:.1f}" y="{y:.1f}" width="5.5" height="10" fill="{colour}"/>')
    parts.append(f'<text x="{x:.1f}" y="{y + 24:.1f}" font-size="11" fill="{GREY}">{name}: 0 to 100 %</text>')
    return parts


def _runs(values: Sequence[int]) -> list[tuple[int, int, int]]:
    """Value, first and last index of every run of equal values."""
    runs: list[tuple[int, int, int]] = []
    for index, value in enumerate(values):
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1], index)
        else:
            runs.append((value, index, index))
    return runs
