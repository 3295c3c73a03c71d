"""Checkpoint to bundle: read, build, write as ONNX, verify, and only then put in place."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch

import mmn_edge
from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.manifest import Manifest
from mmn_edge.bundle.writing import check_replaceable, write_bundle
from mmn_edge.convert.checkpoints import check_members, read_member, shares
from mmn_edge.convert.clip_windows import clip_windows
from mmn_edge.convert.deploy.deploy import DeployNetwork, deployed
from mmn_edge.convert.deploy.interfaces import FeaturesGraph, KeypointsGraph, StreamsGraph, window_index
from mmn_edge.convert.deploy.onnx_graph import onnx_graph
from mmn_edge.convert.graph.half import halved
from mmn_edge.convert.graph.lint import lint
from mmn_edge.convert.graph.quantized import quantized
from mmn_edge.convert.graph.writer import OPSET, operator_counts, save_onnx
from mmn_edge.convert.parity import (
    Verification,
    compare,
    compare_half,
    compare_int8,
)
from mmn_edge.convert.precisions import chosen_precisions, is_int8
from mmn_edge.convert.ranges import Ranges, calibration_split, int8_ranges
from mmn_edge.convert.tensors import input_specs, output_specs
from mmn_edge.drift.windows import as_features, sample_windows
from mmn_edge.errors import LayoutError, UsageError
from mmn_edge.events.parameters import described_decoder
from mmn_edge.model import presets
from mmn_edge.model.description import described_seconds
from mmn_edge.model.presets import Window
from mmn_edge.network import MMN
from mmn_edge.network.quantization import quantized_sites
from mmn_edge.skeleton.missing import ENOUGH_SEEN
from mmn_edge.system.extras import load_onnxruntime

__all__ = ["INPUTS", "Conversion", "convert"]

INPUTS = ("keypoints", "features")

MAX_DATA_WINDOWS = 64

Graph = FeaturesGraph | KeypointsGraph | StreamsGraph


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        bundle: What was written.
        preset: The preset that the checkpoint was taken for.
        verifications: By precision, what was compared.
        operators: By precision, how often each operator occurs.
        clip_seconds: How long the training clips were in the median, where the checkpoint says it.
    """

    bundle: Bundle
    preset: str | None
    verifications: Mapping[str, Verification]
    operators: Mapping[str, Mapping[str, int]]
    clip_seconds: float | None = None


def convert(
    checkpoint: Path | Sequence[Path],
    output: Path,
    *,
    preset: str | None = None,
    stream: str | Sequence[str] | None = None,
    input_kind: str = "keypoints",
    options: Mapping[str, Any] | None = None,
    window_seconds: float | None = None,
    window_stride: float | None = None,
    enough_seen: float | None = None,
    data: Path | None = None,
    precisions: Sequence[str] | None = None,
    calibration: Path | None = None,
    split: str | None = None,
    weights: Sequence[float] | None = None,
    temperature: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
    note: Callable[[str], None] = lambda finding: None,
) -> Conversion:
    """Convert a checkpoint, ours or the authors', to a bundle at ``output``; several become one model.

    Args:
        checkpoint: A state dict, or a checkpoint of ``mmn-edge train`` or ``quantize``, which describes itself.
            Several, each of another stream, become one graph that gives the weighted sum of their logits.
        output: The bundle's folder; an earlier bundle there is replaced at the very end.
        preset: Layout, classes and window by name; None takes the checkpoint's own description, or guesses from
            its shapes.
        stream: The stream it was trained on, or that of each; None takes the checkpoint's description, or ``"joint"``.
        input_kind: One of :data:`INPUTS`.
        options: Architecture options that shapes cannot tell.
        window_seconds: Length of the live window; None means the preset's.
        window_stride: Seconds between live windows; None means the preset's.
        enough_seen: Share of a window's joints that must have been seen for an answer; None means
            :data:`mmn_edge.skeleton.missing.ENOUGH_SEEN`.
        data: A data set whose clips the verification uses; the calibration's, or synthetic motion, where None.
        precisions: Of :data:`mmn_edge.bundle.manifest.PRECISIONS`; None means fp32, and int8 where there are int8
            ranges; ``"auto"`` alone means all that can be made.
        calibration: A data set from which int8 ranges of a plain checkpoint are taken.
        split: The split of ``calibration`` to use; None means ``train``, or all clips where there is no such split.
        weights: Of the logits of several checkpoints; None means their mean.
        temperature: What logits are divided by before the softmax; None means the checkpoint's own, of the mean of
            several the mean of theirs, and 1 with ``weights``, which set the confidence themselves.
        progress: Called with each step's name.
        note: Is told what is odd about the clips of ``data`` and ``calibration``, in sentences.

    Raises:
        CheckpointError: The checkpoint cannot be read or is no MMN.
        UsageError: Options that contradict each other or the checkpoint; int8 without ranges.
        LayoutError: The layout does not fit the network, or is unknown where it must be known.
        BundleError: ``output`` holds something that is no bundle.
        VerificationError: ONNX and PyTorch differ, or a model breaks a rule of TensorRT; nothing was written.
    """
    if input_kind not in INPUTS:
        raise UsageError(f"unknown input {input_kind!r}: choose one of {', '.join(INPUTS)}")
    checkpoints = [checkpoint] if isinstance(checkpoint, Path) else list(checkpoint)
    streams = [stream] * len(checkpoints) if stream is None or isinstance(stream, str) else list(stream)
    if len(streams) != len(checkpoints):
        raise UsageError(f"{len(streams)} streams for {len(checkpoints)} checkpoints: name one for each, or none")
    if temperature is not None and not 0 < temperature < float("inf"):
        raise UsageError(f"a temperature of {temperature:g} is no positive number")
    if enough_seen is not None and not 0 <= enough_seen <= 1:
        raise UsageError(f"a share of {enough_seen:g} is not from 0 to 1")
    if split is not None and calibration is None:
        raise UsageError("--split names a split of the calibration data: give the data with --calibration")
    check_replaceable(output)
    progress("reading the checkpoint")
    members = [
        read_member(path, preset=preset, stream=name, options=options)
        for path, name in zip(checkpoints, streams, strict=True)
    ]
    first = members[0]
    parts = shares(weights, len(members))
    if len(members) > 1:
        check_members(members)
        if input_kind != "keypoints":
            raise UsageError("several checkpoints share one input of keypoints: leave --input features out")
    arch, identity, layout = first.network.arch, first.identity, first.identity.layout
    window = Window(
        arch.num_frames,
        identity.window.seconds if window_seconds is None else window_seconds,
        identity.window.stride if window_stride is None else window_stride,
    )
    clip_seconds = described_seconds(first.description)
    if clip_seconds is not None and window.misses(clip_seconds) and window.seconds != identity.window.seconds:
        note(
            f"the model was trained on clips of {clip_seconds:.3g} s in the median, and a window of {window.seconds:g} "
            "s holds another stretch of time: leave --window out to have it as long as they were"
        )
    if layout is None and input_kind == "keypoints":
        raise LayoutError(
            f"{first.path} has {arch.num_joints} joints and {arch.num_classes} classes, and no preset is known for "
            f"that: name one with --preset ({', '.join(presets.PRESETS)}), give --model-option num_people=.. if "
            "several persons share its joints, or use --input features"
        )
    if temperature is None:
        alone = [member.temperature for member in members]
        temperature = sum(alone) / len(alone) if weights is None else 1.0
    ranged = [member for member in members if quantized_sites(member.fake)]
    if calibration is not None and 0 < len(ranged) < len(members):
        raise UsageError(
            f"{ranged[0].path} is quantized and has int8 ranges of its own, and other checkpoints have none: quantize "
            "those with mmn-edge quantize, and leave --calibration out"
        )
    wanted = chosen_precisions(precisions, len(ranged) == len(members), calibration)

    ranges: Ranges | None = None
    if any(map(is_int8, wanted)):
        if calibration is not None:
            progress("calibrating int8 ranges")
            split = calibration_split(calibration, split)
        ranges = int8_ranges(members, calibration, split, note)

    progress("gathering windows to verify with")
    source = data or calibration
    if source is None:
        windows, data_name = sample_windows(arch), "synthetic motion"
    else:
        windows = clip_windows(source, None if data else split, MAX_DATA_WINDOWS, arch, layout, note)
        data_name = str(source)
    inputs = {"keypoints": windows}
    if input_kind == "features":
        inputs = as_features(windows, first.preprocessing, arch.num_people)

    def graph(networks: Sequence[MMN | DeployNetwork]) -> Graph:
        if input_kind == "features":
            return FeaturesGraph(networks[0], temperature=temperature, task=identity.task).eval()
        if len(members) == 1:
            return KeypointsGraph(networks[0], first.preprocessing, temperature=temperature, task=identity.task).eval()
        streams = {
            member.identity.stream: (network, member.preprocessing, part)
            for member, network, part in zip(members, networks, parts, strict=True)
        }
        return StreamsGraph(streams, temperature=temperature, task=identity.task).eval()

    plain = graph([member.network for member in members])
    index_t = window_index(arch.num_frames) if input_kind == "keypoints" else None
    deploy = graph([deployed(member.network, index_t) for member in members])
    verifications: dict[str, Verification] = {}
    operators: dict[str, Mapping[str, int]] = {}
    counts: dict[str, int] = {}
    with write_bundle(output) as writer:
        progress("writing the ONNX graph")
        single = onnx_graph(deploy)
        for precision in wanted:
            model = writer.folder / _file(precision)
            derived = halved(single) if precision.endswith("fp16") else single
            kept: Sequence[str] = ()
            if is_int8(precision):
                assert ranges is not None
                derived, kept = quantized(derived, ranges.layers), ranges.kept
            report = lint(derived, kept, precision=precision)
            save_onnx(derived, model)
            progress(f"verifying {precision} in ONNX Runtime against PyTorch")
            if precision == "fp32":
                verification = compare(plain, model, inputs, data=data_name)
            elif precision == "fp16":
                verification = compare_half(plain, model, inputs, data=data_name)
            else:
                counts = {"pairs": report.pairs, "int8_weights": report.int8_weights}
                verification = compare_int8(
                    graph([member.fake for member in members]),
                    plain,
                    model,
                    inputs,
                    data=data_name,
                    half=precision.endswith("fp16"),
                )
            verifications[precision] = verification
            operators[precision] = operator_counts(model)
        writer.finish(
            Manifest(
                architecture=arch,
                labels=identity.labels,
                layout=layout.name if layout else None,
                joints=layout.joints if layout else (),
                window=window,
                preprocessing=first.preprocessing if layout else None,
                input=input_kind,
                inputs=input_specs(input_kind, arch),
                outputs=output_specs(arch.num_classes, temperature, identity.task),
                models={precision: _file(precision) for precision in wanted},
                source=first.source,
                streams=[
                    {"stream": member.identity.stream, "weight": part, **member.source}
                    for member, part in zip(members, parts, strict=True)
                ],
                tools=_tools(),
                verification={name: verification.to_dict() for name, verification in verifications.items()},
                temperature=temperature,
                task=identity.task,
                enough_seen=ENOUGH_SEEN if enough_seen is None else enough_seen,
                decoder=described_decoder(first.description, identity.labels, first.path),
                quantization={**ranges.facts, "kept": ranges.kept, **counts} if ranges else None,
            )
        )
    return Conversion(Bundle.open(output), identity.preset, verifications, operators, clip_seconds)


def _file(precision: str) -> str:
    return f"model.{precision}.onnx"


def _tools() -> dict[str, str]:
    return {
        "mmn-edge": mmn_edge.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "onnx": onnx.__version__,
        "onnxruntime": load_onnxruntime().__version__,
        "opset": str(OPSET),
    }
