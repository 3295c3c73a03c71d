"""The advice of ``mmn-edge convert --precision auto``: accuracy and latency of each precision, on this machine."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.bundle.manifest import PRECISIONS
from mmn_edge.cli import terminal

if TYPE_CHECKING:
    from mmn_edge.bundle.advice import Advice

__all__ = ["AUTO", "advise"]

AUTO = "auto"
REFERENCE_BACKEND = "onnxruntime"
MAX_WINDOWS = 256
BATCH = 16


def advise(path: Path, data: Path, split: str | None) -> None:
    """Measure a bundle's precisions with what runs them here, choose one, and keep both in the bundle.

    Args:
        path: The bundle.
        data: Labelled clips that accuracy is measured on, at most 256 of them.
        split: Their split; None means ``val``, or ``test``, or all clips.

    Raises:
        DataError: The clips cannot be read, or have classes that the model does not know.
        LayoutError: The clips' joints do not fit the model.
        VerificationError: No precision stays within its limits; the bundle is as it was.
    """
    from mmn_edge.bundle import advice as advising
    from mmn_edge.bundle.bundle import Bundle
    from mmn_edge.bundle.writing import set_advice
    from mmn_edge.drift.drift import limits_for
    from mmn_edge.drift.report import Verdict
    from mmn_edge.drift.windows import Windows
    from mmn_edge.evaluation import testset
    from mmn_edge.runtime.bundle_classifier import open_classifier
    from mmn_edge.runtime.timing.profiler import percentiles
    from mmn_edge.runtime.timing.turns import ROUNDS, measure_in_turns
    from mmn_edge.system import machine

    note = functools.partial(click.echo, err=True)
    bundle = Bundle.open(path)
    precisions = [precision for precision in PRECISIONS if precision in bundle.manifest.models]
    clips = testset.read(data, split if split is not None else testset.default_split(data))
    terminal.warn(clips.findings, data)

    with open_classifier(bundle, precision=precisions[0], backend=REFERENCE_BACKEND) as model:
        windows = Windows.of_clips(clips, model, MAX_WINDOWS)
        inputs = windows.inputs(model, slice(0, 1))
        with terminal.progress(len(windows.keypoints) * (1 + len(precisions))) as advance:
            reference = windows.ask(model, batch=BATCH, on_batch=advance)
            trials = []
            for precision in precisions:
                with open_classifier(bundle, precision=precision, on_note=note) as candidate:
                    trials.append(windows.ask(candidate, batch=BATCH, on_batch=advance))
    with terminal.progress(ROUNDS, "rounds of timing") as advance:
        spent = measure_in_turns(bundle, precisions, inputs, on_round=lambda number: advance(min(number, 1)))
    candidates = []
    for trial in trials:
        verdict = Verdict.of(trial, reference, windows.targets, limits_for(trial.precision))
        p50, p90, _ = percentiles(spent[trial.precision])
        drift = verdict.drift
        candidates.append(
            advising.Candidate(
                precision=trial.precision,
                backend=trial.backend,
                p50_ms=p50,
                p90_ms=p90,
                runs=len(spent[trial.precision]),
                agreement=drift.agreement,
                max_probability_difference=drift.to_dict()["max_probability_difference"],
                lost=drift.accuracy.lost if drift.accuracy is not None else None,
                broken=verdict.broken,
            )
        )
    words = f"{len(windows.keypoints)} windows of {windows.name}"
    advice = advising.advise(candidates, windows=words, machine=machine.describe())
    set_advice(path, advice)
    _print(advice)


def _print(advice: Advice) -> None:
    """The candidates and the choice, on standard output."""
    rows = []
    for entry in advice.candidates:
        moved = entry.max_probability_difference
        rows.append(
            [
                entry.precision,
                entry.backend,
                f"{entry.p50_ms:.2f} / {entry.p90_ms:.2f}",
                f"{100 * entry.agreement:.1f}",
                f"{moved:.2g}" if moved is not None else "not finite",
                f"{100 * entry.lost:.2f}" if entry.lost is not None else "-",
            ]
        )
    header = ["precision", "backend", "ms p50 / p90", "agrees, %", "Δ p max", "points lost"]
    terminal.show(header, rows, words=2)
    for entry in advice.candidates:
        click.echo(f"  {entry.precision:8}  {entry.verdict}")
    click.echo(f"on {advice.windows}, one window a call: run and profile take {advice.precision} by default now")
