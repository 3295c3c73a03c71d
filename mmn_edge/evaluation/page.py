"""An evaluation as Markdown and as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape

from mmn_edge.evaluation.metrics import BINS, RESAMPLES
from mmn_edge.evaluation.report import Report
from mmn_edge.reports.tables import STYLE, html_table, markdown_table, percent

__all__ = ["html", "markdown", "summary"]

DEFINITIONS = (
    (
        "top-1, top-5",
        "fraction of clips whose label is the likeliest class, or among the five likeliest. The interval is the 95 % "
        f"percentile bootstrap over clips ({RESAMPLES} resamples): it says what other clips of the same kind may give, "
        "and nothing of another training run",
    ),
    (
        "macro F1",
        "mean over classes of 2 TP / (2 TP + FP + FN), over the classes that have data or predictions; micro F1 with "
        "one label a clip is top-1",
    ),
    ("mean class accuracy", "mean recall over the classes that have data"),
    (
        "F1_mean",
        "MA-52's score: the mean of macro and micro F1 over actions and over body-level groups, a clip's predicted "
        "group being that of its predicted action",
    ),
    ("cross-entropy", "mean negative log-likelihood of the labels, in nats"),
    (
        "ECE",
        f"expected calibration error (Guo et al. 2017): mean |accuracy - confidence| over {BINS} equal-width bins, "
        "weighted by clips",
    ),
    (
        "agrees, Δ logit",
        "clips that the model and the first one take for the same class; mean / maximum over clips and classes of the "
        "absolute difference of their logits",
    ),
    ("Brier", "mean squared distance of the probabilities to the label, summed over classes: 0 to 2"),
)
"""Measures and what they mean, for readers of a report."""


def summary(report: Report) -> tuple[list[str], list[list[str]]]:
    """The table of models: its header, and a row of text for each."""
    several = len(report.trials) > 1
    body = report.scores[0].body is not None
    header = ["model", "precision", "stream", "top-1 [95 %]", "top-5", "macro F1", "class acc."]
    header += (["F1_mean"] if body else []) + ["NLL", "ECE"]
    header += ["agrees", "Δ logit"] if several else []
    rows = []
    for trial, scores in zip(report.trials, report.scores, strict=True):
        low, high = scores.top1_interval
        row = [
            trial.name,
            trial.precision,
            trial.stream,
            f"{percent(scores.top1)} [{percent(low)}, {percent(high)}]",
            percent(scores.top5),
            percent(scores.classes.macro_f1),
            percent(scores.classes.mean_class_accuracy),
        ]
        row += [percent(scores.body.mean)] if scores.body is not None else []
        row += [f"{scores.cross_entropy:.3f}", percent(scores.reliability.expected_calibration_error)]
        if several:
            mean, worst = trial.logit_difference(report.trials[0])
            first = trial is report.trials[0]
            agrees = percent(trial.agreement(report.trials[0], report.allowed))
            row += ["-", "-"] if first else [agrees, f"{mean:.2g} / {worst:.2g}"]
        rows.append(row)
    return header, rows


def temperatures(report: Report) -> tuple[list[str], list[list[str]]]:
    """The table of fitted temperatures."""
    header = [
        "model",
        "T before",
        "T fitted",
        "ECE before",
        "ECE, cross-fitted",
        "ECE, fitted",
        "NLL before",
        "NLL, c.-f.",
    ]
    rows = [
        [
            trial.name,
            f"{fit.earlier:.3g}",
            f"{fit.temperature:.3f}",
            percent(fit.ece),
            percent(fit.ece_cross_fitted),
            percent(fit.ece_fitted),
            f"{fit.cross_entropy:.3f}",
            f"{fit.cross_entropy_cross_fitted:.3f}",
        ]
        for trial, fit in zip(report.trials, report.fits, strict=False)
    ]
    return header, rows


CROSS_FITTED = (
    "Cross-fitted: each half of the clips at the temperature that the other half asks for, which is what to expect of "
    "new clips. Fitted: on the clips that the temperature was fitted on."
)


def markdown(report: Report) -> str:
    """The report as Markdown."""
    lines = [f"# Evaluation on {report.data.name}", "", *_facts(report), ""]
    lines += [f"- {note}" for note in report.notes] + ([""] if report.notes else [])
    lines += markdown_table(*summary(report))
    if report.fits:
        lines += ["", "## Temperature", "", CROSS_FITTED, "", *markdown_table(*temperatures(report))]
    shown = report.trials[report.shown].name
    lines += ["", f"## Confusion of {shown}", "", "![confusion matrix](confusion.svg)", ""]
    if mistakes := report.confusions():
        header = ["true class", "taken for", "clips", "of"]
        lines += markdown_table(header, [[a, b, str(n), str(total)] for a, b, n, total in mistakes])
    lines += ["", f"## Calibration of {shown}", "", "![reliability diagram](reliability.svg)", ""]
    lines += [f"## Classes of {shown}", "", *markdown_table(*_classes(report)), "", "## Definitions", ""]
    lines += [f"- **{name}**: {text}." for name, text in DEFINITIONS]
    return "\n".join(lines) + "\n"


def html(report: Report, *, confusion: str, reliability: str) -> str:
    """The report as a page with its pictures inside.

    Args:
        report: What was found.
        confusion: The confusion matrix as SVG.
        reliability: The reliability diagram as SVG.
    """
    shown = escape(report.trials[report.shown].name)
    title = f"Evaluation on {escape(report.data.name)}"
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        *(f"<p>{escape(fact)}</p>" for fact in _facts(report) if fact),
    ]
    if report.notes:
        parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>")
    parts.append(html_table(*summary(report), text=3))
    if report.fits:
        parts += ["<h2>Temperature</h2>", f"<p>{CROSS_FITTED}</p>", html_table(*temperatures(report))]
    parts += [f"<h2>Confusion of {shown}</h2>", confusion]
    if mistakes := report.confusions():
        header = ["true class", "taken for", "clips", "of"]
        parts.append(html_table(header, [[a, b, str(n), str(total)] for a, b, n, total in mistakes], text=2))
    parts += [f"<h2>Calibration of {shown}</h2>", reliability]
    parts += [f"<h2>Classes of {shown}</h2>", html_table(*_classes(report), bar="F1")]
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}.</dd>" for name, text in DEFINITIONS)
    parts += [f"<h2>Definitions</h2><dl>{terms}</dl>", "</body></html>"]
    return "\n".join(parts) + "\n"


def _facts(report: Report) -> list[str]:
    classes = f"{len(report.with_data)} of {len(report.labels)} classes have clips"
    facts = [f"{len(report.targets)} clips; {classes}. Protocol: {report.setting}."]
    backends = list(dict.fromkeys(trial.backend for trial in report.trials[: len(report.trials) - report.fused]))
    facts += ["", f"Fractions are in per cent. Ran on {'; '.join(backends)}."]
    return facts


def _classes(report: Report) -> tuple[list[str], list[list[str]]]:
    scores, names = report.scores[report.shown].classes, report.labels
    header = ["class", *(["group"] if names.groups else []), "clips", "predicted", "precision", "recall", "F1"]
    rows = []
    for index, name in enumerate(names.classes):
        support, predicted = int(scores.support[index]), int(scores.predicted[index])
        group = names.group_of(index)
        rows.append(
            [
                name,
                *([group] if group is not None else []),
                str(support),
                str(predicted),
                percent(scores.precision[index]) if predicted else "-",
                percent(scores.recall[index]) if support else "-",
                percent(scores.f1[index]) if support or predicted else "-",
            ]
        )
    return header, rows
