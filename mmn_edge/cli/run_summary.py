"""What ``mmn-edge run`` tells at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmn_edge.model.presets import Window
    from mmn_edge.runtime.counters import Counters, SourceCounters
    from mmn_edge.runtime.recognizer import Recognizer

__all__ = ["summary"]


def summary(counters: Counters, recognizers: Sequence[Recognizer], window: Window) -> str:
    """A few lines for standard error.

    Args:
        counters: What was counted.
        recognizers: One a source.
        window: The model's.
    """
    sources = list(counters.sources.values())
    lines = []
    if len(sources) > 1:
        lines += [f"{source.name}: {_counts(source)}" for source in sources]
    spent = max((_spent(source) for source in sources), default=0.0)
    lines.append(
        f"{counters.frames} frames, {counters.predictions} predictions in {spent:.1f} s, {counters.events} events"
    )
    lines += _percentiles(sources)
    lines += _live(counters)

    def total(name: str) -> int:
        return sum(int(getattr(recognizer, name)) for recognizer in recognizers)

    if brief := total("brief"):
        too_brief = f", {total('too_brief')} of them too briefly to predict" if total("too_brief") else ""
        lines.append(f"seen for less than a window of {window.seconds:g} s: {brief} persons{too_brief}")
    if count := total("not_enough_seen"):
        lines.append(f"not enough seen for an answer: {count} predictions (--enough-seen)")
    if count := total("not_finite"):
        lines.append(f"the model gave no finite number: {count} predictions")
    if count := total("jumps"):
        lines.append(f"bodies that jumped, so that a window began anew: {count}")
    if total("own_ids"):
        lines.append("ids did not follow the persons, and were given by place and movement")
    if not counters.predictions:
        reason = "nobody was seen for long enough" if any(source.somebody for source in sources) else "nobody was seen"
        if total("clock_failed"):
            reason = "the time stamps were no clock"
        lines.append(f"{reason}, so there was nothing to predict")
    return "\n".join(lines)


def _counts(source: SourceCounters) -> str:
    counts = f"{source.frames} frames, {source.predictions} predictions, {source.events} events"
    return f"{counts}; failed" if source.state == "failed" else counts


def _spent(source: SourceCounters) -> float:
    return 0.0 if source.began is None or source.arrived is None else source.arrived - source.began


def _percentiles(sources: Sequence[SourceCounters]) -> list[str]:
    from mmn_edge.runtime.timing.profiler import percentiles

    stages: dict[str, list[float]] = {}
    for source in sources:
        for stage, values in source.latencies.items():
            stages.setdefault(stage, []).extend(values)
        if source.ages:
            stages.setdefault("age", []).extend(source.ages)
    if not stages:
        return []
    rows = [f"{stage:12} " + " ".join(f"{p:8.2f}" for p in percentiles(values)) for stage, values in stages.items()]
    return [f"{'latency, ms':12} {'p50':>8} {'p90':>8} {'p99':>8}", *rows]


def _live(counters: Counters) -> list[str]:
    """How live sources and slow outputs did; nothing where there is nothing to say."""
    lines = []
    for source in counters.sources.values():
        if not source.live:
            continue
        name = f"{source.name}: " if len(counters.sources) > 1 else ""
        spent = _spent(source)
        parts = [f"{(source.frames - 1) / spent:.1f} frames/s"] if spent > 0 and source.frames > 1 else []
        if source.ages:
            parts.append(f"at most {source.lag_max_ms / 1e3:.2f} s behind")
        parts += [f"{source.dropped} frames dropped", f"{source.skipped} windows skipped"]
        if source.reconnects:
            parts.append(f"{source.reconnects} reconnects")
        lines.append(name + ", ".join(parts))
    lines += [f"too slow for {sink.dropped} items: {sink.name}" for sink in counters.sinks if sink.dropped]
    return lines
