"""What happened when, as a picture: rows of bars over time, in strips one below the other where it is long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mmn_edge.reports.svg import CHARACTER, FAINT, GREY, INK, LINE, picture

__all__ = ["Bar", "Lane", "Row", "timeline"]

FONT = 10
BAR = 15
GAP = 3
ROW_GAP = 9
STRIP_GAP = 34
RIGHT = 24
TOP = 56
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
TICK_PIXELS = 70


@dataclass(frozen=True)
class Bar:
    """Something that went on for a while.

    Attributes:
        start: Seconds.
        end: Seconds.
        text: Stands in it where there is room.
        colour: ``#rrggbb``.
        hollow: Drawn as an outline.
        hint: Shown where one points at it.
    """

    start: float
    end: float
    text: str
    colour: str
    hollow: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Lane:
    """Bars of one kind, such as the truth; those that overlap are drawn below one another."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Row:
    """Lanes with one title, such as a body part."""

    title: str
    lanes: tuple[Lane, ...]


def timeline(
    rows: Sequence[Row],
    start: float,
    end: float,
    *,
    title: str,
    legend: Sequence[tuple[str, str, bool]] = (),
    width: int = 1000,
    strip: float | None = None,
) -> str:
    """Draw rows of bars as SVG.

    Args:
        rows: From top to bottom.
        start: Seconds at which the picture begins.
        end: Seconds at which it ends.
        title: Stands above.
        legend: Colour, words, and whether hollow.
        width: Pixels in all.
        strip: Seconds in a strip; all in one where None.
    """
    titles = max((len(row.title) for row in rows), default=0) * 12.3 * CHARACTER
    names = max((len(lane.name) for row in rows for lane in row.lanes), default=0) * FONT * CHARACTER
    left = 16 + titles + (12 + names if names else 0) + 10
    seconds = min(strip or end - start, end - start)
    count = max(math.ceil((end - start) / seconds - 1e-9), 1)
    scale = (width - left - RIGHT) / seconds
    parts = _legend(legend)
    y = float(TOP if legend else TOP - 14)
    for number in range(count):
        first = start + number * seconds
        last = min(first + seconds, end)
        foot = y + _height(rows, first, last)
        parts += _axis(first, last, left, scale, y, foot)
        y = _strip(parts, rows, first, last, left, names, scale, y) + STRIP_GAP
    return picture(width, y - STRIP_GAP + 30, parts, title=title, font_size=FONT)


def _stacked(bars: Sequence[Bar], first: float, last: float) -> list[list[Bar]]:
    """The bars that a strip shows, in layers without overlap; at least one layer."""
    layers: list[list[Bar]] = [[]]
    for bar in sorted(bars, key=lambda one: (one.start, -one.end)):
        if bar.start >= last or bar.end <= first:
            continue
        free = next((layer for layer in layers if not layer or layer[-1].end <= bar.start), None)
        if free is None:
            layers.append(free := [])
        free.append(bar)
    return layers


def _height(rows: Sequence[Row], first: float, last: float) -> float:
    layers = sum(len(_stacked(lane.bars, first, last)) for row in rows for lane in row.lanes)
    return layers * (BAR + GAP) + len(rows) * ROW_GAP


def _strip(
    parts: list[str],
    rows: Sequence[Row],
    first: float,
    last: float,
    left: float,
    names: float,
    scale: float,
    y: float,
) -> float:
    """Draw one strip; returns where it ends."""
    for row in rows:
        y += ROW_GAP / 2
        parts.append(
            f'<text x="16" y="{y + BAR * 0.75:.1f}" font-size="11.5" font-weight="bold">{escape(row.title)}</text>'
        )
        for lane in row.lanes:
            parts.append(
                f'<text x="{left - 10 - names:.1f}" y="{y + BAR * 0.72:.1f}" fill="{GREY}">{escape(lane.name)}</text>'
            )
            for layer in _stacked(lane.bars, first, last):
                for place, bar in enumerate(layer):
                    after = layer[place + 1].start if place + 1 < len(layer) else last
                    parts += _bar(bar, first, last, min(after, last), left, scale, y)
                y += BAR + GAP
        y += ROW_GAP / 2
        parts.append(f'<path d="M16 {y:.1f}H{left + (last - first) * scale:.1f}" stroke="{FAINT}"/>')
    return y


def _bar(bar: Bar, first: float, last: float, free: float, left: float, scale: float, y: float) -> list[str]:
    start, end = max(bar.start, first), min(bar.end, last)
    x, width = left + (start - first) * scale, max((end - start) * scale, 1.5)
    style = (
        f'fill="#ffffff" stroke="{bar.colour}" stroke-width="1.2" stroke-dasharray="3 2"'
        if bar.hollow
        else f'fill="{bar.colour}"'
    )
    parts = [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="2" {style}>'
        f"<title>{escape(bar.hint or bar.text)}</title></rect>"
    ]
    needed = len(bar.text) * FONT * CHARACTER + 6
    baseline = y + BAR * 0.72
    if needed <= width:
        ink = INK if bar.hollow or _light(bar.colour) else "#ffffff"
        parts.append(f'<text x="{x + 3:.1f}" y="{baseline:.1f}" fill="{ink}">{escape(bar.text)}</text>')
    elif needed <= (free - end) * scale:
        parts.append(f'<text x="{x + width + 3:.1f}" y="{baseline:.1f}" fill="{INK}">{escape(bar.text)}</text>')
    elif width > 4 * FONT * CHARACTER:
        text = bar.text[: int((width - 6) / (FONT * CHARACTER)) - 1] + "…"
        ink = INK if bar.hollow or _light(bar.colour) else "#ffffff"
        parts.append(f'<text x="{x + 3:.1f}" y="{baseline:.1f}" fill="{ink}">{escape(text)}</text>')
    return parts


def _light(colour: str) -> bool:
    """Whether black reads better on it than white."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue > 150


def _axis(first: float, last: float, left: float, scale: float, top: float, foot: float) -> list[str]:
    step = next((tick for tick in TICKS if tick * scale >= TICK_PIXELS), TICKS[-1])
    parts = []
    number = math.ceil(first / step - 1e-9)
    while number * step <= last + 1e-9:
        x = left + (number * step - first) * scale
        parts.append(f'<path d="M{x:.1f} {top:.1f}V{foot:.1f}" stroke="{LINE}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{foot + 14:.1f}" text-anchor="middle" fill="{GREY}">'
            f"{_clock(number * step, step)}</text>"
        )
        number += 1
    return parts


def _clock(seconds: float, step: float) -> str:
    """Seconds, or from a minute's step on minutes and seconds."""
    if seconds < 120 and step < 60:
        return f"{seconds:.1f} s" if step < 1 else f"{seconds:.0f} s"
    whole, hours = round(seconds), round(seconds) // 3600
    return (f"{hours}:" if hours else "") + f"{whole // 60 % 60:0{2 if hours else 1}d}:{whole % 60:02d}"


def _legend(entries: Sequence[tuple[str, str, bool]]) -> list[str]:
    parts, x = [], 16.0
    for colour, words, hollow in entries:
        style = f'fill="#ffffff" stroke="{colour}" stroke-dasharray="3 2"' if hollow else f'fill="{colour}"'
        parts.append(f'<rect x="{x:.1f}" y="40" width="11" height="11" rx="2" {style}/>')
        parts.append(f'<text x="{x + 16:.1f}" y="49" fill="{GREY}">{escape(words)}</text>')
        x += 16 + len(words) * FONT * CHARACTER + 22
    return parts
