"""``mmn-edge quantize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mmn_edge.cli import terminal
from mmn_edge.cli.completion import among
from mmn_edge.errors import CheckpointError, MmnEdgeError, UsageError
from mmn_edge.model import presets
from mmn_edge.model.architecture import parse_options
from mmn_edge.skeleton.preprocess import STREAMS
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from mmn_edge.model.description import Identity
    from mmn_edge.network import MMN
    from mmn_edge.train.sensitivity import Batches, Budget, Choice, Effect, Sensitivity

__all__ = ["quantize"]

SHOWN = 12

REPORT = ("sensitivity.json", "sensitivity.md", "sensitivity.html", "sensitivity.svg")
SCHEMA = "mmn-edge sensitivity report 1"


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True), required=True, help="The data set, in any format of train."
)
@click.option("--split", help="The split that ranges are taken from.  [default: train, or all clips]")
@click.option("--eval-split", help="The labelled split that layers are judged on.  [default: val, test, or all clips]")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The quantized checkpoint.")
@click.option(
    "--keep",
    default="sensitive",
    show_default=True,
    metavar="auto|sensitive|none|LIST",
    help="Layers to leave in floating point: chosen by measurement, the ones known to matter, none, or shell patterns "
    "of layer names with commas between, such as projection.*,*.mapping.",
)
@click.option(
    "--calibration-clips",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Clips, spread over the split, that ranges are taken from.",
)
@click.option(
    "--ranges", default="mse", show_default=True, type=click.Choice(["mse", "amax"]), help="How ranges are set."
)
@click.option("--sensitivity", is_flag=True, help="Measure what each layer costs.")
@click.option(
    "--eval-clips",
    type=click.IntRange(min=10),
    default=200,
    show_default=True,
    help="Clips, spread over the split, that layers are judged on.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    metavar="POINTS",
    help="Top-1 that --keep auto may lose.",
)
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for sensitivity.json, .md and .svg.",
)
@click.option(
    "--preset",
    metavar="NAME",
    shell_complete=among(presets.PRESETS),
    help="What the checkpoint is, where it does not say so itself.",
)
@click.option("--stream", type=click.Choice(STREAMS), help="What it was trained on, where it does not say so itself.")
@click.option("--model-option", "model_options", multiple=True, metavar="NAME=VALUE", help="As for convert.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads of PyTorch.")
def quantize(
    checkpoint: Path,
    data: Path,
    split: str | None,
    eval_split: str | None,
    output: Path | None,
    keep: str,
    calibration_clips: int,
    ranges: str,
    sensitivity: bool,
    eval_clips: int,
    budget: float,
    report: Path | None,
    preset: str | None,
    stream: str | None,
    model_options: tuple[str, ...],
    threads: int | None,
) -> None:
    """Quantize CHECKPOINT to int8 after training, and see which layers mind.

    The result is a checkpoint with int8 ranges, from which mmn-edge convert makes an int8 model. With --keep auto the
    layers that cost most are kept in floating point, worst first, until top-1 on the evaluation split is within the
    budget, 99 % of the predictions are unchanged, and the logits' error is at most 10 % of their spread.

    \b
    Examples:
      mmn-edge quantize best.pt --data nw_ucla.pkl -o int8.pt
      mmn-edge quantize best.pt --data nw_ucla.pkl --sensitivity --report layers
      mmn-edge quantize best.pt --data nw_ucla.pkl --keep auto --budget 0.5 -o int8.pt
      mmn-edge quantize best.pt --data nw_ucla.pkl --keep "projection.*,*.mapping" -o int8.pt
      mmn-edge convert int8.pt
    """
    if output is None and not sensitivity:
        raise UsageError("nothing would be written: name the quantized checkpoint with -o, or ask for --sensitivity")
    if output is not None and output.exists() and output.resolve() == checkpoint.resolve():
        raise UsageError(f"{output} is the checkpoint itself: choose another name with -o")
    measured = sensitivity or keep == "auto"
    given = click.get_current_context().get_parameter_source
    for option, name in (("--report", "report"), ("--eval-split", "eval_split"), ("--eval-clips", "eval_clips")):
        if not measured and given(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"{option} needs measurements: ask for --sensitivity, or --keep auto")
    if keep != "auto" and given("budget") is ParameterSource.COMMANDLINE:
        raise UsageError("--budget is what --keep auto may lose: give both")
    if report is not None:
        from mmn_edge.reports.folder import check_folder

        check_folder(report, REPORT, SCHEMA, REPORT[0])
    require("torch", extra="train", purpose="Quantizing a checkpoint")
    import torch

    from mmn_edge.datasets import reading
    from mmn_edge.evaluation.testset import default_split
    from mmn_edge.model.description import described_options, identify
    from mmn_edge.network import build_network, read_checkpoint
    from mmn_edge.network import quantization as q
    from mmn_edge.train.sensitivity import Budget, labelled_windows

    if output is not None and output.exists():
        try:
            read_checkpoint(output)
        except CheckpointError as error:
            raise UsageError(f"{output} is no checkpoint, so it was left alone: choose another name with -o") from error
    if threads is not None:
        torch.set_num_threads(threads)
    state, description = read_checkpoint(checkpoint)
    options = {**described_options(description), **parse_options(model_options)}
    network = build_network(state, options, origin=str(checkpoint), quantized=False)
    identity = identify(network.arch, description, preset=preset, stream=stream, origin=checkpoint)
    split = split or ("train" if "train" in reading.splits(data) else None)
    kept = () if keep == "auto" else q.kept_sites(network, keep)

    findings: list[str] = []
    calibration = labelled_windows(
        data, split, calibration_clips, network.arch, identity, labels=False, note=findings.append
    )
    terminal.warn(findings, data)
    click.echo(f"ranges from {_count(calibration)} clips of {data.name}" + (f":{split}" if split else ""), err=True)
    # All layers, so that the ones to keep can be chosen afterwards: ranges do not depend on what is kept.
    q.calibrate(q.quantize(network, ()), calibration, method=ranges)
    choice = None
    if measured:
        further: list[str] = []
        judged = eval_split or default_split(data)
        evaluation = labelled_windows(data, judged, eval_clips, network.arch, identity, note=further.append)
        terminal.warn([finding for finding in further if finding not in findings], data)
        found, choice = _measure(network, evaluation, Budget(points=budget) if keep == "auto" else None)
        _print(found, choice)
        if report is not None:
            _write_report(report, found, choice, title=f"{checkpoint.name} on {data.name}")
    if choice is not None:
        kept = choice.kept
    if output is None:
        return
    q.quantize(network, kept)
    facts = {
        "ranges": f"post-training ({ranges}), {_count(calibration)} clips of {data.name}"
        + (f":{split}" if split else ""),
        "kept": list(kept),
        "chosen": keep,
    }
    _save(output, network, {**description, **_describe(network, identity), "quantization": facts})
    click.echo(f"wrote {output}: {len(q.quantized_sites(network))} layers in int8, {len(kept)} in floating point")
    if choice is not None and not choice.met:
        click.echo(f"the budget of {budget:g} points was not met, whatever was kept", err=True)


def _count(batches: Batches) -> int:
    return sum(len(batch[2]) for batch in batches)


def _measure(network: MMN, batches: Batches, budget: Budget | None) -> tuple[Sensitivity, Choice | None]:
    from mmn_edge.train.sensitivity import choose, measure

    with terminal.bar() as progress:
        task = progress.add_task("measuring layers", total=None)
        found = measure(
            network, batches, on_step=lambda done, total: progress.update(task, completed=done, total=total)
        )
        if budget is None:
            return found, None
        progress.update(task, description="choosing", total=None)

        def on_step(effect: Effect) -> None:
            progress.update(task, description=f"choosing: {effect.name}, logit error {effect.error:.1%}")

        return found, choose(network, batches, found, budget, on_step=on_step)


def _print(found: Sensitivity, choice: Choice | None) -> None:
    from mmn_edge.train.sensitivity_report import rows

    effects = (found.everything, *found.ranking()[:SHOWN])
    tables = [(f"int8 for these layers alone ({found.clips} clips, fp32 top-1 {found.accuracy:.2%})", effects)]
    if choice is not None:
        tables.append((f"mixed precision: {len(choice.kept)} layers kept in floating point", choice.steps))
    for title, entries in tables:
        cells = [
            [name, str(count), f"{lost:.2f}", f"{agreement:.1%}", f"{error:.2%}"]
            for name, count, lost, agreement, error in rows(found, entries)
        ]
        terminal.show(["layers", "count", "top-1 lost", "agreement", "logit error"], cells, words=1, title=title)


def _write_report(folder: Path, found: Sensitivity, choice: Choice | None, *, title: str) -> None:
    from mmn_edge.system.files import atomic_file
    from mmn_edge.train.sensitivity_report import page, svg

    content: dict[str, Any] = {
        "schema": SCHEMA,
        "sensitivity": found.to_dict(),
        "choice": choice.to_dict() if choice else None,
    }
    built = page(found, choice, title=title)
    texts = (
        json.dumps(content, indent=1) + "\n",
        built.markdown(),
        built.html(),
        svg(found, choice, title=title),
    )
    for name, text in zip(REPORT, texts, strict=True):
        with atomic_file(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    click.echo(f"wrote {folder}: sensitivity.json, .md, .html, .svg")


def _describe(network: MMN, identity: Identity) -> dict[str, Any]:
    """What the checkpoint must say of itself, so that convert needs nothing else."""
    from dataclasses import asdict

    arch = network.arch
    options = {"num_people": arch.num_people, "global_pool": arch.global_pool, "num_frames": arch.num_frames}
    if identity.layout is None:
        return {"options": options, "stream": identity.stream}
    return {
        "preset": identity.preset,
        "layout": identity.layout.name,
        "labels": identity.labels.to_dict(),
        "window": asdict(identity.window),
        "stream": identity.stream,
        "options": options,
    }


def _save(path: Path, network: MMN, description: dict[str, Any]) -> None:
    import torch

    from mmn_edge.system.files import atomic_file

    try:
        with atomic_file(path) as partial:
            torch.save({"model": network.state_dict(), "description": description}, partial)
    except (OSError, RuntimeError) as error:
        raise MmnEdgeError(f"cannot write {path}: {error}") from error
