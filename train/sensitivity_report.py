"""The sensitivity of layers to int8 as a page with a bar chart."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from mmn_edge.reports.page import Page, Paragraph, Picture, Table
from mmn_edge.reports.svg import COLOURS, GREY, picture
from mmn_edge.train.sensitivity import Choice, Effect, Sensitivity

__all__ = ["PICTURE", "page", "rows", "svg"]

PICTURE = "sensitivity.svg"

Row = tuple[str, int, float, float, float]
"""Name, layers, points of top-1 lost, agreement with floating point, logit error."""

BAR, GAP, LEFT, LENGTH, TOP = 16, 6, 230, 420, 84
GROUP, LAYER, KEPT = COLOURS[0], COLOURS[5], COLOURS[1]


def rows(sensitivity: Sensitivity, effects: tuple[Effect, ...]) -> list[Row]:
    """Effects as numbers for a reader."""
    return [
        (
            effect.name,
            len(effect.sites),
            100 * (sensitivity.accuracy - effect.accuracy),
            effect.agreement,
            effect.error,
        )
        for effect in effects
    ]


def page(sensitivity: Sensitivity, choice: Choice | None, *, title: str) -> Page:
    """The whole report, its picture as ``sensitivity.svg``."""
    built = Page(title)
    built.add(
        Paragraph(
            f"{sensitivity.clips} clips, top-1 in floating point {sensitivity.accuracy:.2%}. Each line: int8 for these "
            "layers alone. The logit error is the root mean square of the logits' change, as a part of their standard "
            "deviation."
        ),
        Picture(svg(sensitivity, choice, title=title), PICTURE, "logit error of each group of layers"),
        _table(rows(sensitivity, (sensitivity.everything, *sensitivity.groups))),
    )
    if sensitivity.layers:
        built.section("Single layers of the worst groups", _table(rows(sensitivity, sensitivity.layers)))
    if choice is not None:
        built.section(
            "Mixed precision",
            Paragraph("The worst layers are kept in floating point, one entry after another, until the budget is met."),
            _table(rows(sensitivity, choice.steps)),
            Paragraph(
                f"Kept: {', '.join(choice.kept) or 'none'}." + ("" if choice.met else " The budget was not met.")
            ),
        )
    return built


def svg(sensitivity: Sensitivity, choice: Choice | None, *, title: str) -> str:
    """Bars of the logit error of every group, and of the single layers measured, on a logarithmic scale."""
    kept = set(choice.kept) if choice is not None else set()
    bars = [(effect, GROUP) for effect in sensitivity.groups] + [(effect, LAYER) for effect in sensitivity.layers]
    errors = [effect.error for effect, _ in bars if effect.error > 0] or [1.0]
    low, high = _decades(min(errors), max(errors))
    height = TOP + len(bars) * (BAR + GAP) + 50
    width = LEFT + LENGTH + 190
    foot = height - 40
    parts = [
        f'<text x="16" y="50" fill="{GREY}">logit error when these layers alone are int8 '
        f"({sensitivity.clips} clips, top-1 {sensitivity.accuracy:.1%})</text>",
    ]
    for index, (colour, text) in enumerate(((GROUP, "group"), (LAYER, "single layer"), (KEPT, "kept in float"))):
        if colour != KEPT or choice is not None:
            x = 12 + 110 * index
            parts.append(f'<rect x="{x}" y="54" width="12" height="12" fill="{colour}"/>')
            parts.append(f'<text x="{x + 17}" y="64">{text}</text>')
    for decade in range(low, high + 1):
        tick = LEFT + LENGTH * (decade - low) / (high - low)
        parts.append(f'<line x1="{tick:g}" y1="{TOP - 4}" x2="{tick:g}" y2="{foot}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{tick:g}" y="{foot + 16}" text-anchor="middle" fill="{GREY}">{100 * 10.0**decade:g} %</text>'
        )
    for index, (effect, colour) in enumerate(bars):
        y = TOP + index * (BAR + GAP)
        length = LENGTH * _share(effect.error, low, high)
        change = _points(100 * (sensitivity.accuracy - effect.accuracy))
        fill = KEPT if kept.issuperset(effect.sites) else colour
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(effect.name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{max(length, 1):.1f}" height="{BAR}" fill="{fill}"/>',
            f'<text x="{LEFT + LENGTH + 10}" y="{y + 12}" fill="#333">{effect.error:.2%}, {change} points</text>',
        ]
    return picture(width, height, parts, title=title, font_size=11)


def _decades(least: float, largest: float) -> tuple[int, int]:
    """Exponents of the axis' ends."""
    low = math.floor(math.log10(least))
    return low, max(math.ceil(math.log10(largest)), low + 1)


def _share(error: float, low: int, high: int) -> float:
    """Where an error lies on the axis, 0 to 1."""
    return (math.log10(error) - low) / (high - low) if error > 0 else 0.0


def _points(lost: float) -> str:
    return f"{-lost:+.1f}" if abs(lost) >= 0.05 else "0.0"


def _table(entries: list[Row]) -> Table:
    return Table(
        ["int8", "layers", "top-1", "agreement", "logit error"],
        [
            [name, str(count), _points(lost), f"{agreement:.1%}", f"{error:.2%}"]
            for name, count, lost, agreement, error in entries
        ],
    )
