"""The report of a data set as a folder: pictures, and a page that shows them with the figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from mmn_edge.datasets.check import ClassCount, Report
from mmn_edge.datasets.contact_sheet import Strip, contact_sheet, pages, representative
from mmn_edge.datasets.facts import ClipFacts
from mmn_edge.reports.page import Bullets, Heading, Page, Paragraph, Picture, Table
from mmn_edge.reports.svg import COLOURS, picture
from mmn_edge.skeleton import layouts
from mmn_edge.system.files import atomic_folder
from mmn_edge.system.replacing import check_replaceable

__all__ = ["check_folder", "figures", "write_report"]

SHEET = "contact_sheet.svg"

_CONTROLS = {code: " " for code in range(32) if code not in (9, 10)}

_GENERATOR = "mmn-edge data check"
"""How a page of this kind is told from anybody else's."""


def write_report(report: Report, folder: Path) -> tuple[str, ...]:
    """Write ``index.html`` and its pictures ``contact_sheet.svg``, ``classes.svg`` and ``lengths.svg``.

    More than 60 classes go on ``contact_sheet_2.svg`` and so on. An earlier folder is exchanged as a whole.

    Returns:
        The names of the files.
    """
    pictures: dict[str, str] = {}
    if report.facts:
        sheets = pages(_strips(report))
        for number, strips in enumerate(sheets):
            title = f"{Path(report.path).name}: one clip a class" + (
                f", {number + 1} of {len(sheets)}" if len(sheets) > 1 else ""
            )
            name = SHEET if number == 0 else f"contact_sheet_{number + 1}.svg"
            pictures[name] = contact_sheet(strips, _layout(report), title)
        pictures["classes.svg"] = _classes_picture(report)
        pictures["lengths.svg"] = _lengths_picture(report.facts)
    with atomic_folder(folder) as target:
        for name, text in {**pictures, "index.html": _page(report, pictures)}.items():
            # Names come from anywhere: control characters would break the XML, lone surrogates the encoding.
            (target / name).write_text(text.translate(_CONTROLS), encoding="utf-8", errors="replace")
    return (*pictures, "index.html")


def check_folder(path: Path) -> None:
    """Refuse to write a report over anything but an earlier one alone.

    Raises:
        UsageError: ``path`` holds something else.
    """
    check_replaceable(path, _objection)


def _objection(folder: Path) -> str | None:
    if not folder.is_dir():
        return "exists and is no folder"
    own = re.compile(r"index\.html|classes\.svg|lengths\.svg|contact_sheet(_\d+)?\.svg")
    if others := sorted(entry.name for entry in folder.iterdir() if not own.fullmatch(entry.name)):
        return f"holds {others[0]}"
    page = folder / "index.html"
    if page.is_file() and _GENERATOR not in page.read_text(encoding="utf-8", errors="replace")[:1000]:
        return "is no earlier report"
    return None


def figures(report: Report) -> list[tuple[str, str]]:
    """The report's main figures, as labels and texts."""
    rows = [("format", report.kind), ("clips", f"{report.clips}" + _and(report.broken, "that cannot be read"))]
    if report.splits:
        rows.append(("splits", ", ".join(f"{name} {count}" for name, count in report.splits.items())))
    rows.append(("classes", str(len(report.classes)) + _and(sum(not e.clips for e in report.classes), "of them empty")))
    if report.imbalance is not None:
        rows.append(("imbalance", f"{report.imbalance:.1f} to 1, largest to smallest class"))
    if report.lengths:
        frames = report.lengths
        single = f"; {frames.single} of one frame" if frames.single else ""
        rows.append(("frames", f"{frames.least} to {frames.greatest}, median {frames.median:g}{single}"))
        rows.append(("joints", f"{report.joints}, {report.coordinates}-D, probably in {report.units}"))
        guess = " or ".join(report.layout_guess)
        rows.append(
            ("layout", report.layout or (f"not named; by its joints {guess} (a guess)" if guess else "unknown"))
        )
    if report.missing is not None:
        rows.append(("missing joints", f"{report.missing:.1%}" + _worst(report.missing_joints)))
    return rows


def _and(count: int, what: str) -> str:
    return f", {count} {what}" if count else ""


def _worst(shares: dict[str, float]) -> str:
    worst = sorted(shares.items(), key=lambda item: -item[1])[:5]
    text = ", ".join(f"{name} {share:.0%}" for name, share in worst if share > 0)
    return f"; most often {text}" if text else ""


def _layout(report: Report) -> layouts.Layout | None:
    if report.layout is None and len(report.layout_guess) != 1:
        return None
    return layouts.get(report.layout or report.layout_guess[0])


def _strips(report: Report) -> list[Strip]:
    """One strip for each class that has clips of the most common (V, C)."""
    strips = []
    for entry in report.classes:
        shape = (report.joints, report.coordinates)
        chosen = representative([f for f in report.facts if f.label == entry.index and f.shape[1:] == shape])
        if chosen is not None:
            note = f"{entry.clips} clip{'s' * (entry.clips != 1)}; {chosen.entry.name}"
            strips.append(Strip(entry.name, note, chosen.entry.read().keypoints))
    return strips


def _classes_picture(report: Report) -> str:
    """Clips of every class as bars; splits side by side where every clip is in one of them at most."""
    stacked = all(sum(entry.splits.values()) <= entry.clips for entry in report.classes)
    splits = list(report.splits) if stacked and report.splits else []
    most = max(entry.clips for entry in report.classes)
    left, bar, row = 220, 640, 18
    height = 50 + row * len(report.classes) + 10
    parts: list[str] = []
    x = left
    loose = any(_bars(entry, splits)[-1] for entry in report.classes)
    for number, split in enumerate([*splits, *(["in no split"] if loose else [])] if splits else ["clips"]):
        colour = _colour(number, len(splits))
        parts.append(f'<rect x="{x}" y="14" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="24">{escape(split)}</text>')
        x += 40 + 7 * len(split)
    for number, entry in enumerate(report.classes):
        y = 44 + row * number
        name = entry.name if len(entry.name) <= 30 else entry.name[:29] + "…"
        parts.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        at = float(left)
        for part, count in enumerate(_bars(entry, splits)):
            length = bar * count / most if most else 0
            if length:
                colour = _colour(part, len(splits))
                parts.append(f'<rect x="{at:.1f}" y="{y}" width="{length:.1f}" height="{row - 4}" fill="{colour}"/>')
            at += length
        parts.append(f'<text x="{at + 6:.1f}" y="{y + 11}" fill="#555555">{entry.clips}</text>')
    return picture(left + bar + 80, height, parts)


def _bars(entry: ClassCount, splits: Sequence[str]) -> list[int]:
    counts = [entry.splits[split] for split in splits]
    return [*counts, entry.clips - sum(counts)]


def _colour(number: int, splits: int) -> str:
    if splits and number == splits:
        return "#bbbbbb"
    return COLOURS[number % len(COLOURS)]


def _lengths_picture(facts: Sequence[ClipFacts]) -> str:
    """How many clips have how many frames, in at most 40 bars."""
    lengths = np.array([fact.shape[0] for fact in facts])
    least, most = int(lengths.min()), int(lengths.max())
    step = max(-(-(most - least + 1) // 40), 1)
    counts = np.bincount((lengths - least) // step)
    left, bottom, wide, high = 50, 200, 800, 150
    slot = min(wide / len(counts), 40.0)
    parts: list[str] = []
    parts.append(
        f'<line x1="{left}" y1="{bottom}" x2="{left + slot * len(counts):.1f}" y2="{bottom}" stroke="#999999"/>'
    )
    every = max(-(-len(counts) // 10), 1)
    for number, count in enumerate(counts):
        x, tall = left + number * slot, high * count / counts.max()
        tip = f"{least + number * step}"
        last = least + (number + 1) * step - 1
        parts.append(
            f'<rect x="{x + 1:.1f}" y="{bottom - tall:.1f}" width="{slot - 2:.1f}" height="{tall:.1f}" '
            f'fill="{COLOURS[0]}"><title>{tip}{f" to {last}" if step > 1 else ""} frames: {count} clips</title></rect>'
        )
        if number % every == 0:
            parts.append(f'<text x="{x + slot / 2:.1f}" y="{bottom + 16}" text-anchor="middle">{tip}</text>')
    parts.append(f'<text x="{left - 6}" y="{bottom - high + 5}" text-anchor="end">{counts.max()}</text>')
    parts.append(f'<text x="{left - 6}" y="{bottom + 4}" text-anchor="end">0</text>')
    parts.append(f'<text x="{left}" y="24">clips by frames{f" (bars of {step} frames)" if step > 1 else ""}</text>')
    parts.append(f'<text x="{left}" y="{bottom + 36}" fill="#555555">frames</text>')
    return picture(left + wide + 30, bottom + 45, parts)


def _page(report: Report, pictures: dict[str, str]) -> str:
    page = Page(Path(report.path).name, generator=_GENERATOR)
    page.add(Table(["what", "found"], figures(report), words=2))
    for title, alarm, lines in (("Problems", True, report.problems), ("Warnings", False, report.warnings)):
        count = f" ({len(lines)})" if lines else ""
        page.section(title + count, Bullets(lines, alarm=alarm) if lines else Paragraph("none"))
    heads = {"classes.svg": "Clips by class", "lengths.svg": "Length of the clips", SHEET: "One clip a class"}
    for file in sorted(pictures, key=lambda file: (file not in ("classes.svg", "lengths.svg"), file)):
        if file in heads:
            page.add(Heading(heads[file]))
        page.add(Picture(pictures[file], file, heads.get(file, heads[SHEET])))
    return page.html()
