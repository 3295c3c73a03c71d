"""A report on a model's events: figures, precision against recall, and each recording over time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mmn_edge.events.formats.table import write_table
from mmn_edge.events.interval import AnnotationSet
from mmn_edge.events.matching import OPERATING, Tally, tally
from mmn_edge.events.pairing import pair
from mmn_edge.events.picture import draw
from mmn_edge.events.scoring import Scores
from mmn_edge.model.labels import Labels
from mmn_edge.reports.folder import check_folder
from mmn_edge.reports.page import Page, Paragraph, Picture, Table
from mmn_edge.reports.svg import COLOURS, FAINT, GREY, LINE, picture
from mmn_edge.system.files import atomic_folder

__all__ = ["check_event_folder", "precision_recall", "write_event_report"]

DATA, PAGE, EVENTS, CURVES, TIMELINES = "report.json", "report.html", "events.csv", "precision_recall.svg", "timelines"
SCHEMA = "mmn-edge events 1"
MAX_TIMELINES = 200
"""Recordings that are drawn; a page with more is no use."""

FIGURES = (
    ("detection_map", "detection mAP"),
    ("event_f1", "event F1"),
    ("event_precision", "event precision"),
    ("event_recall", "event recall"),
    ("frame_f1", "frame F1"),
    ("kappa", "kappa"),
    ("false_events_per_hour", "false events an hour"),
    ("events_per_truth", "events a true one"),
)
ERRORS = (("onset_error_s", "onset error"), ("offset_error_s", "offset error"), ("onset_delay_s", "onset delay"))


def check_event_folder(path: Path) -> None:
    """Refuse to write a report over anything but an earlier one of events; raises UsageError."""
    check_folder(path, (DATA, PAGE, EVENTS, CURVES, TIMELINES), SCHEMA.rsplit(" ", 1)[0], DATA)


def write_event_report(
    path: Path,
    title: str,
    scores: Scores,
    truth: AnnotationSet,
    predicted: AnnotationSet,
    labels: Labels,
    *,
    on_recording: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Write the report's folder, all or nothing.

    Args:
        path: The folder; an earlier report there is replaced.
        title: What it is about.
        scores: Of the two sets.
        truth: What happened.
        predicted: What was found.
        labels: The model's classes.
        on_recording: Called with the recordings drawn and their number.

    Raises:
        UsageError: ``path`` holds something else.
    """
    check_event_folder(path)
    curves = precision_recall(truth, predicted, labels)
    page = Page(title)
    hours = f" in {scores.hours:.2f} h" if scores.hours is not None else ""
    page.add(
        Paragraph(f"{scores.truth} true events, {scores.predicted} found, in {scores.recordings} recordings{hours}.")
    )
    page.add(Table(("measure", "value", "95 % interval"), _figures(scores), words=1))
    header = ("class", "true", "found", "mAP", "F1", "frame F1", "onset error, s")
    page.section("Classes", Table(header, [_class_row(name, entry) for name, entry in scores.classes.items()], words=1))
    page.section("Precision and recall", Picture(curves, CURVES, "precision against recall by class"))
    page.add(Paragraph("Of events sorted by their score, matched at IoU 0.5; a dot is where all of them are taken."))
    pictures = {}
    names = truth.annotated
    for number, name in enumerate(names[:MAX_TIMELINES]):
        on_recording(number, min(len(names), MAX_TIMELINES))
        if any(entry.recording == name for entry in (*truth.intervals, *predicted.intervals)):
            pictures[name] = draw(predicted, name, truth=truth, labels=labels)
    for name, svg in pictures.items():
        page.section(name, Picture(svg, f"{TIMELINES}/{name}.svg", f"{name}: truth above what was found"))
    with atomic_folder(path) as folder:
        document = {"schema": SCHEMA, "title": title, **scores.to_dict()}
        (folder / DATA).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / PAGE).write_text(page.html(), encoding="utf-8")
        (folder / CURVES).write_text(curves, encoding="utf-8")
        write_table(folder / EVENTS, AnnotationSet(predicted.intervals, {}, frozenset(predicted.annotated)))
        (folder / TIMELINES).mkdir()
        for name, svg in pictures.items():
            if Path(name).name == name:
                (folder / TIMELINES / f"{name}.svg").write_text(svg, encoding="utf-8")


def precision_recall(truth: AnnotationSet, predicted: AnnotationSet, labels: Labels) -> str:
    """Precision against recall as SVG, a line a class and a thick one for all classes together."""
    tallies, _ = tally(pair(truth, predicted, labels=labels))
    side, left, top = 380, 56, 50
    parts = [f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="{LINE}"/>']
    for step in range(0, 11, 2):
        x, y = left + side * step / 10, top + side * (1 - step / 10)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + side}" y2="{y:.1f}" stroke="{FAINT}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{GREY}">{step * 10}</text>')
        parts.append(f'<text x="{x:.1f}" y="{top + side + 18}" text-anchor="middle" fill="{GREY}">{step * 10}</text>')
    parts.append(f'<text x="{left + side / 2}" y="{top + side + 38}" text-anchor="middle">recall, %</text>')
    parts.append(f'<text x="14" y="{top - 10}">precision, %</text>')
    shown = [entry for entry in tallies if entry.truth.sum() and entry.hits.size]
    for number, entry in enumerate(shown):
        colour = COLOURS[number % len(COLOURS)]
        dashes = ("", "6 3", "2 3")[number // len(COLOURS) % 3]
        parts.append(_curve(*_points(entry), left, top, side, colour, 1.6, dashes))
        y = top + 8 + 18 * number
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        start = left + side + 24
        parts.append(
            f'<line x1="{start}" y1="{y}" x2="{start + 26}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        parts.append(f'<text x="{start + 32}" y="{y + 4}">{escape(entry.name)}</text>')
    height = max(top + side + 52, top + 18 * len(shown) + 20)
    return picture(left + side + 290, height, parts, title="Precision and recall at IoU 0.5")


def _points(entry: Tally) -> tuple[Sequence[float], Sequence[float]]:
    hits = np.cumsum(entry.hits[OPERATING])
    return hits / entry.truth.sum(), hits / np.arange(1, len(hits) + 1)


def _curve(
    recall: Sequence[float],
    precision: Sequence[float],
    left: float,
    top: float,
    side: float,
    colour: str,
    width: float,
    dashes: str,
) -> str:
    points = [f"{left + side * r:.1f},{top + side * (1 - p):.1f}" for r, p in zip(recall, precision, strict=True)]
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    x, y = points[-1].split(",")
    line = f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'
    return f'{line}<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'


def _figures(scores: Scores) -> list[list[str]]:
    rows = []
    for name, words in FIGURES:
        value, interval = scores.measures.get(name), scores.intervals.get(name)
        rows.append([words, _number(value), " to ".join(map(_number, interval)) if interval else ""])
    for name, words in ERRORS:
        for part, more in (("median", "median"), ("p90", "90 % below")):
            value = (scores.measures.get(name) or {}).get(part)
            interval = (scores.intervals.get(name) or {}).get(part)
            text = " to ".join(map(_number, interval)) if interval else ""
            rows.append([f"{words}, {more}, s", _number(value), text])
    return rows


def _class_row(name: str, entry: dict[str, Any]) -> list[str]:
    figures = [_number(entry.get(key)) for key in ("detection_map", "event_f1", "frame_f1")]
    onset = _number((entry.get("onset_error_s") or {}).get("median"))
    return [name, str(entry["truth"]), str(entry["predicted"]), *figures, onset]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
