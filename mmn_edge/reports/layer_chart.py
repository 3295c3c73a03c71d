"""Where precisions drift apart, as SVG: the relative error of every layer, in the order of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

from mmn_edge.reports.svg import CHARACTER, COLOURS, GREY, INK, LINE, picture

__all__ = ["Curve", "layer_chart"]

AlongLayers = Callable[[str], float]
AcrossError = Callable[[float], float]

WIDTH, HEIGHT, LEFT, TOP, RIGHT = 1000, 360, 70, 70, 24
FLOOR = 1e-6
"""The least error drawn: a float32's last bits."""


class Layer(Protocol):
    """A layer's error, as :class:`mmn_edge.curve.layers.Layer` has it."""

    @property
    def name(self) -> str:
        """The node."""

    @property
    def error(self) -> float:
        """Relative; may be not finite."""

    @property
    def inherited(self) -> float:
        """What the errors of its inputs explain."""


@dataclass(frozen=True)
class Curve:
    """The errors of one model's layers.

    Attributes:
        layers: In the order of the graph.
        threshold: Above it a layer may be where drift begins.
        marked: The layer that gets a circle and its name; None for none.
    """

    layers: Sequence[Layer]
    threshold: float
    marked: Layer | None


def layer_chart(curves: Mapping[str, Curve], *, title: str) -> str:
    """Draw the error of each layer, one line a model, on a logarithmic scale; dashed are the thresholds.

    Errors that are not finite stand at the top, as crosses.

    Args:
        curves: By model's name; the one with the most layers gives the axis.
        title: Stands above.
    """
    longest = sorted(curves.values(), key=lambda curve: -len(curve.layers))
    names = list(dict.fromkeys(layer.name for curve in longest for layer in curve.layers))
    place = {name: index for index, name in enumerate(names)}
    finite = [layer.error for curve in curves.values() for layer in curve.layers if math.isfinite(layer.error)]
    thresholds = [curve.threshold for curve in curves.values()]
    low = math.floor(math.log10(max(min([error for error in finite if error > 0], default=FLOOR), FLOOR)))
    exact = any(error == 0 for error in finite)
    low -= exact  # a decade for those without any error, which no logarithm has a place for
    high = max(math.ceil(math.log10(max([*finite, *thresholds, FLOOR]))), low + 1)
    bottom = TOP + HEIGHT

    def x(name: str) -> float:
        return LEFT + (place[name] + 0.5) / len(names) * WIDTH

    def y(error: float) -> float:
        if not math.isfinite(error):
            return TOP
        exponent = math.log10(max(error, 10.0**low))
        return bottom - (exponent - low) / (high - low) * HEIGHT

    parts = [*_axis(low, high, y, exact), *_bands(names, x)]
    legend = float(LEFT)
    for (model, curve), colour in zip(curves.items(), COLOURS * len(curves), strict=False):
        at = y(curve.threshold)
        parts.append(f'<path d="M{LEFT} {at:.1f}h{WIDTH}" stroke="{colour}" stroke-dasharray="3 5"/>')
        points = [(x(layer.name), y(layer.error)) for layer in curve.layers]
        path = "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        parts += [_point(layer, model, x(layer.name), y(layer.error), colour) for layer in curve.layers]
        parts += _marked(curve, x, y, colour)
        words = f"{model}, threshold {100 * curve.threshold:g} %"
        parts.append(f'<rect x="{legend:.1f}" y="{bottom + 74}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{legend + 17:.1f}" y="{bottom + 84}" font-size="12">{escape(words)}</text>')
        legend += 17 + len(words) * 12 * CHARACTER + 26
    return picture(LEFT + WIDTH + RIGHT, bottom + 96, parts, title=title)


def _axis(low: int, high: int, y: AcrossError, exact: bool) -> list[str]:
    parts = [f'<text x="{LEFT}" y="52" font-size="12" fill="{GREY}">relative error of each layer, in its order</text>']
    for exponent in range(low, high + 1):
        at = y(10.0**exponent)
        parts.append(f'<path d="M{LEFT} {at:.1f}h{WIDTH}" stroke="{LINE}"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" font-size="11" text-anchor="end" fill="{GREY}">'
            f"{'0' if exact and exponent == low else f'{100 * 10.0**exponent:g} %'}</text>"
        )
    return parts


def _bands(names: Sequence[str], x: AlongLayers) -> list[str]:
    """A line and a name where each block, or other part of the network, begins."""
    parts, before, last = [], "", -100.0
    for name in names:
        part = _part(name)
        if part == before:
            continue
        before, at = part, x(name)
        parts.append(f'<path d="M{at:.1f} {TOP}v{HEIGHT}" stroke="{LINE}"/>')
        if at - last > 14:
            corner = f"{at + 3:.1f} {TOP + HEIGHT + 14}"
            parts.append(
                f'<text x="{at + 3:.1f}" y="{TOP + HEIGHT + 14}" font-size="10" fill="{GREY}" '
                f'transform="rotate(30 {corner})">{escape(part)}</text>'
            )
            last = at
    return parts


def _part(name: str) -> str:
    """The block that a node belongs to: ``MFM.0.blocks.1``, or the first name of its site."""
    words = name.partition("/")[0].split(".")
    return ".".join(words[:4]) if "blocks" in words else words[0]


def _point(layer: Layer, model: str, px: float, py: float, colour: str) -> str:
    hint = escape(f"{model}, {layer.name}: {100 * layer.error:.3g} %, its inputs {100 * layer.inherited:.3g} %")
    if math.isfinite(layer.error):
        return f'<circle cx="{px:.1f}" cy="{py:.1f}" r="1.8" fill="{colour}"><title>{hint}</title></circle>'
    cross = f"M{px - 3:.1f} {py - 3:.1f}l6 6m0 -6l-6 6"
    return f'<path d="{cross}" stroke="{colour}" stroke-width="1.5"><title>{hint}</title></path>'


def _marked(curve: Curve, x: AlongLayers, y: AcrossError, colour: str) -> list[str]:
    """A circle and a name at the layer where the drift begins."""
    layer = curve.marked
    if layer is None:
        return []
    px, py = x(layer.name), y(layer.error)
    right = px > LEFT + WIDTH * 0.7
    return [
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<text x="{px + (-9 if right else 9):.1f}" y="{py - 6:.1f}" font-size="11" fill="{INK}" '
        f'text-anchor="{"end" if right else "start"}">{escape(layer.name)}</text>',
    ]
