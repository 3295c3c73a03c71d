"""The folder that an evaluation is kept in: data, pages, pictures and every single prediction."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection
from pathlib import Path

from mmn_edge.errors import UsageError
from mmn_edge.evaluation import page
from mmn_edge.evaluation.evaluation import TOP
from mmn_edge.evaluation.metrics import ranking, softmax
from mmn_edge.evaluation.report import FAMILY, Report
from mmn_edge.reports.confusion import confusion as draw_confusion
from mmn_edge.reports.reliability import reliability as draw_reliability
from mmn_edge.system.files import atomic_folder

__all__ = ["check_folder", "write_folder"]

DATA = "report.json"
FILES = (DATA, "report.md", "report.html", "confusion.svg", "reliability.svg", "predictions.csv")


def check_folder(path: Path, files: Collection[str] = FILES, family: str = FAMILY, data: str = DATA) -> None:
    """Refuse to write a report over anything but an earlier one.

    Args:
        path: The folder.
        files: The names of a report's files.
        family: What the ``schema`` of its data begins with.
        data: The one of them that holds the data.

    Raises:
        UsageError: ``path`` is a file, or a folder that holds anything else.
    """
    if path.is_dir():
        others = sorted({entry.name for entry in path.iterdir()} - set(files))
        if not any(path.iterdir()) or (not others and _is_report(path / data, family)):
            return
        what = f"holds {others[0]}" if others else "is no earlier report"
        raise UsageError(f"{path} {what}, so it was left alone: choose another folder with -o")
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists and is no folder, so it was left alone: choose another with -o")


def _is_report(file: Path, family: str) -> bool:
    try:
        return bool(json.loads(file.read_text(encoding="utf-8"))["schema"].startswith(family))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


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
    with atomic_folder(path) as folder:
        (folder / DATA).write_text(json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(page.markdown(report), encoding="utf-8")
        html = page.html(report, confusion=confusion, reliability=reliability)
        (folder / "report.html").write_text(html, encoding="utf-8")
        (folder / "confusion.svg").write_text(confusion, encoding="utf-8")
        (folder / "reliability.svg").write_text(reliability, encoding="utf-8")
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
