"""``mmn-edge events tune``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.options import backend_option, find_bundle, model_option, precision_option
from mmn_edge.errors import DataError

if TYPE_CHECKING:
    from mmn_edge.bundle.bundle import Bundle
    from mmn_edge.events.series import Series
    from mmn_edge.events.tuning import Tuning
    from mmn_edge.runtime.backends.backend import Backend

__all__ = ["MEASURES", "find_recordings", "read_series", "tune"]

MEASURES = ("event_f1", "event_f1_macro", "detection_map", "frame_f1")


@click.command()
@click.argument("recordings", type=click.Path(exists=True, path_type=Path))
@click.argument("annotations", type=click.Path(exists=True, path_type=Path))
@model_option
@click.option("--measure", type=click.Choice(MEASURES), default=MEASURES[0], show_default=True, help="What to raise.")
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Of the cross-validation.")
@click.option(
    "--max-delay",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="The median start may be said so long after the true onset.  [default: any]",
)
@click.option("--look-ahead", is_flag=True, help="For recordings decoded after the fact, not for live streams.")
@click.option("--dry-run", is_flag=True, help="Write nothing into the bundle.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@backend_option
@precision_option
@click.option("--threads", type=click.IntRange(1, 256), help="Threads of ONNX Runtime on the CPU.")
def tune(
    recordings: Path,
    annotations: Path,
    model: Path | None,
    measure: str,
    folds: int,
    max_delay: float | None,
    look_ahead: bool,
    dry_run: bool,
    as_json: bool,
    backend: str | None,
    precision: str | None,
    threads: int | None,
) -> None:
    """Fit a bundle's event decoder to annotated recordings, and say what that gains.

    RECORDINGS is a recording (.jsonl), a video, or a folder of them, each called as ANNOTATIONS calls it: a file or a
    folder in any format of 'mmn-edge events'. The model stays as it is; thresholds, smoothing, durations and lags are
    fitted. What is gained is measured by cross-validation over the recordings. Without annotations there is one knob:
    mmn-edge run --sensitivity.

    \b
    Examples:
      mmn-edge events tune recordings/ annotations/ --model model.bundle
      mmn-edge events tune recordings/ coded.csv --model model.bundle --max-delay 0.5
      mmn-edge events tune recordings/ coded.csv --model model.bundle --dry-run --json
    """
    from mmn_edge.bundle.writing import set_decoder
    from mmn_edge.cli.engines import open_ready
    from mmn_edge.events import formats
    from mmn_edge.events.tuning import tune as fit
    from mmn_edge.runtime.event_stage import parameters_of
    from mmn_edge.runtime.prediction_series import model_of

    path = find_bundle(model)
    bundle, ready = open_ready(path, backend, precision=precision, threads=threads)
    truth = formats.read(annotations, labels=bundle.manifest.labels)
    files = find_recordings(recordings, truth.annotated)
    with ready as loaded:
        series = read_series(bundle, loaded, files)
    with terminal.following("fitting") as follow:

        def step(done: int, steps: int) -> None:
            follow(f"fitted {done} of {steps} times", done / steps)

        tuning = fit(
            model_of(bundle),
            series,
            truth,
            parameters_of(bundle),
            measure=measure,
            folds=folds,
            max_delay=max_delay,
            look_ahead=look_ahead,
            on_step=step,
        )
    if not dry_run:
        set_decoder(bundle.path, tuning.parameters.to_dict())
    if as_json:
        click.echo(json.dumps(_document(tuning, None if dry_run else bundle.path), ensure_ascii=False))
    else:
        click.echo(_text(tuning, len(files)))
        click.echo("nothing was written (--dry-run)" if dry_run else f"wrote the parameters into {bundle.path}")


def find_recordings(path: Path, annotated: Sequence[str]) -> dict[str, Path]:
    """Recordings and videos by the name that annotations call them by.

    Raises:
        DataError: An annotated recording is not there, or two files have its name.
    """
    files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
    found: dict[str, Path] = {}
    for name in annotated:
        fitting = [file for file in files if name in (file.name.split(".")[0], file.stem, file.name)]
        if not fitting:
            raise DataError(f"{path} holds no recording {name!r}, which the annotations name")
        if len(fitting) > 1:
            raise DataError(f"{fitting[0]} and {fitting[1]} could both be the recording {name!r}: keep one of them")
        found[name] = fitting[0]
    return found


def read_series(bundle: Bundle, backend: Backend, files: dict[str, Path]) -> list[Series]:
    """Run recordings through a model, one after the other, and say how far it is."""
    from mmn_edge.runtime.prediction_series import predict_series
    from mmn_edge.runtime.sources.grammar import open_source

    series = []
    with terminal.following("reading") as follow:
        for number, (name, file) in enumerate(files.items()):
            follow(f"{file.name}, {number + 1} of {len(files)} recordings", number / len(files))
            with open_source(str(file)) as stream:
                series.append(predict_series(bundle, backend, stream, name))
    return series


def _document(tuning: Tuning, written: Path | None) -> dict[str, object]:
    gain, low, high = tuning.gain
    return {
        "measure": tuning.measure,
        "before": tuning.before.measures[tuning.measure],
        "after": tuning.after.measures[tuning.measure],
        "gain": gain,
        "interval": [low, high],
        "gains_by_fold": list(tuning.gains),
        "recordings_by_fold": list(tuning.folds),
        "scores_before": tuning.before.to_dict(),
        "scores_after": tuning.after.to_dict(),
        "parameters": tuning.parameters.to_dict(),
        "written": str(written) if written else None,
    }


def _text(tuning: Tuning, recordings: int) -> str:
    gain, low, high = tuning.gain
    lines = [f"{tuning.measure} on {recordings} recordings, each scored with parameters fitted to the others:"]
    rows: tuple[tuple[str, Callable[[dict[str, object]], object]], ...] = (
        (tuning.measure, lambda m: m.get(tuning.measure)),
        ("onset delay, median s", lambda m: _median(m.get("onset_delay_s"))),
        ("onset error, median s", lambda m: _median(m.get("onset_error_s"))),
        ("false events an hour", lambda m: m.get("false_events_per_hour")),
    )
    lines.append(f"{'':24} {'before':>8} {'after':>8}")
    for name, value in rows:
        pair = (value(tuning.before.measures), value(tuning.after.measures))
        lines.append(f"{name:24} " + " ".join(f"{one:8.3f}" if isinstance(one, float) else f"{'-':>8}" for one in pair))
    lines.append(
        f"gained {gain:+.3f} a fold on average, 95 % interval {low:+.3f} to {high:+.3f} over {len(tuning.gains)} folds"
    )
    if low <= 0:
        lines.append("the interval holds 0: these recordings do not show that anything is gained")
    return "\n".join(lines)


def _median(entry: object) -> object:
    return entry.get("median") if isinstance(entry, dict) else None
