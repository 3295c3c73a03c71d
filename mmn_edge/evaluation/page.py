"""An evaluation as a page."""

from __future__ import annotations

from mmn_edge.evaluation.metrics import BINS, RESAMPLES
from mmn_edge.evaluation.report import Report
from mmn_edge.reports.page import Bullets, Page, Paragraph, Picture, Table, Terms, percent

__all__ = ["build", "summary"]

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


def build(report: Report, *, confusion: str, reliability: str, mistakes: str | None = None) -> Page:
    """The report as a page.

    Args:
        report: What was found.
        confusion: The confusion matrix as SVG; beside a Markdown page it is ``confusion.svg``.
        reliability: The reliability diagram as SVG, ``reliability.svg``.
        mistakes: The skeletons that were mistaken most clearly, ``mistakes.svg``; None where there are none.
    """
    shown = report.trials[report.shown].name
    page = Page(f"Evaluation on {report.data.name}")
    page.add(*(Paragraph(fact) for fact in _facts(report)), Bullets(report.notes), Table(*summary(report), words=3))
    if report.fits:
        page.section("Temperature", Paragraph(CROSS_FITTED), Table(*temperatures(report)))
    page.section(f"Confusion of {shown}", Picture(confusion, "confusion.svg", "confusion matrix"))
    if confusions := report.confusions():
        rows = [[a, b, str(count), str(total)] for a, b, count, total in confusions]
        page.add(Table(["true class", "taken for", "clips", "of"], rows, words=2))
    if mistakes is not None:
        words = "Clips taken for another class, first those where it is furthest ahead of their own."
        page.section(
            f"Worst mistakes of {shown}", Paragraph(words), Picture(mistakes, "mistakes.svg", "worst mistakes")
        )
    page.section(f"Calibration of {shown}", Picture(reliability, "reliability.svg", "reliability diagram"))
    page.section(f"Classes of {shown}", Table(*_classes(report), bar="F1"))
    page.section("Definitions", Terms(DEFINITIONS))
    return page


def _facts(report: Report) -> list[str]:
    classes = f"{len(report.with_data)} of {len(report.labels)} classes have clips"
    facts = [f"{len(report.targets)} clips; {classes}. Protocol: {report.setting}."]
    backends = list(dict.fromkeys(trial.backend for trial in report.trials[: len(report.trials) - report.fused]))
    facts += [f"Fractions are in per cent. Ran on {'; '.join(backends)}."]
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
