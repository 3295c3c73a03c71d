"""What the project's pictures have in common: the document around them, their colours, the width of text.

Pictures are SVG on white and need nothing else: they open in a browser, and a page holds them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["CHARACTER", "COLOURS", "FAINT", "GREY", "INK", "LINE", "picture", "tint"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Blue, vermilion, green, purple, orange and sky blue of Okabe and Ito (2008), distinct for the colour-blind."""

INK, GREY, LINE, FAINT = "#222222", "#666666", "#d9d9d9", "#eeeeee"
"""Text, what is said beside it, axes, and grids."""

CHARACTER = 0.56
"""Mean width of a sans-serif character in units of the font size."""


def picture(
    width: float, height: float, parts: Sequence[str], *, title: str | None = None, font_size: float = 12
) -> str:
    """A whole SVG document.

    Args:
        width: In pixels.
        height: In pixels.
        parts: Elements, one after the other.
        title: Stands above, in bold, 16 px from the left with its foot at 32; None for a picture that has its own.
        font_size: Of text that says nothing of its size.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="{font_size:g}" fill="{INK}">\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    above = [f'<text x="16" y="32" font-size="16" font-weight="bold">{escape(title)}</text>'] if title else []
    return "\n".join([head, *above, *parts, "</svg>"]) + "\n"


def tint(share: float, colour: str) -> str:
    """From nearly white at a share of 0 to the full colour ``#rrggbb`` at 1, faster at first, so that little shows."""
    strength = 0.05 + 0.95 * share**0.7
    full = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (value - 255) * strength):02x}" for value in full)
