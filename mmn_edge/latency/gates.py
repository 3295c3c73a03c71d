"""Gates for continuous integration: whether latencies stay within what was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmn_edge.errors import DataError, UsageError
from mmn_edge.latency.comparison import Comparison, ratio_of_medians
from mmn_edge.latency.measurement import Measurement, interval_words, percentile_words
from mmn_edge.latency.report import Earlier

__all__ = ["Outcome", "against_baseline", "against_limit", "in_comparison", "milliseconds", "share"]

UNITS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "": 1.0}


@dataclass(frozen=True)
class Outcome:
    """What a gate found.

    Attributes:
        passed: Whether it holds.
        words: Why, in a sentence.
    """

    passed: bool
    words: str


def milliseconds(text: str) -> float:
    """``20ms``, ``20``, ``0.02s`` or ``900us`` in milliseconds.

    Raises:
        UsageError: It is something else, or not positive.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|µs|ms|s|)\s*", text)
    value = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not value > 0:
        raise UsageError(f"a time is written as 20ms, 900us or 0.5s, not {text!r}")
    return value


def share(text: str) -> float:
    """``5%`` or ``5`` as 0.05.

    Raises:
        UsageError: It is something else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%?\s*", text)
    if not match:
        raise UsageError(f"a share is written as 5% or 2.5%, not {text!r}")
    return float(match[1]) / 100


def against_limit(measurements: Sequence[Measurement], limit_ms: float) -> list[Outcome]:
    """Whether the 99th percentile of every setting is at most ``limit_ms``.

    One that is not known fails, unless no call at all took longer.
    """
    outcomes = []
    for entry in measurements:
        summary = entry.summary()
        found = summary.percentile(99)
        if found.estimate is None:
            within = summary.maximum <= limit_ms
            words = f"p99 is not known ({entry.title}), it takes {found.more_calls} more calls: give more --seconds"
            if within:
                words += f". None of {summary.calls} calls took longer than {limit_ms:g} ms"
            outcomes.append(Outcome(within, words))
            continue
        passed = found.estimate.value <= limit_ms
        words = f"p99 is {percentile_words(summary, 99)} ms, {limit_ms:g} ms are allowed ({entry.title})"
        outcomes.append(Outcome(passed, words))
    return outcomes


def against_baseline(measurements: Sequence[Measurement], baseline: Earlier, slower: float) -> list[Outcome]:
    """Whether the median of every setting is at most ``slower`` above that of the baseline.

    A gate fails where the ratio is above and its interval excludes 1: noise alone fails no gate. Where the ratio is
    above but the interval holds 1, that is said.

    Raises:
        DataError: The baseline has none of the settings.
    """
    earlier = {entry.key: entry for entry in baseline.measurements}
    outcomes = []
    for entry in measurements:
        before = earlier.get(entry.key)
        if before is None:
            continue
        ratio = ratio_of_medians(before.samples_ms, entry.samples_ms)
        outcomes.append(
            _outcome(
                ratio.value,
                ratio.low or 0.0,
                slower,
                f"the ratio of medians is {interval_words(ratio)} ({entry.title})",
            )
        )
    if not outcomes:
        raise DataError(
            f"{baseline.path} has none of these settings (backend, precision, threads, batch, scope): measure the "
            "baseline with the same options"
        )
    return outcomes


def in_comparison(found: Comparison, slower: float) -> Outcome:
    """Whether B is at most ``slower`` above A."""
    ratio = found.typical
    return _outcome(ratio.value, ratio.low or 0.0, slower, f"the typical ratio is {interval_words(ratio)} (B over A)")


def _outcome(ratio: float, low: float, slower: float, words: str) -> Outcome:
    text = f"{words}, {1 + slower:.3g} is allowed"
    if ratio > 1 + slower and low <= 1:
        return Outcome(True, f"{text}: above it, but the interval holds 1. Measure for longer (--seconds)")
    return Outcome(ratio <= 1 + slower, text)
