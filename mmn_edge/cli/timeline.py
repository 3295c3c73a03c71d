"""A picture of what was recognised against what was scripted, as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from mmn_edge.cli.demo import Match
    from mmn_edge.datasets.synthetic.clips import Segment

__all__ = ["svg"]

SCALE = 16  # pixels a second
LEFT = 110
ROW = 90
BAR = 22
HIT, MISS, FALSE_ALARM = "#009e73", "#999999", "#d55e00"


def svg(match: Match, seconds: float) -> str:
    """Draw a session of ``seconds``: the script above, what was recognised below, hits joined by a line."""
    width, height = LEFT + seconds * SCALE + 60, 2 * ROW + 150
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" font-family="sans-serif" '
        'font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="{_top(0) + 15}" font-size="13">script</text>',
        f'<text x="8" y="{_top(1) + 15}" font-size="13">recognised</text>',
    ]
    for second in range(0, int(seconds) + 1, 10):
        x = LEFT + second * SCALE
        parts.append(f'<line x1="{x}" y1="{_top(0)}" x2="{x}" y2="{height - 30}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{x}" y="{height - 14}" text-anchor="middle" fill="#555">{second} s</text>')
    for truth, found in match.rows:
        if truth and found:
            ends = [(LEFT + (s.start + s.end) / 2 * SCALE) for s in (truth, found)]
            parts.append(
                f'<line x1="{ends[0]:.1f}" y1="{_top(0) + BAR}" x2="{ends[1]:.1f}" y2="{_top(1)}" stroke="{HIT}"/>'
            )
        if truth:
            parts += _bar(truth, 0, HIT if found else MISS)
        if found:
            parts += _bar(found, 1, HIT if truth else FALSE_ALARM)
    legend = f"green: recognised, grey: missed, orange: false alarm. Precision {match.precision:.0%}, recall "
    parts.append(f'<text x="{LEFT}" y="20" fill="#555">{legend}{match.recall:.0%}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _top(row: int) -> int:
    return 110 + row * ROW


def _bar(segment: Segment, row: int, colour: str) -> list[str]:
    x, length = LEFT + segment.start * SCALE, max((segment.end - segment.start) * SCALE, 3)
    y = _top(row)
    # Labels are slanted, above the script's bars and below the recognised ones, so that neighbours do not overlap.
    label_y, turn = (y - 5, -24) if row == 0 else (y + BAR + 13, 24)
    return [
        f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{colour}" fill-opacity="0.8"/>',
        f'<text x="{x:.1f}" y="{label_y}" transform="rotate({turn} {x:.1f} {label_y})">{escape(segment.label)}</text>',
    ]
