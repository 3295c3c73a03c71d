"""A verification in tables, and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mmn_edge.drift.drift import Drift
from mmn_edge.drift.layers import Layer, LayerDrift
from mmn_edge.drift.report import FAMILY, DriftReport, Verdict
from mmn_edge.evaluation.metrics import ranking
from mmn_edge.reports.folder import DATA
from mmn_edge.reports.folder import check_folder as check_report_folder
from mmn_edge.reports.layer_chart import Curve, layer_chart
from mmn_edge.reports.page import Bullets, Heading, Page, Paragraph, Picture, Table, Terms, percent
from mmn_edge.system.files import atomic_folder

__all__ = [
    "build",
    "check_folder",
    "curves",
    "drifted",
    "facts",
    "layer_table",
    "layer_words",
    "notes",
    "pairs",
    "summary",
    "verdict",
    "write_folder",
]

CHART = "layers.svg"
FILES = (DATA, "report.md", "report.html", CHART)
JUMPS = 5

DEFINITIONS = (
    ("agrees", "windows for which the likeliest class is the reference's, with the 95 % score interval (Wilson 1927)"),
    (
        "Δ logit, Δ p",
        "mean and maximum, over windows and classes, of the absolute difference of logits; the maximum of that of "
        "probabilities",
    ),
    ("KL, JS", "mean Kullback-Leibler divergence from the reference and mean Jensen-Shannon divergence, in nats"),
    (
        "lost",
        "points of top-1 that the reference has and the model has not, with the 95 % interval for paired proportions "
        "(Bonett and Price 2012); broken and repaired are the windows that only one of them has right",
    ),
    ("layer error", "norm of the difference of a layer's values, as a part of their norm in the bundle's fp32 model"),
    (
        "where drift begins",
        "the first layer with an error over the threshold and over twice what the errors of its inputs explain: the "
        "largest of them or, for sums and products with weights, what their absolute errors make of the result",
    ),
    ("adds", "the error that the layer's inputs do not explain, the two taken as independent"),
)
"""Measures and what they mean, for readers of a report."""

ONE_CLASS = (
    "The reference takes all windows for one class, so that agreement says little: look at the probabilities, or give "
    "clips of several classes with --data."
)

Rows = tuple[list[str], list[list[str]]]
"""A header, and rows of text."""


def summary(report: DriftReport) -> Rows:
    """The table of models against the reference; without the backend where one ran all of them."""
    labelled = report.windows.targets is not None
    header = ["model", "verdict", "backend", "agrees [95 %]", "Δ logit mean / max", "Δ p max", "KL", "JS"]
    header += ["top-1", "lost [95 %]", "broken / repaired"] if labelled else []
    rows = [_reference(report, len(header)), *(_row(verdict) for verdict in report.verdicts)]
    if len({trial.backend for trial in report.trials}) == 1:
        header, *rows = ([*row[:2], *row[3:]] for row in (header, *rows))
    return header, rows


def _reference(report: DriftReport, columns: int) -> list[str]:
    row = [report.reference.name, "reference", report.reference.backend, *["-"] * (columns - 3)]
    accuracy = report.verdicts[0].drift.accuracy if report.verdicts else None
    if accuracy is not None:
        row[-3] = percent(accuracy.reference)
    return row


def _row(verdict: Verdict) -> list[str]:
    drift, accuracy = verdict.drift, verdict.drift.accuracy
    low, high = drift.agreement_interval
    row = [
        verdict.trial.name,
        "DRIFTED" if verdict.broken else "passes",
        verdict.trial.backend,
        f"{percent(drift.agreement)} [{percent(low)}, {percent(high)}]",
        f"{drift.mean_logit_difference:.2g} / {drift.max_logit_difference:.2g}",
        f"{drift.max_probability_difference:.2g}",
        f"{drift.kl:.1e}",
        f"{drift.js:.1e}",
    ]
    if accuracy is not None:
        low, high = accuracy.interval
        row += [
            percent(accuracy.model),
            f"{100 * accuracy.lost:.2f} [{100 * low:.1f}, {100 * high:.1f}]",
            f"{accuracy.broken} / {accuracy.repaired}",
        ]
    return row


def pairs(report: DriftReport) -> Rows:
    """Agreement and largest probability difference of each model with each."""

    def cell(drift: Drift) -> str:
        return f"{percent(drift.agreement)} %, {drift.max_probability_difference:.2g}"

    table = report.pairs()
    rows = [
        [one.name, *("-" if one is other else cell(drift) for other, drift in zip(report.trials, drifts, strict=True))]
        for one, drifts in table
    ]
    return ["agrees, Δ p max", *(trial.name for trial in report.trials)], rows


def drifted(report: DriftReport) -> Rows:
    """What went beyond which limit, and where it begins."""
    rows = []
    for verdict in report.failed:
        layers = report.layers.get(verdict.trial.name)
        begins = layer_words(layers) if layers is not None else "-"
        rows += [
            [verdict.trial.name, broken, begins if not index else ""] for index, broken in enumerate(verdict.broken)
        ]
    return ["model", "what drifted", "where it begins"], rows


def layer_words(drift: LayerDrift) -> str:
    """Where a model drifts, in a few words."""
    if drift.first is not None:
        return f"at {drift.first.name} ({_error(drift.first.error)}, inputs {_error(drift.first.inherited)})"
    worst = max(drift.layers, key=lambda layer: layer.error)
    return f"at no single layer; the worst is {worst.name} ({_error(worst.error)}, inputs {_error(worst.inherited)})"


def layer_table(drift: LayerDrift) -> Rows:
    """Where drift begins, and the layers that add most."""

    def row(layer: Layer, what: str) -> list[str]:
        return [layer.name, what, _error(layer.error), _error(layer.inherited), _error(layer.added)]

    first = [row(drift.first, "where drift begins")] if drift.first is not None else []
    return ["layer", "", "error", "its inputs'", "adds"], [*first, *(row(layer, "") for layer in drift.jumps(JUMPS))]


def _error(value: float) -> str:
    return f"{100 * value:.2g} %" if value < float("inf") else "not finite"


def facts(report: DriftReport) -> list[str]:
    """What was asked, and where, a sentence each."""
    count, machine = len(report.windows.keypoints), report.machine
    labelled = (
        "labelled" if report.windows.targets is not None else "without labels: agreement, not accuracy, is measured"
    )
    where = [machine[key] for key in ("machine", "processor") if key in machine]
    return [
        f"{count} windows of {report.windows.name}, {labelled}.",
        f"Reference: {report.reference.name} on {report.reference.backend}, which sees {_classes(report)} of "
        f"{len(report.windows.labels)} classes in them.",
        f"On {', '.join(where)}, {machine.get('cores', '?')} cores.",
    ]


def notes(report: DriftReport) -> list[str]:
    """What a reader of the numbers should know, a sentence each."""
    alike = [ONE_CLASS] if _classes(report) == 1 else []
    return [*report.windows.notes, *alike, *report.notes, *report.unsure()]


def _classes(report: DriftReport) -> int:
    """How many classes the reference sees in the windows."""
    return len(np.unique(ranking(report.reference.logits, 1)))


def verdict(report: DriftReport) -> str:
    """How it ended, in a sentence."""
    if report.failed:
        return f"{', '.join(entry.trial.name for entry in report.failed)} drifted too far."
    return "All models stay within their limits."


def build(report: DriftReport, chart: str | None) -> Page:
    """The report as a page.

    Args:
        report: What was found.
        chart: The error of each layer as SVG, ``layers.svg``; None where layers were not compared.
    """
    page = Page("Verification")
    page.add(Paragraph(verdict(report), bold=True), *map(Paragraph, facts(report)), Bullets(notes(report)))
    page.add(Table(*summary(report), words=2))
    if report.failed:
        page.section("What drifted", Table(*drifted(report), words=3))
    if len(report.trials) > 2:
        page.section("Each against each", Table(*pairs(report)))
    if chart is not None:
        page.section("Layers", Picture(chart, CHART, "error of each layer"))
    for name, drift in report.layers.items():
        begins = Paragraph(f"Drift begins {layer_words(drift)}.")
        page.add(Heading(name, 3), begins, Table(*layer_table(drift), words=2))
    page.section("Definitions", Terms(DEFINITIONS))
    return page


def curves(report: DriftReport) -> dict[str, Curve]:
    """For a picture: marked is where a model's drift begins, or else the layer that adds most."""
    return {
        name: Curve(drift.layers, drift.threshold, drift.first or next(iter(drift.jumps(1)), None))
        for name, drift in report.layers.items()
    }


def check_folder(path: Path) -> None:
    """Refuse to write a report over anything but an earlier one.

    Raises:
        UsageError: See :func:`mmn_edge.reports.folder.check_folder`.
    """
    check_report_folder(path, FILES, FAMILY)


def write_folder(report: DriftReport, path: Path) -> None:
    """Write the report's files, all or none.

    Raises:
        UsageError: See :func:`check_folder`.
    """
    check_folder(path)
    chart = layer_chart(curves(report), title="Where precisions drift apart") if report.layers else None
    page = build(report, chart)
    with atomic_folder(path) as folder:
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / DATA).write_text(text + "\n", encoding="utf-8")
        (folder / "report.md").write_text(page.markdown(), encoding="utf-8")
        (folder / "report.html").write_text(page.html(), encoding="utf-8")
        if chart is not None:
            (folder / CHART).write_text(chart, encoding="utf-8")
