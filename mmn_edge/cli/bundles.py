"""``mmn-edge convert``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import engines, terminal
from mmn_edge.cli.advisor import AUTO, advise
from mmn_edge.cli.completion import among
from mmn_edge.cli.engines import EngineRequest, engine_options
from mmn_edge.errors import UsageError
from mmn_edge.model import presets
from mmn_edge.model.architecture import parse_options
from mmn_edge.skeleton.missing import ENOUGH_SEEN
from mmn_edge.skeleton.preprocess import STREAMS
from mmn_edge.system.contents import contents
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from mmn_edge.convert.conversion import Conversion

__all__ = ["convert"]

MOST_OPERATORS = 6
"""Kinds of operators that the report counts; the bundle's model holds them all."""


@click.command()
@click.argument("checkpoints", metavar="CHECKPOINT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The bundle's folder.  [default: CHECKPOINT.bundle]",
)
@click.option(
    "--preset",
    metavar="NAME",
    shell_complete=among(presets.PRESETS),
    help=f"Layout, classes and window: {', '.join(presets.PRESETS)}.  [default: the checkpoint's own, or guessed]",
)
@click.option(
    "--stream",
    "streams",
    type=click.Choice(STREAMS),
    multiple=True,
    help="What it was trained on; of several checkpoints once for each.  [default: the checkpoint's own, or joint]",
)
@click.option("--weights", metavar="LIST", help="Of several checkpoints' logits, such as 0.6,0.4.  [default: the mean]")
@click.option(
    "--temperature",
    type=float,
    help="What logits are divided by before the softmax.  [default: the checkpoint's own, the mean of several; 1 with "
    "--weights]",
)
@click.option(
    "--input",
    "input_kind",
    type=click.Choice(["keypoints", "features"]),
    default="keypoints",
    show_default=True,
    help="Raw keypoints with preprocessing inside the graph, or the authors' own interface.",
)
@click.option(
    "--model-option",
    "model_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="What shapes cannot tell: num_people=2, global_pool=max. Repeatable.",
)
@click.option("--window", type=float, metavar="SECONDS", help="Length of the live window.")
@click.option("--stride", type=float, metavar="SECONDS", help="Time between live windows.")
@click.option(
    "--enough-seen",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help=f"Share of a window's joints that must have been seen for an answer.  [default: {ENOUGH_SEEN}]",
)
@click.option(
    "--precision",
    metavar="LIST",
    help="Models to write, of fp32,fp16,int8,int8-fp16 (half precision around int8, for TensorRT); auto writes all and "
    "chooses by measurement which one runs by default.  [default: fp32, and int8 where there are int8 ranges]",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True),
    metavar="DATA",
    help="Take int8 ranges of a plain checkpoint from this data set.",
)
@click.option("--split", help="The split of the calibration data.  [default: train, or all clips]")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Verify on the clips of this data set instead of the calibration's or synthetic motion.",
)
@engine_options
def convert(
    checkpoints: tuple[Path, ...],
    output: Path | None,
    preset: str | None,
    streams: tuple[str, ...],
    weights: str | None,
    temperature: float | None,
    input_kind: str,
    model_options: tuple[str, ...],
    window: float | None,
    stride: float | None,
    enough_seen: float | None,
    precision: str | None,
    calibration: Path | None,
    split: str | None,
    data: Path | None,
    engine: EngineRequest | None,
) -> None:
    """Convert CHECKPOINT to a bundle: an ONNX model and a manifest that says all about it.

    CHECKPOINT is a state dict saved by the authors' code or a checkpoint of mmn-edge train. ONNX Runtime's outputs are
    compared with PyTorch's before anything is written; an earlier bundle stays untouched until then.

    Several checkpoints of different streams become one model: one input, both networks, and the mean of their logits,
    or a sum with --weights. mmn-edge evaluate --fuse tells what that is worth, and fits weights and a temperature.

    A checkpoint of mmn-edge quantize, or of quantization-aware training, gives an int8 model as well, with standard
    QuantizeLinear and DequantizeLinear nodes as TensorRT reads them. On a CPU the fp32 model is the faster one.

    With --engine TensorRT engines are built from the models, on the machine that is to run them: an engine fits one GPU
    and one TensorRT. The bundle may come from elsewhere; then give it instead of a checkpoint, and no torch is needed.

    With --precision auto all precisions are measured on this machine, as engines where they are built, else in ONNX
    Runtime: their accuracy on the clips of --data, or of --calibration, and their latency. The fastest that stays
    within the limits of mmn-edge verify becomes the default of run and profile. For another machine give the bundle.

    \b
    Examples:
      mmn-edge convert runs/first/best.pt -o first.bundle
      mmn-edge convert ma52.pt --preset ma52 --stream bone
      mmn-edge convert joint.pt bone.pt --weights 0.6,0.4 --temperature 1.3 -o both.bundle
      mmn-edge convert ma52.pt --precision fp32,fp16,int8 --calibration data/MA52
      mmn-edge convert ma52.pt --input features
      mmn-edge convert best.pt --precision auto --calibration jhmdb.pkl
      mmn-edge convert ma52.bundle --engine --precision fp16,int8
      mmn-edge convert ma52.bundle --engine --precision auto --data data/MA52
      mmn-edge convert two.pt --preset ma52 --model-option num_people=2 --model-option global_pool=max
    """
    checkpoint = checkpoints[0]
    auto = precision == AUTO
    precisions = None if auto or precision is None else precision.split(",")
    clips = data or calibration
    if auto and clips is None:
        raise UsageError("--precision auto judges precisions by clips: give labelled ones with --data or --calibration")
    if checkpoint.is_dir() and (auto or engine is not None):
        for_checkpoints: list[object] = [output, preset, weights, temperature, window, stride, enough_seen, calibration]
        for_checkpoints += [*checkpoints[1:], *streams, *model_options]
        for_checkpoints += [] if auto else [split, data]
        if input_kind != "keypoints" or any(value is not None for value in for_checkpoints):
            raise UsageError(
                f"{checkpoint} is a bundle: beside --engine and its options only --precision applies, with auto --data "
                "and --split"
            )
        if engine is not None:
            engines.build(checkpoint, engine, precisions)
        if auto and clips is not None:
            advise(checkpoint, clips, split)
        return
    for path in checkpoints:
        kind = contents(path)
        if kind == "bundle":
            raise UsageError(
                f"{path} is a bundle already: --engine builds its engines, --precision auto with --data chooses among "
                "its models"
            )
        if kind in ("recording", "video", "data set", "JSON file"):
            raise UsageError(f"{path} is a {kind}, and what is converted is a checkpoint (.pt)")
    if preset is not None:
        presets.get(preset)
    options = parse_options(model_options)
    if engine is not None:
        engines.check(engine)
    for module in ("torch", "onnx"):
        require(module, extra="convert", purpose="Converting a checkpoint")
    from mmn_edge.convert.conversion import convert as run_conversion

    target = output or checkpoint.with_suffix(".bundle")
    findings: list[str] = []
    with terminal.status("starting") as status:
        result = run_conversion(
            checkpoints,
            target,
            preset=preset,
            stream=streams if len(streams) > 1 else streams[0] if streams else None,
            input_kind=input_kind,
            options=options,
            window_seconds=window,
            window_stride=stride,
            enough_seen=enough_seen,
            data=data,
            precisions=[AUTO] if auto else precisions,
            calibration=calibration,
            split=split,
            weights=_floats(weights, "--weights") if weights is not None else None,
            temperature=temperature,
            progress=status,
            note=findings.append,
        )
    terminal.warn(list(dict.fromkeys(findings)), clips)
    _report(result)
    if engine is not None:
        engines.build(target, engine, precisions)
    if auto and clips is not None:
        # Ranges come from the training split, or from the one that was named: other clips judge, where there are any.
        advise(target, clips, split if calibration is None else None)


def _floats(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} takes numbers with commas between, not {text!r}") from None


def _report(result: Conversion) -> None:
    """Print what was written and how it was verified."""
    manifest = result.bundle.manifest
    arch = manifest.architecture
    click.echo(f"wrote {result.bundle.path}")
    click.echo(f"  network   {arch.graph_joints} joints, {arch.num_classes} classes, width {arch.width}")
    click.echo(
        f"  input     {', '.join(f'{spec.name} {list(spec.shape)}' for spec in manifest.inputs)}"
        + (f", preset {result.preset}" if result.preset else "")
        + (f", stream {manifest.preprocessing.stream}" if manifest.preprocessing and len(manifest.streams) == 1 else "")
    )
    window = manifest.window
    origin = f", as the training clips ({result.clip_seconds:.3g} s)" if result.clip_seconds is not None else ""
    if result.clip_seconds is not None and window.misses(result.clip_seconds):
        origin = f"; the training clips had {result.clip_seconds:.3g} s"
    click.echo(f"  window    {window.seconds:g} s{origin}, one every {window.stride:g} s")
    if len(manifest.streams) > 1:
        parts = (f"{entry['weight']:.3g} x {entry['stream']} ({entry['file']})" for entry in manifest.streams)
        click.echo(f"  streams   {' + '.join(parts)}")
    for precision, check in result.verifications.items():
        operators = result.operators[precision]
        size = manifest.files[manifest.models[precision]]["bytes"]
        most = ", ".join(f"{count} {name}" for name, count in Counter(operators).most_common(MOST_OPERATORS))
        click.echo(f"  {precision:8}  {sum(operators.values())} ONNX nodes, {size / 1e6:.1f} MB: {most}, ...")
        click.echo(
            f"  verified  {check.windows} windows ({check.data}): logits differ from {check.reference} by at most "
            f"{check.max_logit_difference:.1e}, on average {check.mean_logit_difference:.1e} "
            f"({check.tolerance:.1e} allowed {'at most' if check.tolerance_for.startswith('max') else 'on average'}), "
            f"top-1 agreement {check.top1_agreement:.0%}"
        )
        if precision.startswith("int8") and manifest.quantization:
            facts = manifest.quantization
            click.echo(
                f"  quantized {facts['pairs']} layers, {facts['int8_weights']} with weights stored as int8; "
                f"{len(facts['kept'])} kept in float; ranges {facts['ranges']}; int8 agrees with fp32 on "
                f"{check.float_top1_agreement or 0:.0%} of the windows"
            )
