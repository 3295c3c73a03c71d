"""``mmn-edge verify``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.completion import among
from mmn_edge.cli.models import ALL, ModelSource, model_sources
from mmn_edge.cli.options import find_bundle
from mmn_edge.drift.drift import limits_for
from mmn_edge.errors import MissingDependencyError, UsageError, VerificationError
from mmn_edge.model import presets
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import STREAMS
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from mmn_edge.drift.layers import LayerDrift
    from mmn_edge.drift.report import DriftReport, Verdict
    from mmn_edge.drift.windows import Windows
    from mmn_edge.evaluation.evaluation import Trial
    from mmn_edge.model.classifier import Classifier

__all__ = ["verify"]

REFERENCE_BACKEND = "onnxruntime"
SYNTHETIC_WINDOWS = 64
LAYER_WINDOWS = 4
BATCH = 16


@click.command()
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...")
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True), help="Labelled clips.  [default: synthetic motion]"
)
@click.option("--split", help="The split of the data.  [default: val, or test, or all clips]")
@click.option(
    "--layout",
    metavar="NAME",
    shell_complete=among(layouts.names()),
    help="The data's layout, where the data set does not say it.",
)
@click.option(
    "--windows",
    "count",
    type=click.IntRange(1),
    help=f"Use so many windows.  [default: all clips, or {SYNTHETIC_WINDOWS} of synthetic motion]",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True),
    help="Compare with what PyTorch makes of this checkpoint, too.",
)
@click.option(
    "--preset",
    metavar="NAME",
    shell_complete=among(presets.PRESETS),
    help="As for mmn-edge convert, of the checkpoint.",
)
@click.option("--stream", type=click.Choice(STREAMS), help="As for mmn-edge convert, of the checkpoint.")
@click.option("--model-option", "model_options", multiple=True, metavar="NAME=VALUE", help="As for mmn-edge convert.")
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME",
    help="What runs the models; repeatable.  [default: ONNX Runtime, and the bundle's engines that fit this machine]",
)
@click.option("--max-lost", type=float, metavar="POINTS", help="Points of top-1 that may be lost.  [default: 0.5]")
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Windows that must have the reference's class.  [default: 99, for int8 97]",
)
@click.option(
    "--max-probability-difference",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="By how much a probability may differ.  [default: 0.01, for int8 any]",
)
@click.option("--layers/--no-layers", default=True, show_default=True, help="Compare the models layer by layer.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a report to this folder: page, picture.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--batch", type=click.IntRange(1, 4096), default=BATCH, show_default=True, help="Windows in a call.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads within an operator.")
def verify(
    bundles: tuple[str, ...],
    data: Path | None,
    split: str | None,
    layout: str | None,
    count: int | None,
    checkpoint: Path | None,
    preset: str | None,
    stream: str | None,
    model_options: tuple[str, ...],
    backends: tuple[str, ...],
    max_lost: float | None,
    min_agreement: float | None,
    max_probability_difference: float | None,
    layers: bool,
    output: Path | None,
    as_json: bool,
    batch: int,
    threads: int | None,
) -> None:
    """Compare the precisions of BUNDLE with its fp32 model and with each other, and fail where one drifts too far.

    With labelled clips the accuracy that each precision loses is measured, too. Of several bundles the first one's
    fp32 model is the reference of all; model.bundle:int8 is one precision. Where a model drifts, the layers are named
    at which that begins (this needs the extra convert). Leaves with exit code 8 if a model is beyond its limits.

    \b
    Examples:
      mmn-edge verify model.bundle
      mmn-edge verify model.bundle --data jhmdb.pkl --split test -o report
      mmn-edge verify model.bundle --data data/MA52 --checkpoint best.pt --max-lost 1
      mmn-edge verify fp.bundle ptq.bundle:int8 qat.bundle:int8 --data nw_ucla.pkl
    """
    from mmn_edge.drift import page
    from mmn_edge.drift.report import DriftReport, Verdict
    from mmn_edge.system import machine

    if preset is not None:
        presets.get(preset)
    if split is not None and data is None:
        raise UsageError("--split names a split of the data: give the data with --data")
    if layout is not None and data is None:
        raise UsageError("--layout names the layout of the data: give the data with --data")
    if checkpoint is None and (preset is not None or stream is not None or model_options):
        raise UsageError("--preset, --stream and --model-option say what a checkpoint is: name it with --checkpoint")
    if output is not None:
        page.check_folder(output)
    sources = model_sources(bundles or (str(find_bundle(None)),), precision=ALL)
    if checkpoints := [source.name for source in sources if source.bundle is None]:
        raise UsageError(f"{checkpoints[0]} is a checkpoint: name bundles, and a checkpoint with --checkpoint")
    first, bundle = sources[0].path, sources[0].bundle
    named = {source.precision for source in sources if source.path == first}
    if bundle is not None and "fp32" in bundle.manifest.models and "fp32" not in named:
        sources.insert(0, ModelSource(sources[0].name, first, bundle))
    sources.sort(key=lambda source: (source.path != first, source.precision != "fp32"))
    asked = {
        "max_lost": None if max_lost is None else max_lost / 100,
        "min_agreement": None if min_agreement is None else min_agreement / 100,
        "max_probability_difference": max_probability_difference,
    }

    with sources[0].open(backend=REFERENCE_BACKEND, threads=threads) as model:
        windows = _windows(model, data, split, layout, count)
    notes: list[str] = []
    trials: list[Trial] = []
    owners: dict[str, ModelSource] = {}
    several = len({source.path for source in sources}) > 1
    total = len(windows.keypoints)
    with terminal.progress(total * len(sources) + (total if checkpoint else 0)) as advance:
        for source in sources:
            ran: set[str] = set()
            for backend in dict.fromkeys((REFERENCE_BACKEND, *(backends or (None,)))):
                with source.open(backend=backend, threads=threads, on_note=notes.append) as model:
                    if model.backend in ran:
                        continue
                    name = f"{source.path}:{source.precision}" if several else source.precision
                    name = f"{name} on {model.backend}" if ran else name
                    trials.append(windows.ask(replace(model, name=name), batch=batch, on_batch=advance))
                    owners.setdefault(name, source)
                    ran.add(model.backend)
        if checkpoint is not None:
            source = ModelSource(str(checkpoint), checkpoint, stream=stream)
            with source.open(preset=preset, model_options=model_options, threads=threads) as model:
                trials.append(windows.ask(model, batch=batch, on_batch=advance))
    reference, *others = trials
    if not others:
        raise UsageError(
            f"{sources[0].name} holds one model, and there is nothing to compare it with: name more bundles, a "
            "--checkpoint or another --backend, or convert with --precision fp32,fp16"
        )
    verdicts = tuple(
        Verdict.of(trial, reference, windows.targets, limits_for(trial.precision, **asked)) for trial in others
    )
    found: dict[str, LayerDrift] = {}
    if layers:
        try:
            found = _layers(verdicts, owners, sources, windows)
        except MissingDependencyError as error:
            notes.append(f"Layers were not compared: {error}")
    report = DriftReport(windows, reference, verdicts, machine.describe(), found, tuple(notes))
    if output is not None:
        page.write_folder(report, output)
        click.echo(f"wrote {output / 'report.html'}", err=True)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(report)
    if report.failed:
        words = "; ".join(f"{verdict.trial.name}: {', '.join(verdict.broken)}" for verdict in report.failed)
        raise VerificationError(f"drifted too far from {reference.name}: {words}")


def _windows(model: Classifier, data: Path | None, split: str | None, layout: str | None, count: int | None) -> Windows:
    """What the models are asked: labelled clips, or else synthetic motion."""
    from mmn_edge.drift.windows import Windows
    from mmn_edge.evaluation import testset

    if data is None:
        return Windows.synthetic(model, count or SYNTHETIC_WINDOWS)
    chosen = split if split is not None else testset.default_split(data)
    return Windows.of_clips(testset.read(data, chosen, layout=layout), model, count)


def _layers(
    verdicts: Sequence[Verdict], owners: Mapping[str, ModelSource], sources: Sequence[ModelSource], windows: Windows
) -> dict[str, LayerDrift]:
    """The layers of every ONNX model against those of its bundle's fp32 model, on the windows that drift most."""
    require("onnx", extra="convert", purpose="Comparing layers")
    from mmn_edge.convert.layer_outputs import compare_layers
    from mmn_edge.drift.layers import THRESHOLDS

    found = {}
    for verdict in verdicts:
        name = verdict.trial.name
        source = owners.get(name)
        if source is None or source.bundle is None or source.precision not in THRESHOLDS:
            continue
        if "fp32" not in source.bundle.manifest.models or not verdict.trial.backend.startswith(REFERENCE_BACKEND):
            continue
        with source.open(backend=REFERENCE_BACKEND) as model:
            inputs = windows.inputs(model, verdict.drift.worst[:LAYER_WINDOWS])
        files = (source.bundle.model("fp32"), source.bundle.model(source.precision))
        found[name] = compare_layers(*files, inputs, threshold=THRESHOLDS[source.precision])
    return found


def _print(report: DriftReport) -> None:
    """The tables, on standard output."""
    from rich.text import Text

    from mmn_edge.drift import page

    console = terminal.output()
    console.print(" ".join(page.facts(report)))
    for note in page.notes(report):
        console.print(f"- {note}")
    terminal.show(*page.summary(report), words=2, on=console)
    if len(report.trials) > 2:
        terminal.show(*page.pairs(report), words=1, on=console)
    for name, drift in report.layers.items():
        words = f", {len(drift.layers)} layers; drift begins {page.layer_words(drift)}"
        console.print(Text.assemble((name, "bold"), words))
        terminal.show(*page.layer_table(drift), words=2, on=console)
    if report.failed:
        terminal.show(*page.drifted(report), words=3, on=console)
    console.print(page.verdict(report), style="bold red" if report.failed else "bold green")
