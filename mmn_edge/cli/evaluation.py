"""``mmn-edge evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.completion import among
from mmn_edge.cli.options import backend_option
from mmn_edge.errors import DataError, UsageError
from mmn_edge.evaluation.evaluation import BATCH, DEPLOYED, PROTOCOLS
from mmn_edge.model import presets
from mmn_edge.model.architecture import parse_options
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import STREAMS
from mmn_edge.system.contents import contents
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from mmn_edge.evaluation.report import Report

__all__ = ["evaluate"]


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A labelled data set, or recordings.")
@click.option(
    "--events",
    "annotations",
    type=click.Path(exists=True, path_type=Path),
    metavar="ANNOTATIONS",
    help="Score events on the recordings of --data against these annotations.",
)
@click.option("--split", help="Its split.  [default: val, or test, or all clips]")
@click.option(
    "--layout",
    metavar="NAME",
    shell_complete=among(layouts.names()),
    help="The data's layout, where the data set does not say it.",
)
@click.option("--precision", help="Which of a bundle's models; all for each of them.  [default: fp32]")
@backend_option
@click.option(
    "--preset",
    metavar="NAME",
    shell_complete=among(presets.PRESETS),
    help=f"What a checkpoint is: {', '.join(presets.PRESETS)}.",
)
@click.option(
    "--stream",
    "streams",
    type=click.Choice(STREAMS),
    multiple=True,
    help="What a checkpoint was trained on; once for all checkpoints, or once for each.",
)
@click.option("--model-option", "model_options", multiple=True, metavar="NAME=VALUE", help="As for mmn-edge convert.")
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default=DEPLOYED,
    show_default=True,
    help="What models are given: what a bundle is given, or what the paper's evaluation gives a checkpoint.",
)
@click.option("--views", type=click.IntRange(1, 100), default=1, show_default=True, help="Temporal samplings averaged.")
@click.option("--restrict", is_flag=True, help="Predict only classes that occur in the data.")
@click.option("--fuse", type=click.Choice(["mean", "weights"]), help="Add a row: all models together.")
@click.option("--fit-split", metavar="SPLIT", help="Where --fuse weights fits its weights.")
@click.option("--fit-temperature", is_flag=True, help="Fit a temperature for each model on these clips.")
@click.option("--write", is_flag=True, help="Store the fitted temperature in the checkpoint.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write a report to this folder: page, pictures, predictions.",
)
@click.option("--submission", type=click.Path(path_type=Path), metavar="ZIP", help="Write MA-52's submission file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--batch", type=click.IntRange(1, 4096), default=BATCH, show_default=True, help="Windows in a call.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads within an operator.")
def evaluate(
    models: tuple[str, ...],
    data: Path,
    annotations: Path | None,
    split: str | None,
    layout: str | None,
    precision: str | None,
    backend: str | None,
    preset: str | None,
    streams: tuple[str, ...],
    model_options: tuple[str, ...],
    protocol: str,
    views: int,
    restrict: bool,
    fuse: str | None,
    fit_split: str | None,
    fit_temperature: bool,
    write: bool,
    output: Path | None,
    submission: Path | None,
    as_json: bool,
    batch: int,
    threads: int | None,
) -> None:
    """Measure how good each MODEL is on labelled clips, and how far the models differ.

    MODEL is a checkpoint (.pt) or a bundle; model.bundle:int8 is one of its precisions. The data set's classes are
    matched to the model's by name. Nothing is ever fitted on the clips that are measured without saying so.

    \b
    Examples:
      mmn-edge evaluate runs/first/best.pt --data jhmdb.pkl --split test
      mmn-edge evaluate best.pt model.bundle:fp32 model.bundle:int8 --data jhmdb.pkl -o report
      mmn-edge evaluate ma52.pt --preset ma52 --data data/MA52 --protocol published
      mmn-edge evaluate joint.pt bone.pt --data data/MA52 --fuse mean --json
      mmn-edge evaluate joint.pt bone.pt --data ucla.pkl --split test --fuse weights --fit-split val
      mmn-edge evaluate best.pt --data jhmdb.pkl --split val --fit-temperature --write
      mmn-edge evaluate joint.pt bone.pt --data data/MA52 --split test --fuse mean --submission ma52.zip
      mmn-edge evaluate model.bundle --data recordings/ --events annotations/ -o report
    """
    if annotations is not None:
        for name, given in (
            ("--split", split),
            ("--layout", layout),
            ("--preset", preset),
            ("--stream", streams),
            ("--views", views != 1),
            ("--restrict", restrict),
            ("--fuse", fuse),
            ("--fit-temperature", fit_temperature),
            ("--submission", submission),
        ):
            if given:
                raise UsageError(f"{name} is for clips, and --events scores recordings: leave one of them out")
        from mmn_edge.cli.event_evaluation import evaluate_events

        evaluate_events(
            models,
            data,
            annotations,
            output=output,
            as_json=as_json,
            precision=precision,
            backend=backend,
            threads=threads,
        )
        return
    from mmn_edge.cli.models import model_sources
    from mmn_edge.evaluation import folder, testset
    from mmn_edge.evaluation import submission as submissions
    from mmn_edge.evaluation.comparison import Comparison

    kind = contents(data)
    if kind in ("bundle", "checkpoint", "ONNX model"):
        raise UsageError(
            f"{data} is a {kind}, and --data takes labelled clips: name models first, as in mmn-edge evaluate {data} "
            "--data CLIPS"
        )
    if preset is not None:
        presets.get(preset)
    parse_options(model_options)
    if write and not fit_temperature:
        raise UsageError("--write stores the temperature of --fit-temperature: give both")
    if write and restrict:
        raise UsageError(
            "a temperature of predictions limited to some classes is not the model's: leave --restrict out"
        )
    if fuse == "weights" and fit_split is None:
        raise UsageError("--fuse weights needs clips to fit the weights on: name their split with --fit-split")
    if fit_split is not None and fuse != "weights":
        raise UsageError("--fit-split is where --fuse weights fits its weights: give both")
    if submission is not None and restrict:
        raise UsageError("a submission may not be limited to the classes that occur: leave --restrict out")
    sources = model_sources(models, precision=precision, streams=streams)
    if fuse is not None and len(sources) < 2:
        raise UsageError("--fuse takes several models together: name at least two")
    if write and any(source.bundle is not None for source in sources):
        raise UsageError("--write is for checkpoints: convert carries their temperature into a bundle")
    if write:
        require("torch", extra="train", purpose="Evaluating a checkpoint")
        from mmn_edge.network.checkpoint_classifier import check_temperature, write_temperature

        for source in sources:
            check_temperature(source.path)  # before the long work, and before any of them is changed
    if output is not None:
        folder.check_folder(output)
    if submission is not None:
        submissions.check_submission(submission)
    if not data.exists():
        raise DataError(f"{data} does not exist: name an annotation pickle or a folder")
    chosen = split if split is not None else testset.default_split(data)
    clips = testset.read_unlabelled(data, chosen, layout=layout) if submission is not None else None
    if clips is None:
        clips = testset.read(data, chosen, layout=layout)
    elif output is not None or as_json or fit_temperature or restrict or fuse == "weights":
        raise DataError(f"{clips.name} has no labels, so that only --submission can be written: leave the rest out")
    fit_clips = testset.read(data, fit_split, layout=layout) if fit_split is not None else None

    comparison = Comparison(clips, protocol, views, fit_clips)
    with terminal.progress(len(sources) * comparison.windows) as advance:
        for source in sources:
            with source.open(
                preset=preset, model_options=model_options, backend=backend, threads=threads
            ) as classifier:
                comparison.ask(classifier, batch=batch, on_batch=advance)
    fused = comparison.fused(fuse) if fuse is not None else None
    if submission is not None:
        final = fused or comparison.trials[0]
        names = [clip.name for clip in clips.clips]
        table = submissions.rows(names, final.logits / final.temperature, comparison.labels)
        submissions.write_submission(submission, table)
        click.echo(f"wrote {submission}: {len(names)} clips, predictions of {final.name}", err=True)
        if not clips.labelled:
            return
    report = comparison.report(fused=fused, restrict=restrict, fit_temperature=fit_temperature)
    if output is not None:
        folder.write_folder(report, output)
        click.echo(f"wrote {output / 'report.html'}", err=True)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1, ensure_ascii=False))
    else:
        _print(report)
    if write:
        for source, fit in zip(sources, report.fits, strict=True):
            write_temperature(source.path, fit.temperature, clips.described)
            click.echo(f"wrote temperature {fit.temperature:.4f} into {source.path}", err=True)


def _print(report: Report) -> None:
    """The tables, on standard output."""
    from mmn_edge.evaluation.page import CROSS_FITTED, summary, temperatures

    console = terminal.output()
    count = len(report.with_data)
    console.print(
        f"{report.data.name}: {len(report.targets)} clips, {count} of {len(report.labels)} classes have clips"
    )
    console.print(f"protocol: {report.setting}; in per cent but for NLL and logits", style="dim")
    for note in report.notes:
        console.print(f"- {note}")
    terminal.show(*summary(report), words=3, on=console)
    if report.fits:
        terminal.show(*temperatures(report), words=1, on=console)
        console.print(CROSS_FITTED, style="dim")
    mistakes = report.confusions(5)
    if mistakes:
        text = "; ".join(f"{true} as {taken} ({n} of {total})" for true, taken, n, total in mistakes)
        console.print(f"{report.trials[report.shown].name} mistakes most often: {text}")
