"""A latency report as tables of text, for the terminal and for pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmn_edge.latency.comparison import Comparison
from mmn_edge.latency.measurement import Measurement, interval_words, number_words, percentile_words
from mmn_edge.latency.report import Accuracy, Earlier, Operator
from mmn_edge.latency.statistics import summarise

__all__ = [
    "accuracies",
    "boards",
    "comparison",
    "groups",
    "latencies",
    "operators",
    "paced",
    "percentiles",
    "stages",
    "starts",
]

Rows = tuple[list[str], list[list[str]]]

MOST_OPERATORS = 8


def groups(measurements: Iterable[Measurement]) -> list[tuple[str, list[Measurement]]]:
    """Measurements of the same model, precision, backend and scope together, with a title."""
    found: dict[tuple[str, str, str, str], list[Measurement]] = {}
    for entry in measurements:
        found.setdefault((entry.model, entry.precision, entry.backend, entry.scope), []).append(entry)
    return [(f"{key[0]}, {key[1]} on {key[2]}", entries) for key, entries in found.items()]


def latencies(measurements: Sequence[Measurement]) -> Rows:
    """One row a setting, back to back; fits 80 columns."""
    header = ["threads", "batch", "p50 ms [95 %]", "p90", "p99 ms [95 %]", "max", "windows/s"]
    rows = []
    for entry in measurements:
        summary, throughput = entry.summary(), entry.throughput()
        if throughput is None:
            continue
        p90 = summary.percentile(90).estimate
        rows.append(
            [
                _threads(entry),
                str(entry.batch),
                percentile_words(summary, 50),
                "-" if p90 is None else number_words(p90.value),
                percentile_words(summary, 99),
                number_words(summary.maximum),
                f"{throughput.windows_per_second:.1f}",
            ]
        )
    return header, rows


def percentiles(measurements: Sequence[Measurement]) -> Rows:
    """All percentiles with their intervals."""
    header = ["setting", "calls", "min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max", "outliers", "dependence"]
    rows = []
    for entry in measurements:
        summary = entry.summary()
        rows.append(
            [
                entry.title,
                str(summary.calls),
                number_words(summary.minimum),
                interval_words(summary.mean),
                *(percentile_words(summary, found.percent) for found in summary.percentiles),
                number_words(summary.maximum),
                f"{summary.outliers} > {number_words(summary.outlier_ms)}",
                f"{summary.dependence:.1f}",
            ]
        )
    return header, rows


def starts(measurements: Sequence[Measurement]) -> Rows:
    """Loading, the first call, and what was not counted."""
    header = ["setting", "load ms", "first call ms", "warm-up", "throughput: slowest to fastest turn"]
    rows = []
    for entry in measurements:
        throughput = entry.throughput()
        turns = "-" if throughput is None else f"{throughput.slowest_turn:.1f} to {throughput.fastest_turn:.1f}"
        rows.append(
            [
                entry.title,
                f"{entry.load_ms:.0f}",
                f"{entry.first_call_ms:.1f}",
                f"{entry.warm_up_calls} calls, {entry.warm_up_ms:.0f} ms",
                turns,
            ]
        )
    return header, rows


def paced(measurements: Sequence[Measurement]) -> Rows:
    """How settings kept up with a frame rate."""
    header = ["threads", "batch", "frames/s", "missed", "skipped", "p50 ms", "age p50", "age p99 ms"]
    rows = []
    for entry in measurements:
        if entry.pace is None:
            continue
        ages, pace = summarise(entry.pace.ages_ms), entry.pace
        rows.append(
            [
                _threads(entry),
                str(entry.batch),
                f"{pace.fps:g}",
                f"{pace.misses} of {pace.frames}",
                str(pace.skipped),
                percentile_words(entry.summary(), 50),
                percentile_words(ages, 50),
                percentile_words(ages, 99),
            ]
        )
    return header, rows


def stages(entry: Measurement) -> Rows:
    """The stages of a pipeline, which sum up to the whole."""
    total = sum(entry.samples_ms)
    header = ["stage", "mean ms", "share, %"]
    rows = [
        [name, number_words(sum(values) / len(values)), f"{100 * sum(values) / total:.1f}"]
        for name, values in entry.stages_ms.items()
    ]
    rows.append(["all together", number_words(total / len(entry.samples_ms)), "100.0"])
    return header, rows


def operators(entries: Sequence[Operator], most: int = MOST_OPERATORS) -> list[tuple[str, Rows]]:
    """Kinds of operators, longest first, with a title for each model."""
    found: dict[str, list[Operator]] = {}
    for entry in entries:
        found.setdefault(f"{entry.model}, {entry.precision}: operators by {entry.backend}'s profiler", []).append(entry)
    return [
        (
            title,
            (
                ["operator", "count", "ms a call", "share, %"],
                [[o.kind, str(o.count), f"{o.ms:.3f}", f"{100 * o.share:.1f}"] for o in group[:most]],
            ),
        )
        for title, group in found.items()
    ]


def accuracies(entries: Sequence[Accuracy]) -> Rows:
    """Accuracy beside latency; the front is marked."""
    header = ["precision", "backend", "top-1 %", "95 %", "p50 ms", "front"]
    rows = [
        [
            entry.precision,
            entry.backend,
            f"{100 * entry.top1:.1f}",
            f"[{100 * entry.low:.1f}, {100 * entry.high:.1f}]",
            number_words(entry.p50_ms),
            "fastest without loss" if entry.choice else "yes" if entry.front else "",
        ]
        for entry in entries
    ]
    return header, rows


def comparison(found: Comparison) -> Rows:
    """The ratios of two models."""
    header = ["B over A", "ratio", "95 % interval"]
    rows = [
        [name, f"{ratio.value:.3f}", f"[{ratio.low or 0:.3f}, {ratio.high or 0:.3f}]"]
        for name, ratio in (("typical", found.typical), ("p50", found.median), ("mean", found.mean), ("p90", found.p90))
    ]
    return header, rows


def boards(reports: Sequence[Earlier]) -> Rows:
    """Reports of several machines in one table: one row a setting and machine, settings together."""
    header = [
        "machine",
        "precision",
        "backend",
        "threads",
        "batch",
        "mode",
        "p50 ms",
        "p99 ms",
        "windows/s",
        "warnings",
    ]
    found = []
    for report in reports:
        name = report.machine.get("jetson model") or report.machine.get("processor") or report.path.name
        if mode := report.machine.get("power mode"):
            name += f", {mode}"
        for entry in report.measurements:
            summary, throughput = entry.summary(), entry.throughput()
            row = [
                name,
                entry.precision,
                entry.backend,
                _threads(entry),
                str(entry.batch),
                entry.mode,
                percentile_words(summary, 50),
                percentile_words(summary, 99),
                "-" if throughput is None else f"{throughput.windows_per_second:.1f}",
                str(len(report.warnings)),
            ]
            found.append((entry.key, row))
    return header, [row for _, row in sorted(found, key=lambda item: item[0])]


def _threads(entry: Measurement) -> str:
    return "auto" if entry.threads is None else str(entry.threads)
