"""A picture of a run: its losses and its validation accuracy by epoch, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mmn_edge.reports.svg import COLOURS, FAINT, GREY, INK, picture
from mmn_edge.train.log import EpochResult

__all__ = ["svg"]

WIDTH, PANEL, GAP, LEFT, TOP, RIGHT = 640, 190, 56, 58, 46, 120
TRAIN, VALIDATION = COLOURS[:2]

Point = tuple[float, float]


def svg(history: Sequence[EpochResult], epochs: int, title: str, measure: str = "top-1") -> str:
    """Draw the epochs of a run so far.

    Args:
        history: At least one epoch's result.
        epochs: The epochs that the recipe plans: the width of the picture.
        title: Stands above.
        measure: What epochs are compared by.
    """
    losses = [value for result in history for value in (result.train_loss, result.validation_loss)]
    ceiling = _round_up(max(losses))
    best = max(history, key=lambda result: (result.accuracy, result.epoch))
    height = TOP + 2 * PANEL + GAP + 44
    x = _scale(0, max(epochs, len(history), 1), LEFT, WIDTH - RIGHT)
    loss = _scale(0, ceiling, TOP + PANEL, TOP)
    accuracy = _scale(0, 1, TOP + 2 * PANEL + GAP, TOP + PANEL + GAP)
    parts = _axes("loss", x, loss, [ceiling * part / 4 for part in range(5)], f"{{:.{_digits(ceiling)}f}}", epochs)
    parts += _axes(f"validation {measure}", x, accuracy, [0, 0.25, 0.5, 0.75, 1], "{:.0%}", epochs)
    labels = [
        (loss, "train", TRAIN, [(r.epoch, r.train_loss) for r in history]),
        (loss, "validation", VALIDATION, [(r.epoch, r.validation_loss) for r in history]),
        (accuracy, f"{history[-1].accuracy:.1%}", VALIDATION, [(r.epoch, r.accuracy) for r in history]),
    ]
    ends: list[float] = []
    for y, name, colour, points in labels:
        shown = [(x(epoch), y(min(value, ceiling))) for epoch, value in points if math.isfinite(value)]
        parts += _line(shown, colour)
        at = shown[-1][1] + 4
        while any(abs(at - other) < 13 for other in ends):  # names that would lie upon one another
            at += 13
        ends.append(at)
        parts.append(f'<text x="{shown[-1][0] + 6:.1f}" y="{at:.1f}" fill="{colour}">{name}</text>')
    px, py = x(best.epoch), accuracy(best.accuracy)
    parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="none" stroke="{INK}" stroke-width="1.5"/>')
    parts.append(
        f'<text x="{LEFT}" y="{height - 8}" fill="{GREY}">best: {best.accuracy:.2%} in epoch {best.epoch} (circle), '
        f"{sum(result.seconds for result in history) / 60:.0f} minutes for {len(history)} epochs</text>"
    )
    return picture(WIDTH, height, parts, title=title, font_size=11)


def _axes(
    name: str, x: Callable[[float], float], y: Callable[[float], float], ticks: Sequence[float], style: str, epochs: int
) -> list[str]:
    floor, roof = y(ticks[0]), y(ticks[-1])
    parts = [f'<text x="{LEFT}" y="{roof - 7:.1f}" fill="{GREY}">{name}</text>']
    for value in ticks:
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{FAINT}"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="{GREY}">{style.format(value)}</text>'
        )
    step = max(1, _round_up(epochs / 8) if epochs > 8 else 1)
    place = f'y="{floor + 15:.1f}" text-anchor="middle" fill="{GREY}"'
    parts += [f'<text x="{x(epoch):.1f}" {place}>{epoch}</text>' for epoch in range(0, epochs + 1, int(step))]
    parts.append(f'<text x="{WIDTH - RIGHT + 14}" y="{floor + 15:.1f}" fill="{GREY}">epoch</text>')
    return parts


def _line(points: Sequence[Point], colour: str) -> list[str]:
    if len(points) == 1:
        return [f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3" fill="{colour}"/>']
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>']


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


def _digits(value: float) -> int:
    return max(0, 2 - math.floor(math.log10(value)))
