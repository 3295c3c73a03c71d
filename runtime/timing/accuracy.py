"""How good a model is, asked of the very session that is timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from mmn_edge.drift.windows import Windows
from mmn_edge.evaluation.evaluation import Scores
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.latency.report import Accuracy
from mmn_edge.runtime.backends.backend import Backend
from mmn_edge.runtime.bundle_classifier import as_classifier
from mmn_edge.runtime.timing.measuring import Loaded

__all__ = ["accuracy_of", "mark_front"]


def accuracy_of(loaded: Loaded, data: EvaluationSet, p50_ms: float, batch: int = 8) -> Accuracy:
    """Ask a loaded model all clips, each as one window.

    Args:
        loaded: A bundle's model.
        data: Labelled clips.
        p50_ms: Its median latency at one window a call.
        batch: Windows at once.

    Raises:
        DataError: Classes that the model does not know.
        LayoutError: Joints that do not fit it.
    """
    bundle = loaded.target.bundle
    if bundle is None:
        raise AssertionError("checked by the command")
    model = as_classifier(bundle, cast("Backend", loaded.runner))
    windows = Windows.of_clips(data, model)
    trial = windows.ask(model, batch=batch)
    if windows.targets is None:
        raise AssertionError("labelled clips have targets")
    scores = Scores.of(trial.logits, windows.targets, windows.labels, trial.temperature)
    low, high = scores.top1_interval
    return Accuracy(
        model=loaded.target.name,
        precision=loaded.runner.precision,
        backend=loaded.runner.name,
        data=data.name,
        clips=scores.clips,
        top1=scores.top1,
        low=low,
        high=high,
        p50_ms=p50_ms,
    )


def mark_front(entries: Sequence[Accuracy]) -> list[Accuracy]:
    """Mark what nothing beats in both accuracy and latency, and the fastest of the most accurate."""
    if not entries:
        return []
    best = max(entry.top1 for entry in entries)
    choice = min((entry for entry in entries if entry.top1 == best), key=lambda entry: entry.p50_ms)
    return [
        replace(
            entry,
            front=not any(
                other.top1 >= entry.top1
                and other.p50_ms <= entry.p50_ms
                and (other.top1 > entry.top1 or other.p50_ms < entry.p50_ms)
                for other in entries
            ),
            choice=entry is choice,
        )
        for entry in entries
    ]
