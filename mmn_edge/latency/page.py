"""A latency report as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import mmn_edge
from mmn_edge.latency import charts, tables
from mmn_edge.latency.report import Earlier, Report
from mmn_edge.reports.page import Bullets, Page, Paragraph, Picture, Table

__all__ = ["boards_page", "page"]


def page(report: Report) -> Page:
    """The whole report: figures first, then how far they can be trusted, then the machine."""
    first = report.measurements[0] if report.measurements else None
    model = first.model if first else report.comparison.a if report.comparison else "nothing"
    found = Page(f"Latency of {model}", generator=f"mmn-edge {mmn_edge.__version__}")
    place = report.machine.get("jetson model") or report.machine.get("processor", "an unknown machine")
    mode = report.machine.get("power mode")
    found.add(Paragraph(f"Measured {report.created} on {place}{f', power mode {mode}' if mode else ''}."))
    warnings = report.warnings
    found.add(Bullets([f"Warning: {warning}." for warning in warnings], alarm=True))
    if not warnings:
        found.add(Paragraph("The machine was quiet and steady while this was measured."))
    if report.comparison is not None:
        _comparison(found, report)
    if report.accuracies:
        scope = first.scope if first else ""
        found.section(
            "Accuracy beside latency",
            Paragraph(f"{report.accuracies[0].clips} clips of {report.accuracies[0].data}, asked in the same run."),
            Table(*tables.accuracies(report.accuracies), words=2),
            Picture(charts.front(report.accuracies, scope), "front.svg", "Accuracy against latency"),
        )
    calls = [entry for entry in report.measurements if not entry.stages_ms]
    if calls:
        found.section("Throughput", Picture(charts.throughput_chart(calls), "throughput.svg", "Measured throughput"))
    for number, (title, entries) in enumerate(tables.groups(report.measurements)):
        found.section(title, Paragraph(f"What is timed: {entries[0].scope}."))
        if any(entry.turns for entry in entries):
            found.add(Table(*tables.latencies(entries), words=0))
        if any(entry.pace for entry in entries):
            found.add(Paragraph("At a frame rate, asleep between:"), Table(*tables.paced(entries), words=0))
        for entry in entries:
            if entry.stages_ms:
                found.add(Paragraph("Where the time goes:"), Table(*tables.stages(entry), words=1))
        found.add(Picture(charts.percentile_chart(entries), f"percentiles{number}.svg", "Percentiles"))
        for place_in, entry in enumerate(entries):
            name = f"{number}-{place_in}.svg"
            found.add(Picture(charts.histogram(entry), f"histogram{name}", f"Histogram: {entry.title}"))
            found.add(Picture(charts.timeline(entry), f"timeline{name}", f"Timeline: {entry.title}"))
    for title, table in tables.operators(report.operators):
        found.section(title, Paragraph("Profiling makes calls slower: shares tell more than times."), Table(*table))
    if report.measurements:
        found.section(
            "All figures",
            Paragraph(
                "Milliseconds, with 95 % intervals from order statistics; a percentile is given where both bounds of "
                "its interval exist, else how many more calls it takes. Dependence: by how much the calls are worth "
                "fewer than independent ones would be."
            ),
            Table(*tables.percentiles(report.measurements)),
            Table(*tables.starts(report.measurements)),
        )
    _machine(found, report)
    return found


def boards_page(reports: Sequence[Earlier]) -> Page:
    """Reports of several machines in one table."""
    found = Page("Latency on several machines", generator=f"mmn-edge {mmn_edge.__version__}")
    scopes = list(dict.fromkeys(entry.scope for report in reports for entry in report.measurements))
    found.add(Paragraph("What is timed: " + "; ".join(scopes) + "."), Table(*tables.boards(reports), words=3))
    for report in reports:
        if report.warnings:
            found.section(f"Warnings of {report.path.name}", Bullets([f"{w}." for w in report.warnings], alarm=True))
    return found


def _comparison(found: Page, report: Report) -> None:
    comparison = report.comparison
    if comparison is None:
        return
    found.section(
        "A against B",
        Paragraph(comparison.verdict + ".", bold=True),
        Paragraph(f"A: {comparison.a}, p50 {comparison.a_ms:.4g} ms. What is timed: {comparison.scopes[0]}."),
        Paragraph(f"B: {comparison.b}, p50 {comparison.b_ms:.4g} ms. What is timed: {comparison.scopes[1]}."),
        Paragraph(
            f"{comparison.rounds} rounds A B B A or B A A B in one process, {comparison.calls} calls each, both loaded "
            "anew four times; intervals from a bootstrap over rounds. Typical is the ratio of the shortest calls of a "
            "round, the median of all rounds: that one counts. Differences below "
            f"{100 * comparison.noise:g} % are none."
        ),
        Table(*tables.comparison(comparison)),
        Picture(charts.ratios(comparison), "ratios.svg", "Ratios with intervals"),
    )


def _machine(found: Page, report: Report) -> None:
    before, after = report.before, report.after
    rows = [[name, fact] for name, fact in report.machine.items()]
    hashes = {entry.sha256 for entry in report.measurements if entry.sha256}
    rows += [["SHA-256 of the model" + "s" * (len(hashes) > 1), ", ".join(sorted(hashes))]] if hashes else []
    rows += [[f"memory: {name}", f"{size:.0f} MiB"] for name, size in report.memory.items()]
    found.section("The machine", Table(["what", "value"], rows, words=2))
    states = [
        ["load average, 1 minute", before.load, after.load],
        ["mean clock of the cores, MHz", before.cpu_mhz, after.cpu_mhz],
        ["clock of the GPU, MHz", before.gpu_mhz, after.gpu_mhz],
        *([f"{zone}, °C", before.temperatures.get(zone), value] for zone, value in after.temperatures.items()),
    ]
    table = [
        [str(name), *("-" if value is None else f"{value:.4g}" for value in values)]
        for name, *values in states
        if any(value is not None for value in values)
    ]
    if report.elsewhere is not None:
        table.append(["cores taken by other processes meanwhile", "", f"{report.elsewhere:.2f}"])
    found.add(Table(["state", "before", "after"], table), Bullets([f"{note}." for note in report.notes]))
