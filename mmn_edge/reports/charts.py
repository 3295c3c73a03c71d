"""Charts of an evaluation as SVG: the confusion matrix and the reliability diagram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from mmn_edge.evaluation.metrics import Indices, ReliabilityBins
from mmn_edge.model.labels import Labels

__all__ = ["confusion", "head", "reliability"]

RIGHT, WRONG, UNSURE = (0, 114, 178), (213, 94, 0), (0, 158, 115)
"""Blue, vermilion and green of Okabe and Ito (2008), distinct for the colour-blind."""

INK, GREY, LINE = "#222222", "#666666", "#d9d9d9"
SLANT = 60
CHARACTER = 0.56
"""Mean width of a sans-serif character in units of the font size."""


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
        head(width, top + size + 74, title),
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
    return "\n".join([*parts, "</svg>"]) + "\n"


def _cell(x: float, y: float, cell: int, share: float, right: bool, hint: str) -> list[str]:
    """A coloured cell with a tooltip, and its percentage where there is room."""
    colour = _colour(share, RIGHT if right else WRONG)
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


def _colour(share: float, full: tuple[int, int, int]) -> str:
    """From nearly white to the full colour, faster at first, so that small shares show."""
    strength = 0.05 + 0.95 * share**0.7
    return "#" + "".join(f"{round(255 + (value - 255) * strength):02x}" for value in full)


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


def _scale(x: float, y: float, name: str, full: tuple[int, int, int]) -> list[str]:
    """A colour scale with its caption."""
    steps, width = 20, 5
    parts = []
    for step in range(steps):
        colour = _colour((step + 0.5) / steps, full)
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


def reliability(panels: Sequence[tuple[str, ReliabilityBins]]) -> str:
    """Draw reliability diagrams side by side (DeGroot and Fienberg 1983; Guo et al. 2017).

    A bar is the accuracy of the clips in a bin of confidence; a calibrated model's bars end on the diagonal. What is
    missing to the mean confidence is vermilion, what is beyond it green. Below is how many clips each bin holds.

    Args:
        panels: For each diagram its title and its bins.
    """
    side, under, gap, left, top = 300, 60, 90, 64, 62
    width = left + len(panels) * (side + gap) - gap + 24
    parts = [head(width, top + side + under + 102, None)]
    for number, (title, bins) in enumerate(panels):
        parts += _panel(title, bins, left + number * (side + gap), top, side, under)
    x, y = left, top + side + under + 86
    for colour, words in (
        (_colour(0.8, RIGHT), "right"),
        (_colour(0.45, WRONG), "too sure"),
        (_colour(0.45, UNSURE), "not sure enough"),
    ):
        parts.append(f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17:.1f}" y="{y:.1f}" font-size="12">{words}</text>')
        x += 17 + len(words) * 7 + 22
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title: str, bins: ReliabilityBins, left: float, top: float, side: int, under: int) -> list[str]:
    bottom, foot = top + side, top + side + 20 + under
    ece, total = bins.expected_calibration_error, int(bins.count.sum())
    parts = [
        f'<text x="{left:.1f}" y="26" font-size="14" font-weight="bold">{escape(_shorten(title, 44))}</text>',
        f'<text x="{left:.1f}" y="46" font-size="12" fill="{GREY}">ECE {100 * ece:.1f} %, {total} clips</text>',
    ]
    for tick in range(0, 101, 20):
        x, y = left + tick / 100 * side, bottom - tick / 100 * side
        parts.append(f'<path d="M{left:.1f} {y:.1f}h{side}M{x:.1f} {top}v{side}" stroke="#eeeeee"/>')
        parts.append(
            f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" font-size="11" text-anchor="end" fill="{GREY}">{tick}</text>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{foot + 16:.1f}" font-size="11" text-anchor="middle" fill="{GREY}">{tick}</text>'
        )
    most = max(int(bins.count.max()), 1)
    for low, high, count, confidence, accuracy in zip(
        bins.edges[:-1], bins.edges[1:], bins.count, bins.confidence, bins.accuracy, strict=True
    ):
        if not count:
            continue
        x, w = left + low * side + 1, (high - low) * side - 2
        lower, upper = sorted((float(confidence), float(accuracy)))
        gap = _colour(0.45, WRONG if confidence > accuracy else UNSURE)
        hint = f"confidence {100 * confidence:.0f} %, accuracy {100 * accuracy:.0f} %, {count} clips"
        for start, end, colour in ((0.0, lower, _colour(0.8, RIGHT)), (lower, upper, gap)):
            parts.append(
                f'<rect x="{x:.1f}" y="{bottom - end * side:.1f}" width="{w:.1f}" height="{(end - start) * side:.1f}" '
                f'fill="{colour}"><title>{hint}</title></rect>'
            )
        h = max(count / most * under, 1)
        parts.append(
            f'<rect x="{x:.1f}" y="{foot - h:.1f}" width="{w:.1f}" height="{h:.1f}" fill="#9a9a9a"><title>{count} clips'
            "</title></rect>"
        )
    middle = left + side / 2
    parts += [
        f'<path d="M{left:.1f} {bottom}L{left + side:.1f} {top}" stroke="{INK}" stroke-dasharray="5 4"/>',
        f'<rect x="{left:.1f}" y="{top}" width="{side}" height="{side}" fill="none" stroke="{GREY}"/>',
        f'<path d="M{left:.1f} {foot}h{side}" stroke="{GREY}"/>',
        f'<text x="{left - 6:.1f}" y="{foot - under + 8:.1f}" font-size="11" text-anchor="end" fill="{GREY}">{most}'
        "</text>",
        f'<text x="{left - 6:.1f}" y="{foot:.1f}" font-size="11" text-anchor="end" fill="{GREY}">clips</text>',
        f'<text x="{middle:.1f}" y="{foot + 36:.1f}" font-size="12" text-anchor="middle">confidence, %</text>',
        f'<text x="{left - 38:.1f}" y="{top + side / 2:.1f}" font-size="12" text-anchor="middle" '
        f'transform="rotate(-90 {left - 38:.1f} {top + side / 2:.1f})">accuracy, %</text>',
    ]
    return parts


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else "…" + text[-length + 1 :]


def head(width: float, height: float, title: str | None) -> str:
    """The beginning of a picture on white: its size in pixels, and what stands above it."""
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" fill="{INK}">\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    if title is not None:
        text += f'\n<text x="16" y="32" font-size="16" font-weight="bold">{escape(title)}</text>'
    return text
