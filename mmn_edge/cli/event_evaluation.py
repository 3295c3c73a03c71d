"""``mmn-edge evaluate --events``: how good a bundle's events are on annotated recordings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from mmn_edge.cli import terminal
from mmn_edge.errors import UsageError

__all__ = ["evaluate_events"]


def evaluate_events(
    models: Sequence[str],
    recordings: Path,
    annotations: Path,
    *,
    output: Path | None,
    as_json: bool,
    precision: str | None,
    backend: str | None,
    threads: int | None,
) -> None:
    """Run annotated recordings through bundles, decode as a live stream is, and score.

    Raises:
        UsageError: A model is no bundle, or the report's folder holds something else.
        DataError: A recording that is annotated is not there.
    """
    from mmn_edge.cli.engines import open_ready
    from mmn_edge.cli.event_scores import print_scores
    from mmn_edge.cli.event_tuning import find_recordings, read_series
    from mmn_edge.cli.models import model_sources
    from mmn_edge.events import formats
    from mmn_edge.events.report import check_event_folder, write_event_report
    from mmn_edge.events.scoring import score
    from mmn_edge.events.tuning import part_of
    from mmn_edge.runtime.event_stage import parameters_of
    from mmn_edge.runtime.prediction_series import model_of

    sources = model_sources(models, precision=precision, streams=())
    if any(source.bundle is None for source in sources):
        raise UsageError("events are those of a bundle: convert the checkpoint first, with mmn-edge convert")
    if output is not None:
        if len(sources) > 1:
            raise UsageError(f"{output} holds a report on one model, and there are {len(sources)}")
        check_event_folder(output)
    documents = {}
    for source in sources:
        bundle, ready = open_ready(source.path, backend, precision=source.precision, threads=threads)
        labels = bundle.manifest.labels
        truth = formats.read(annotations, labels=labels)
        with ready as loaded:
            series = read_series(bundle, loaded, find_recordings(recordings, truth.annotated))
        truth = part_of(truth, series)
        predicted = model_of(bundle).annotations(series, parameters_of(bundle))
        scores = score(truth, predicted, labels=labels)
        if output is not None:
            with terminal.following("drawing") as follow:
                write_event_report(
                    output,
                    f"Events of {source.name} in {recordings.name}",
                    scores,
                    truth,
                    predicted,
                    labels,
                    on_recording=lambda done, of: follow(f"drew {done} of {of} recordings", done / max(of, 1)),
                )
            click.echo(f"wrote {output / 'report.html'}", err=True)
        documents[source.name] = scores.to_dict()
        if not as_json:
            if len(sources) > 1:
                click.secho(source.name, bold=True)
            print_scores(scores)
    if as_json:
        click.echo(json.dumps(documents, indent=1, ensure_ascii=False))
