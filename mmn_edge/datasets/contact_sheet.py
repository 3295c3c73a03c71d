"""A picture of a data set: for every class the skeleton of one clip at a few moments, as SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.facts import ClipFacts
from mmn_edge.reports.svg import COLOURS, picture
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.layouts import Layout

__all__ = ["Strip", "contact_sheet", "pages", "representative", "upside_down"]

MOMENTS = 6

_CELL, _ROW, _LABEL, _GAP, _HEAD = 104, 138, 168, 28, 44
_TALL = 20  # rows from which on there are two columns
_PAGE = 60  # classes on a sheet
_STROKES = ((25, 1.4, 2.6), (60, 1.0, 1.8), (10_000, 0.6, 1.0))  # joints at most, width of bones, size of joints


@dataclass(frozen=True)
class Strip:
    """One row of the sheet.

    Attributes:
        title: The class.
        note: A few words under it.
        keypoints: ``(T, V, C)`` of the clip to draw.
    """

    title: str
    note: str
    keypoints: FloatArray


def representative(facts: Sequence[ClipFacts]) -> ClipFacts | None:
    """The clip of some to draw: among the half with the fewest joints missing that of middling motion.

    The choice depends on the clips alone, not on their order. None where there are none.
    """
    if not facts:
        return None
    shares = [float(fact.missing.mean()) / fact.shape[0] for fact in facts]
    clear = [fact for fact, share in zip(facts, shares, strict=True) if share <= np.median(shares)]
    usual = float(np.median([fact.motion for fact in clear]))
    return min(clear, key=lambda fact: (abs(fact.motion - usual), fact.entry.name))


def pages(strips: Sequence[Strip]) -> list[Sequence[Strip]]:
    """The strips of each sheet: as many on each, at most 60."""
    count = max(-(-len(strips) // _PAGE), 1)
    size = max(-(-len(strips) // count), 1)
    return [strips[start : start + size] for start in range(0, len(strips), size)]


def contact_sheet(strips: Sequence[Strip], layout: Layout | None, title: str) -> str:
    """Draw a sheet: a row a class, with its skeleton at up to 6 moments, the number of the frame below.

    Coordinates x and y are drawn, a third is left out. All moments of a clip have the same scale and the same height;
    sideways each is in the middle of its place, or who walks would be drawn small. Which way y points is found out, see
    :func:`upside_down`.

    Args:
        strips: The rows.
        layout: The bones and body parts; None draws points.
        title: A line at the top.
    """
    columns = 2 if len(strips) > _TALL else 1
    rows = -(-len(strips) // columns)
    column = _LABEL + MOMENTS * _CELL
    width, height = columns * column + (columns + 1) * _GAP, _HEAD + rows * _ROW + 16
    flip = upside_down([strip.keypoints for strip in strips], layout)
    parts: list[str] = []
    for number, strip in enumerate(strips):
        x = _GAP + number // rows * (column + _GAP)
        y = _HEAD + number % rows * _ROW
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + column}" y2="{y}" stroke="#e5e5e5"/>')
        parts += _label(strip, x, y)
        parts += _strip(strip.keypoints, layout, flip, x + _LABEL, y)
    return picture(width, height, parts, title=title)


def upside_down(clips: Sequence[FloatArray], layout: Layout | None) -> bool:
    """Whether y grows upwards in these clips: their joints' heights against those of the layout's drawing.

    Where there is no layout, 3-D is taken to grow upwards and 2-D downwards.
    """
    if layout is None:
        return any(clip.shape[2] == 3 for clip in clips)
    drawn = np.array([y for _, y in layout.pose])
    agreement = 0.0
    for clip in clips:
        seen = ~np.isnan(clip).any(axis=-1)
        seen_at_all = seen.any(axis=0)
        heights = np.where(seen, clip[..., 1], 0).sum(axis=0)[seen_at_all] / seen.sum(axis=0)[seen_at_all]
        size = float(np.ptp(heights)) or 1.0
        there = drawn[seen_at_all]
        agreement += float(((heights - heights.mean()) / size * (there - there.mean())).sum())
    return agreement < 0


def _label(strip: Strip, x: int, y: int) -> list[str]:
    lines = _wrapped(strip.title, 21)
    parts = [
        f'<text x="{x}" y="{y + 24 + 16 * line}" font-size="13" font-weight="bold" fill="#222222">{escape(text)}</text>'
        for line, text in enumerate(lines)
    ]
    below = y + 26 + 16 * len(lines)
    return parts + [
        f'<text x="{x}" y="{below + 13 * line}" font-size="10" fill="#666666">{escape(text)}</text>'
        for line, text in enumerate(_wrapped(strip.note, 27))
    ]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, max_lines=3, placeholder="…")


def _strip(clip: FloatArray, layout: Layout | None, flip: bool, x: int, y: int) -> list[str]:
    frames = np.unique(np.linspace(0, len(clip) - 1, MOMENTS).round().astype(int))
    points = clip[frames, :, :2].astype(np.float64)
    if flip:
        points[..., 1] *= -1
    seen = [moment[~np.isnan(moment).any(axis=-1)] for moment in points]
    if not any(map(len, seen)):  # none of these frames shows anybody
        return []
    heights = np.concatenate(seen)[:, 1]
    size = max(float(np.ptp(moment[:, 0])) for moment in seen if len(moment)), float(np.ptp(heights))
    room = np.array([_CELL - 12, _ROW - 28])
    scale = float((room / np.maximum(size, 1e-9)).min())
    level = (heights.min() + heights.max()) / 2
    parts = []
    for number, frame in enumerate(frames):
        centre = x + (number + 0.5) * _CELL
        if len(seen[number]):
            sides = seen[number][:, 0]
            middle = np.array([(sides.min() + sides.max()) / 2, level])
            parts += _skeleton((points[number] - middle) * scale + [centre, y + 8 + room[1] / 2], layout)
        text = f"frame {frame}" if number == 0 else str(frame)
        parts.append(
            f'<text x="{centre:g}" y="{y + _ROW - 6}" font-size="9" text-anchor="middle" fill="#888888">{text}</text>'
        )
    return parts


def _skeleton(places: npt.NDArray[np.float64], layout: Layout | None) -> list[str]:
    """Bones and joints as one path a body part, so that a sheet of many skeletons stays small."""
    seen = ~np.isnan(places).any(axis=1)
    groups = list(layout.parts.values()) if layout else [tuple(range(len(places)))]
    _, thin, thick = next(stroke for stroke in _STROKES if len(places) <= stroke[0])
    parts = []
    for number, joints in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        inside = set(joints)
        bones = [(a, b) for a, b in layout.bones if a in inside and seen[a] and seen[b]] if layout else []
        if bones:
            path = "".join(f"M{_at(places[a])}L{_at(places[b])}" for a, b in bones)
            parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{thin}"/>')
        # A line of nearly no length with round ends is a dot.
        dots = "".join(f"M{_at(places[joint])}h.01" for joint in joints if seen[joint])
        if dots:
            parts.append(
                f'<path d="{dots}" fill="none" stroke="{colour}" stroke-width="{thick}" stroke-linecap="round"/>'
            )
    return parts


def _at(place: npt.NDArray[np.float64]) -> str:
    return f"{place[0]:.1f} {place[1]:.1f}"
