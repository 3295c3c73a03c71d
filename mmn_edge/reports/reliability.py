"""Reliability diagrams as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmn_edge.reports.svg import COLOURS, FAINT, GREY, INK, picture, tint

__all__ = ["Bins", "reliability"]

RIGHT, WRONG, UNSURE = COLOURS[:3]

Array = npt.NDArray[np.float64]


class Bins(Protocol):
    """Clips by confidence: ``B`` bins, as :class:`mmn_edge.evaluation.metrics.ReliabilityBins` has them."""

    @property
    def edges(self) -> Array:
        """``(B + 1,)`` from 0 to 1."""

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Clips in each bin, ``(B,)``."""

    @property
    def confidence(self) -> Array:
        """Their mean confidence, ``(B,)``."""

    @property
    def accuracy(self) -> Array:
        """The fraction of them that is right, ``(B,)``."""

    @property
    def expected_calibration_error(self) -> float:
        """ECE, 0 to 1."""


def reliability(panels: Sequence[tuple[str, Bins]]) -> str:
    """Draw reliability diagrams side by side (DeGroot and Fienberg 1983; Guo et al. 2017).

    A bar is the accuracy of the clips in a bin of confidence; a calibrated model's bars end on the diagonal. What is
    missing to the mean confidence is vermilion, what is beyond it green. Below is how many clips each bin holds.

    Args:
        panels: For each diagram its title and its bins.
    """
    side, under, gap, left, top = 300, 60, 90, 64, 62
    width = left + len(panels) * (side + gap) - gap + 24
    parts: list[str] = []
    for number, (title, bins) in enumerate(panels):
        parts += _panel(title, bins, left + number * (side + gap), top, side, under)
    x, y = left, top + side + under + 86
    for colour, words in (
        (tint(0.8, RIGHT), "right"),
        (tint(0.45, WRONG), "too sure"),
        (tint(0.45, UNSURE), "not sure enough"),
    ):
        parts.append(f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17:.1f}" y="{y:.1f}" font-size="12">{words}</text>')
        x += 17 + len(words) * 7 + 22
    return picture(width, top + side + under + 102, parts)


def _panel(title: str, bins: Bins, left: float, top: float, side: int, under: int) -> list[str]:
    bottom, foot = top + side, top + side + 20 + under
    ece, total = bins.expected_calibration_error, int(bins.count.sum())
    parts = [
        f'<text x="{left:.1f}" y="26" font-size="14" font-weight="bold">{escape(_shorten(title, 44))}</text>',
        f'<text x="{left:.1f}" y="46" font-size="12" fill="{GREY}">ECE {100 * ece:.1f} %, {total} clips</text>',
    ]
    for tick in range(0, 101, 20):
        x, y = left + tick / 100 * side, bottom - tick / 100 * side
        parts.append(f'<path d="M{left:.1f} {y:.1f}h{side}M{x:.1f} {top}v{side}" stroke="{FAINT}"/>')
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
        gap = tint(0.45, WRONG if confidence > accuracy else UNSURE)
        hint = f"confidence {100 * confidence:.0f} %, accuracy {100 * accuracy:.0f} %, {count} clips"
        for start, end, colour in ((0.0, lower, tint(0.8, RIGHT)), (lower, upper, gap)):
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
