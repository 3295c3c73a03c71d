"""Charts of latencies: narrow enough to be read on a phone, side by side where there is room.

Every chart has axes with units, and says below its title what was timed.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from mmn_edge.latency.comparison import Comparison
from mmn_edge.latency.measurement import Measurement, number_words
from mmn_edge.latency.report import Accuracy
from mmn_edge.reports.svg import COLOURS, FAINT, GREY, INK, LINE, picture, tint

__all__ = ["front", "histogram", "percentile_chart", "ratios", "throughput_chart", "timeline"]

WIDTH, SIDE, RIGHT = 420, 58, 16
PLOT = 200
BINS = 48
MOST_POINTS = 1200
MOST_SERIES = len(COLOURS)
CHARACTERS = 66


@dataclass(frozen=True)
class _Axis:
    """From data to pixels, ``low`` at ``start`` and ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers within the axis."""
        step = (self.high - self.low) / count or 1.0
        size = 10.0 ** math.floor(math.log10(step))
        step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= step * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


class _Chart:
    """A plot with its words: title, what was timed, axes."""

    def __init__(self, title: str, scope: str, x_label: str, y_label: str) -> None:
        self._title = title
        lines = textwrap.wrap(scope, CHARACTERS)
        self.top = 44 + 13 * len(lines)
        self.bottom = self.top + PLOT
        self.parts = [
            f'<text x="16" y="{46 + 13 * number}" font-size="10.5" fill="{GREY}">{escape(line)}</text>'
            for number, line in enumerate(lines)
        ]
        middle = self.top + PLOT / 2
        self.parts += [
            f'<text x="{(SIDE + WIDTH - RIGHT) / 2:.1f}" y="{self.bottom + 34}" text-anchor="middle">'
            f"{escape(x_label)}</text>",
            f'<text x="14" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 14 {middle:.1f})">'
            f"{escape(y_label)}</text>",
        ]
        self._below: list[str] = []

    def x(self, low: float, high: float) -> _Axis:
        return _Axis(low, high, SIDE, WIDTH - RIGHT)

    def y(self, low: float, high: float) -> _Axis:
        return _Axis(low, high, self.bottom, self.top)

    def mark_x(self, place: float, words: str) -> None:
        self.parts.append(f'<path d="M{place:.1f} {self.top}v{PLOT}" stroke="{FAINT}"/>')
        self.parts.append(
            f'<text x="{place:.1f}" y="{self.bottom + 16}" font-size="11" text-anchor="middle" fill="{GREY}">'
            f"{escape(words)}</text>"
        )

    def mark_y(self, axis: _Axis) -> None:
        for value in axis.ticks(4):
            place = axis(value)
            self.parts.append(f'<path d="M{SIDE} {place:.1f}H{WIDTH - RIGHT}" stroke="{FAINT}"/>')
            self.parts.append(
                f'<text x="{SIDE - 5}" y="{place + 4:.1f}" font-size="11" text-anchor="end" fill="{GREY}">'
                f"{value:g}</text>"
            )

    def legend(self, names: Sequence[str]) -> None:
        for number, name in enumerate(names):
            y = self.bottom + 54 + 16 * number
            self._below.append(f'<rect x="{SIDE}" y="{y - 9}" width="10" height="10" fill="{COLOURS[number]}"/>')
            text = name if len(name) <= 56 else name[:55] + "…"
            self._below.append(f'<text x="{SIDE + 16}" y="{y}" font-size="11">{escape(text)}</text>')
        self._legend = len(names)

    _legend = 0

    def svg(self) -> str:
        frame = f'<path d="M{SIDE} {self.top}v{PLOT}H{WIDTH - RIGHT}" fill="none" stroke="{LINE}"/>'
        height = self.bottom + 46 + 16 * self._legend
        return picture(WIDTH, height, [*self.parts, frame, *self._below], title=self._title)


def histogram(entry: Measurement) -> str:
    """How often a call took how long; what lies beyond the 99.5th percentile is counted in the last, orange bar."""
    samples = np.asarray(entry.samples_ms)
    end = float(np.percentile(samples, 99.5))
    low = float(samples.min())
    end = end if end > low else low + max(low * 0.01, 1e-6)
    counts, edges = np.histogram(samples[samples <= end], bins=BINS, range=(low, end))
    beyond = int((samples > end).sum())
    chart = _Chart("How long calls take", f"{entry.title}. {entry.scope}", "milliseconds", "calls")
    span = (end - low) / BINS
    x = chart.x(low, end + 2 * span)
    y = chart.y(0, max(int(counts.max()), beyond, 1) * 1.05)
    chart.mark_y(y)
    for value in x.ticks():
        chart.mark_x(x(value), f"{value:g}")
    bars = [(*pair, COLOURS[0]) for pair in zip(edges[:-1], counts, strict=True)]
    bars += [(end + span, beyond, COLOURS[1])] if beyond else []
    for start, count, colour in bars:
        if count:
            hint = f"{count} calls from {start:.4g} ms" if colour == COLOURS[0] else f"{count} calls above {end:.4g} ms"
            left, top = x(float(start)), y(float(count))
            width = max(x(float(start) + span) - left - 0.5, 0.5)
            chart.parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{chart.bottom - top:.1f}" '
                f'fill="{colour}"><title>{hint}</title></rect>'
            )
    summary = entry.summary()
    for number, percent in enumerate((50.0, 90.0, 99.0)):
        found = summary.percentile(percent).estimate
        if found is not None and found.value <= end:
            place = x(found.value)
            chart.parts.append(
                f'<path d="M{place:.1f} {chart.top}v{PLOT}" stroke="{INK}" stroke-dasharray="4 3"/>'
                f'<text x="{place + 3:.1f}" y="{chart.top + 11 + 12 * number}" font-size="11">p{percent:g} '
                f"{number_words(found.value)}</text>"
            )
    return chart.svg()


def timeline(entry: Measurement) -> str:
    """Every call over the time of the run: throttling, changes of clocks and neighbours show here."""
    chart = _Chart("When calls take long", f"{entry.title}. {entry.scope}", "seconds since the first call", "ms a call")
    starts, samples = np.asarray(entry.starts_s), np.asarray(entry.samples_ms)
    x = chart.x(0, max(float(starts[-1]), 1e-3))
    y = chart.y(0, float(samples.max()) * 1.05)
    chart.mark_y(y)
    for value in x.ticks():
        chart.mark_x(x(value), f"{value:g}")
    picks = np.arange(len(samples))
    if len(picks) > MOST_POINTS:  # of each stretch one call and its longest, so that no outlier is lost
        stretches = np.array_split(picks, MOST_POINTS // 2)
        picks = np.unique([place for part in stretches for place in (part[0], part[samples[part].argmax()])])
    dots = "".join(f"M{x(float(starts[k])):.1f} {y(float(samples[k])):.1f}h0" for k in picks)
    chart.parts.append(
        f'<path d="{dots}" stroke="{COLOURS[0]}" stroke-width="3" stroke-linecap="round" stroke-opacity="0.5"/>'
    )
    return chart.svg()


def percentile_chart(entries: Sequence[Measurement]) -> str:
    """Percentiles of settings with their intervals, on an axis that spreads the tail."""
    entries = entries[:MOST_SERIES]
    chart = _Chart("Percentiles, with 95 % intervals", entries[0].scope, "percentile of calls", "ms a call")
    x = chart.x(-0.3, 3.3)  # -log10 of the share beyond
    found = [[p for p in entry.summary().percentiles if p.estimate is not None] for entry in entries]
    highest = max((p.estimate.high or p.estimate.value for row in found for p in row if p.estimate), default=1.0)
    y = chart.y(0, highest * 1.05)
    chart.mark_y(y)
    for percent in (50.0, 90.0, 99.0, 99.9):
        chart.mark_x(x(-math.log10(1 - percent / 100)), f"p{percent:g}")
    for number, row in enumerate(found):
        points = []
        for entry in row:
            estimate = entry.estimate
            if estimate is None or estimate.low is None or estimate.high is None:
                continue
            place = x(-math.log10(1 - entry.percent / 100)) + 4 * (number - (len(found) - 1) / 2)
            points.append(f"{place:.1f} {y(estimate.value):.1f}")
            chart.parts.append(
                f'<path d="M{place - 3:.1f} {y(estimate.low):.1f}h6M{place:.1f} {y(estimate.low):.1f}V'
                f'{y(estimate.high):.1f}m-3 0h6" stroke="{COLOURS[number]}" fill="none"><title>{entry.name} '
                f"{estimate.value:.4g} ms [{estimate.low:.4g}, {estimate.high:.4g}]</title></path>"
            )
        if points:
            path = f'<path d="M{"L".join(points)}" fill="none" stroke="{COLOURS[number]}" stroke-width="2"/>'
            chart.parts.append(path)
    chart.legend([f"batch {entry.batch}, {_threads(entry)}, {entry.mode}" for entry in entries])
    return chart.svg()


def throughput_chart(entries: Sequence[Measurement]) -> str:
    """Measured throughput against the windows in a call; bars reach from the slowest to the fastest turn."""
    series: dict[str, list[Measurement]] = {}
    for entry in entries:
        if entry.turns and not entry.stages_ms:
            series.setdefault(f"{entry.precision}, {entry.backend}, {_threads(entry)}", []).append(entry)
    lines = list(series.items())[:MOST_SERIES]
    scope = "; ".join(dict.fromkeys(entry.scope for _, group in lines for entry in group))
    chart = _Chart("Throughput, measured", scope, "windows in a call (persons due at once)", "windows a second")
    batches = sorted({entry.batch for _, group in lines for entry in group})
    places = {batch: number for number, batch in enumerate(batches)}
    x = chart.x(-0.5, len(batches) - 0.5)
    rates = [[(entry.batch, entry.throughput()) for entry in group] for _, group in lines]
    y = chart.y(0, max((rate.fastest_turn for row in rates for _, rate in row if rate), default=1.0) * 1.05)
    chart.mark_y(y)
    for batch in batches:
        chart.mark_x(x(places[batch]), str(batch))
    for number, row in enumerate(rates):
        points = []
        for batch, rate in row:
            if rate is None:
                continue
            place = x(places[batch]) + 4 * (number - (len(rates) - 1) / 2)
            points.append(f"{place:.1f} {y(rate.windows_per_second):.1f}")
            chart.parts.append(
                f'<path d="M{place:.1f} {y(rate.slowest_turn):.1f}V{y(rate.fastest_turn):.1f}" '
                f'stroke="{COLOURS[number]}" stroke-width="4" stroke-opacity="0.4"><title>batch {batch}: '
                f"{rate.windows_per_second:.1f} windows a second</title></path>"
            )
        chart.parts.append(f'<path d="M{"L".join(points)}" fill="none" stroke="{COLOURS[number]}" stroke-width="2"/>')
    chart.legend([name for name, _ in lines])
    return chart.svg()


def front(entries: Sequence[Accuracy], scope: str) -> str:
    """Accuracy against latency; those that nothing beats are full, the fastest without loss has a ring."""
    data = f"{entries[0].clips} clips of {entries[0].data}. {scope}"
    chart = _Chart("Accuracy and latency", data, "median ms a window", "top-1, %")
    entries = entries[:MOST_SERIES]
    x = chart.x(0, max(entry.p50_ms for entry in entries) * 1.1)
    lowest, highest = min(entry.low for entry in entries), max(entry.high for entry in entries)
    y = chart.y(max(0.0, 100 * lowest - 2), min(100.0, 100 * highest + 2))
    chart.mark_y(y)
    for value in x.ticks():
        chart.mark_x(x(value), f"{value:g}")
    for number, entry in enumerate(entries):
        place, height, colour = x(entry.p50_ms), y(100 * entry.top1), COLOURS[number]
        chart.parts.append(
            f'<path d="M{place:.1f} {y(100 * entry.low):.1f}V{y(100 * entry.high):.1f}" stroke="{colour}"/>'
            f'<circle cx="{place:.1f}" cy="{height:.1f}" r="5" stroke="{colour}" stroke-width="2" '
            f'fill="{colour if entry.front else "#ffffff"}"/>'
        )
        if entry.choice:
            chart.parts.append(f'<circle cx="{place:.1f}" cy="{height:.1f}" r="9" stroke="{INK}" fill="none"/>')
    chart.legend(
        [
            f"{entry.precision}, {entry.backend}"
            + (": fastest without loss" if entry.choice else ": on the front" if entry.front else "")
            for entry in entries
        ]
    )
    return chart.svg()


def ratios(found: Comparison) -> str:
    """The ratios of B over A with their intervals, and the threshold of noise."""
    scope = " / ".join(dict.fromkeys(found.scopes))
    chart = _Chart("B over A, with 95 % intervals", scope, "of the calls' milliseconds", "ratio (1: no difference)")
    rows = [("typical", found.typical), ("p50", found.median), ("mean", found.mean), ("p90", found.p90)]
    bounds = [bound for _, ratio in rows for bound in (ratio.low, ratio.high) if bound is not None]
    low, high = min([1 - 2 * found.noise, *bounds]), max([1 + 2 * found.noise, *bounds])
    y, x = chart.y(low - 0.01, high + 0.01), chart.x(-0.5, 3.5)
    top, bottom = y(1 + found.noise), y(1 - found.noise)
    chart.parts.append(
        f'<rect x="{SIDE}" y="{top:.1f}" width="{WIDTH - RIGHT - SIDE}" height="{bottom - top:.1f}" '
        f'fill="{tint(0.15, COLOURS[2])}"><title>noise</title></rect>'
        f'<path d="M{SIDE} {y(1):.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-dasharray="4 3"/>'
    )
    chart.mark_y(y)
    for number, (name, ratio) in enumerate(rows):
        place = x(number)
        chart.mark_x(place, name)
        chart.parts.append(
            f'<path d="M{place:.1f} {y(ratio.low or low):.1f}V{y(ratio.high or high):.1f}" stroke="{COLOURS[0]}" '
            f'stroke-width="2"/><circle cx="{place:.1f}" cy="{y(ratio.value):.1f}" r="4" fill="{COLOURS[0]}"/>'
        )
    return chart.svg()


def _threads(entry: Measurement) -> str:
    return "default threads" if entry.threads is None else f"{entry.threads} thread" + "s" * (entry.threads > 1)
