"""The folder that an evaluation is kept in: data, pages, pictures and every single prediction."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from mmn_edge.evaluation.evaluation import TOP
from mmn_edge.evaluation.metrics import ranking, softmax
from mmn_edge.evaluation.mistakes import mistakes
from mmn_edge.evaluation.page import build
from mmn_edge.evaluation.report import FAMILY, Report
from mmn_edge.reports.confusion import confusion as draw_confusion
from mmn_edge.reports.folder import DATA
from mmn_edge.reports.folder import check_folder as check_report_folder
from mmn_edge.reports.reliability import reliability as draw_reliability
from mmn_edge.system.files import atomic_folder

__all__ = ["check_folder", "write_folder"]

MISTAKES = "mistakes.svg"
FILES = (DATA, "report.md", "report.html", "confusion.svg", "reliability.svg", MISTAKES, "predictions.csv")


def check_folder(path: Path) -> None:
    """Refuse to write an evaluation over anything but an earlier one.

    Raises:
        UsageError: See :func:`mmn_edge.reports.folder.check_folder`.
    """
    check_report_folder(path, FILES, FAMILY)


def write_folder(report: Report, path: Path) -> None:
    """Write the report's files, all or none.

    Raises:
        UsageError: See :func:`check_folder`.
    """
    check_folder(path)
    shown = report.scores[report.shown]
    confusion = draw_confusion(shown.confusion, report.labels, title=_title(report, "Confusion"))
    if report.fits and not report.fused:
        fit = report.fits[report.shown]
        panels = [
            (f"before, T = {fit.earlier:.3g}", fit.before),
            ("after, temperature of the other half", fit.after),
        ]
    else:
        panels = [(report.trials[report.shown].name, shown.reliability)]
    reliability = draw_reliability(panels)
    sheet = mistakes(report, _title(report, "Worst mistakes"))
    page = build(report, confusion=confusion, reliability=reliability, mistakes=sheet)
    with atomic_folder(path) as folder:
        (folder / DATA).write_text(json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(page.markdown(), encoding="utf-8")
        (folder / "report.html").write_text(page.html(), encoding="utf-8")
        (folder / "confusion.svg").write_text(confusion, encoding="utf-8")
        (folder / "reliability.svg").write_text(reliability, encoding="utf-8")
        if sheet is not None:
            (folder / MISTAKES).write_text(sheet, encoding="utf-8")
        _write_predictions(report, folder / "predictions.csv")


def _title(report: Report, what: str) -> str:
    return f"{what}: {report.trials[report.shown].name} on {report.data.name}"


def _write_predictions(report: Report, path: Path) -> None:
    """One line a clip: its label, and the likeliest classes with their probabilities."""
    trial, names = report.trials[report.shown], report.labels.classes
    logits = trial.limited(report.allowed)
    count = min(TOP, len(names) if report.allowed is None else len(report.allowed))
    probabilities = softmax(logits / trial.temperature)
    header = ["clip", "true", "predicted", "probability"]
    header += [f"{what}_{rank}" for rank in range(2, count + 1) for what in ("predicted", "probability")]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number, best in enumerate(ranking(logits, count)):
            pairs = [(names[index], f"{probabilities[number, index]:.6f}") for index in best]
            clip = report.data.clips[number]
            writer.writerow([clip.name, names[report.targets[number]], *(value for pair in pairs for value in pair)])
