"""Checkpoint to bundle: read, build, write as ONNX, verify, and only then put in place."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import torch

import mmn_edge
from mmn_edge.bundle.bundle import PRECISIONS, Bundle, Manifest, TensorSpec, check_replaceable, write_bundle
from mmn_edge.convert.checkpoints import Member, check_members, read_member, shares
from mmn_edge.convert.deploy.deploy import DeployNetwork, deployed, merged_sites
from mmn_edge.convert.deploy.interfaces import FeaturesGraph, KeypointsGraph, StreamsGraph, window_index
from mmn_edge.convert.deploy.onnx_graph import onnx_graph
from mmn_edge.convert.graph.half import halved
from mmn_edge.convert.graph.lint import lint
from mmn_edge.convert.graph.quantized import Site, quantized, quantized_layers
from mmn_edge.convert.graph.writer import OPSET, operator_counts, save_onnx
from mmn_edge.convert.parity import (
    Verification,
    compare,
    compare_half,
    compare_int8,
)
from mmn_edge.datasets import reading
from mmn_edge.drift.windows import as_features, sample_windows, window_of
from mmn_edge.errors import LayoutError, UsageError
from mmn_edge.evaluation import testset
from mmn_edge.events.parameters import described_decoder
from mmn_edge.model import presets
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.presets import Window
from mmn_edge.model.task import DETECT
from mmn_edge.network import MMN
from mmn_edge.network.quantization import calibrate, default_kept, enable, quantize, quantized_sites, sites
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import Preprocessing
from mmn_edge.system.extras import check_half_scales, half_scales_work, load_onnxruntime

__all__ = ["INPUTS", "Conversion", "convert"]

INPUTS = ("keypoints", "features")

MAX_DATA_WINDOWS = 64
MAX_CALIBRATION_WINDOWS = 256
BATCH = 32

Graph = FeaturesGraph | KeypointsGraph | StreamsGraph
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        bundle: What was written.
        preset: The preset that the checkpoint was taken for.
        verifications: By precision, what was compared.
        operators: By precision, how often each operator occurs.
    """

    bundle: Bundle
    preset: str | None
    verifications: Mapping[str, Verification]
    operators: Mapping[str, Mapping[str, int]]


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
        data: A data set whose clips the verification uses; the calibration's, or synthetic motion, where None.
        precisions: Of :data:`mmn_edge.bundle.PRECISIONS`; None means fp32, and int8 where there are int8 ranges;
            ``"auto"`` alone means all that can be made.
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
    wanted = _precisions(precisions, len(ranged) == len(members), calibration)

    quantization: dict[str, Any] = {}
    layers: Mapping[str, Site] = {}
    if any(map(_is_int8, wanted)):
        quantization = {"ranges": "of the checkpoint", **_mapping(first.description.get("quantization"))}
        if calibration is not None:
            progress("calibrating int8 ranges")
            split = split or ("train" if "train" in reading.splits(calibration) else None)
            windows = _data_windows(calibration, split, MAX_CALIBRATION_WINDOWS, arch, layout, note)
            for member in members:
                _calibrate(member.fake, windows, member.identity.preprocessing(member.network.arch))
            quantization = {
                "ranges": f"post-training, {len(windows)} clips of {calibration.name}" + (f":{split}" if split else "")
            }
        for member in members:
            enable(member.fake, set(quantized_sites(member.fake)).difference(merged_sites(member.network)))
        layers = _by_stream(members, lambda member: quantized_layers(member.fake))
        quantization["kept"] = [
            name for name in _by_stream(members, lambda member: dict.fromkeys(sites(member.fake))) if name not in layers
        ]

    progress("gathering windows to verify with")
    source = data or calibration
    if source is None:
        windows, data_name = sample_windows(arch), "synthetic motion"
    else:
        windows = _data_windows(source, None if data else split, MAX_DATA_WINDOWS, arch, layout, note)
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
    with write_bundle(output) as writer:
        progress("writing the ONNX graph")
        single = onnx_graph(deploy)
        for precision in wanted:
            model = writer.folder / _file(precision)
            derived = halved(single) if precision.endswith("fp16") else single
            if _is_int8(precision):
                derived = quantized(derived, layers)
            report = lint(derived, quantization["kept"] if _is_int8(precision) else (), precision=precision)
            save_onnx(derived, model)
            progress(f"verifying {precision} in ONNX Runtime against PyTorch")
            if precision == "fp32":
                verification = compare(plain, model, inputs, data=data_name)
            elif precision == "fp16":
                verification = compare_half(plain, model, inputs, data=data_name)
            else:
                quantization |= {"pairs": report.pairs, "int8_weights": report.int8_weights}
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
                inputs=_input_specs(input_kind, arch),
                outputs=_output_specs(arch.num_classes, temperature, identity.task),
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
                decoder=described_decoder(first.description, identity.labels, first.path),
                quantization=quantization or None,
            )
        )
    return Conversion(Bundle.open(output), identity.preset, verifications, operators)


def _is_int8(precision: str) -> bool:
    return precision.startswith("int8")


def _by_stream(members: Sequence[Member], of: Callable[[Member], Mapping[str, _Value]]) -> dict[str, _Value]:
    """What ``of`` says of each member's layers, by their sites in the graph: several streams are prefixes."""
    return {
        f"{member.identity.stream}.{name}" if len(members) > 1 else name: value
        for member in members
        for name, value in of(member).items()
    }


def _file(precision: str) -> str:
    return f"model.{precision}.onnx"


def _precisions(requested: Sequence[str] | None, quantized: bool, calibration: Path | None) -> tuple[str, ...]:
    """The precisions to write, in a fixed order.

    Raises:
        UsageError: Unknown ones, int8 without ranges, or ranges from two places.
    """
    if quantized and calibration is not None:
        raise UsageError("this checkpoint is quantized and has int8 ranges of its own: leave --calibration out")
    if requested is None:
        return ("fp32", "int8") if quantized or calibration is not None else ("fp32",)
    if list(requested) == ["auto"]:
        possible = PRECISIONS if half_scales_work() else PRECISIONS[:3]
        return possible if quantized or calibration is not None else PRECISIONS[:2]
    unknown = [precision for precision in requested if precision not in PRECISIONS]
    if unknown or not requested:
        raise UsageError(f"unknown precision {', '.join(unknown)!r}: choose of {', '.join(PRECISIONS)}")
    int8 = any(map(_is_int8, requested))
    if int8 and not quantized and calibration is None:
        raise UsageError(
            "int8 needs ranges, and this checkpoint has none: give clips to take them from with --calibration DATA, or "
            "convert a checkpoint of mmn-edge quantize or of quantization-aware training"
        )
    if not int8 and calibration is not None:
        raise UsageError("--calibration is for int8, which is not among the precisions: leave one of the two out")
    for precision in requested:
        check_half_scales(precision)
    return tuple(precision for precision in PRECISIONS if precision in requested)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _calibrate(network: MMN, windows: FloatArray, preprocessing: Preprocessing) -> None:
    """Quantize all but the sensitive layers of a plain network, with ranges from keypoint windows."""
    features = [torch.from_numpy(x) for x in as_features(windows, preprocessing, network.arch.num_people).values()]
    quantize(network, default_kept(network))
    calibrate(network, [[x[start : start + BATCH] for x in features] for start in range(0, len(windows), BATCH)])


def _data_windows(
    data: Path,
    split: str | None,
    limit: int,
    arch: Architecture,
    layout: layouts.Layout | None,
    note: Callable[[str], None],
) -> FloatArray:
    """Up to ``limit`` whole clips, spread over the data set, as windows ``(N, T, V, C)`` of the network's joints."""
    found = testset.read(data, split)
    for finding in found.findings:
        note(finding)
    spread = np.unique(np.linspace(0, len(found.clips) - 1, limit).astype(int))
    found = replace(found, clips=tuple(found.clips[index] for index in spread))
    bones = layout.bones if layout else ()
    windows = [window_of(clip, arch.num_frames) for clip in testset.fitted_keypoints(found, arch, layout, bones, note)]
    return np.stack(windows).astype(np.float32)


def _input_specs(kind: str, arch: Architecture) -> tuple[TensorSpec, ...]:
    if kind == "keypoints":
        meaning = (
            "raw coordinates of one window in the data set's joint order (people-major where there are several), in "
            "any unit: they are normalised inside; finite, missing joints filled in"
        )
        shape = ("N", arch.num_frames, arch.graph_joints, arch.in_channels)
        return (TensorSpec("keypoints", "float32", shape, meaning),)
    features = ("N", arch.in_channels, arch.num_frames, arch.num_joints, arch.num_people)
    return (
        TensorSpec("features", "float32", features, "preprocessed window, see preprocessing"),
        TensorSpec("index_t", "float32", ("N", arch.num_frames), "2 x frame index / clip length - 1"),
    )


def _output_specs(classes: int, temperature: float, task: str) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec("logits", "float32", ("N", classes), "one a class, in the order of labels"),
        TensorSpec(
            "probabilities",
            "float32",
            ("N", classes),
            ("sigmoid of each logit" if task == DETECT else "softmax of the logits")
            + (f" / {temperature:g}" if temperature != 1 else ""),
        ),
    )


def _tools() -> dict[str, str]:
    return {
        "mmn-edge": mmn_edge.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "onnx": onnx.__version__,
        "onnxruntime": load_onnxruntime().__version__,
        "opset": str(OPSET),
    }
