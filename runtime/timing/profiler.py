"""Percentiles of a run's latencies in one line, without intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["percentiles"]


def percentiles(milliseconds: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 90th and 99th percentile."""
    p50, p90, p99 = np.percentile(np.asarray(milliseconds), [50, 90, 99])
    return float(p50), float(p90), float(p99)
