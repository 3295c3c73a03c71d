"""Checkpoint to bundle: read, build, export, verify, and only then write."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

import mmn_edge
from mmn_edge import clips, labels, layouts, presets
from mmn_edge.architecture import Architecture
from mmn_edge.bundle import Bundle, Manifest, TensorSpec, check_replaceable, write_bundle
from mmn_edge.convert.exporter import OPSET, export_onnx, operator_counts
from mmn_edge.convert.graph import FeaturesGraph, KeypointsGraph
from mmn_edge.convert.verification import Verification, as_features, compare, sample_windows, window_of
from mmn_edge.errors import BundleError, CheckpointError, LayoutError, UsageError
from mmn_edge.extras import load_onnxruntime
from mmn_edge.files import sha256
from mmn_edge.labels import Labels
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.preprocess import STREAMS, Preprocessing, fill_missing
from mmn_edge.presets import Window
from mmn_edge.skeleton import FloatArray

__all__ = ["INPUTS", "Conversion", "convert"]

INPUTS = ("keypoints", "features")
FP32_MODEL = "model.fp32.onnx"
MAX_DATA_WINDOWS = 64


@dataclass(frozen=True)
class Conversion:
    """What a conversion did."""

    bundle: Bundle
    preset: str | None
    verification: Verification
    operators: Mapping[str, int]


@dataclass(frozen=True)
class _Identity:
    """What the weights themselves do not say: how joints, classes and time are to be understood."""

    preset: str | None
    layout: layouts.Layout | None
    labels: Labels
    window: Window
    stream: str


def convert(
    checkpoint: Path,
    output: Path,
    *,
    preset: str | None = None,
    stream: str | None = None,
    input_kind: str = "keypoints",
    options: Mapping[str, Any] | None = None,
    window_seconds: float | None = None,
    window_stride: float | None = None,
    data: Path | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Conversion:
    """Convert a checkpoint, ours or the authors', to a bundle at ``output``.

    Args:
        checkpoint: A state dict, or a checkpoint of ``mmn-edge train``, which describes itself.
        output: The bundle's folder; an earlier bundle there is replaced at the very end.
        preset: Layout, classes and window by name; None takes the checkpoint's own description, or guesses from
            its shapes.
        stream: The stream it was trained on; None takes the checkpoint's description, or ``"joint"``.
        input_kind: One of :data:`INPUTS`.
        options: Architecture options that shapes cannot tell.
        window_seconds: Length of the live window; None means the preset's.
        window_stride: Seconds between live windows; None means the preset's.
        data: A data set whose clips the verification uses; synthetic motion where None.
        progress: Called with each step's name.

    Raises:
        CheckpointError: The checkpoint cannot be read or is no MMN.
        UsageError: Options that contradict each other or the checkpoint.
        LayoutError: The layout does not fit the network, or is unknown where it must be known.
        BundleError: ``output`` holds something that is no bundle.
        VerificationError: ONNX and PyTorch differ; nothing was written.
    """
    if input_kind not in INPUTS:
        raise UsageError(f"unknown input {input_kind!r}: choose one of {', '.join(INPUTS)}")
    if stream not in (None, *STREAMS):
        raise UsageError(f"unknown stream {stream!r}: choose one of {', '.join(STREAMS)}")
    check_replaceable(output)
    progress("reading the checkpoint")
    state, description = read_checkpoint(checkpoint)
    network = build_network(state, {**_described_options(description), **(options or {})}, origin=str(checkpoint))
    arch = network.arch
    identity = _identify(network, description, preset, stream, checkpoint)
    window = Window(
        arch.num_frames,
        identity.window.seconds if window_seconds is None else window_seconds,
        identity.window.stride if window_stride is None else window_stride,
    )
    layout = identity.layout
    if layout is None and input_kind == "keypoints":
        raise LayoutError(
            f"{checkpoint} has {arch.num_joints} joints and {arch.num_classes} classes, and no preset is known for "
            f"that: name one with --preset ({', '.join(presets.PRESETS)}), give --model-option num_people=.. if "
            "several persons share its joints, or use --input features"
        )
    if layout is not None:
        preprocessing = Preprocessing.for_layout(layout, identity.stream)
    else:
        preprocessing = Preprocessing("joint", tuple(range(arch.num_joints)), ())

    progress("gathering windows to verify with")
    if data is None:
        windows, data_name = sample_windows(arch), "synthetic motion"
    else:
        windows, data_name = _data_windows(data, network, layout), str(data)

    graph: FeaturesGraph | KeypointsGraph
    if input_kind == "keypoints":
        graph = KeypointsGraph(network, preprocessing).eval()
        inputs = {"keypoints": windows}
    else:
        graph = FeaturesGraph(network).eval()
        inputs = as_features(windows, preprocessing, arch.num_people)

    with write_bundle(output) as writer:
        progress("exporting to ONNX")
        model = writer.folder / FP32_MODEL
        example = tuple(torch.from_numpy(x[:2]) for x in inputs.values())
        export_onnx(graph, graph.input_names, example, model)
        progress("verifying ONNX Runtime against PyTorch")
        verification = compare(graph, model, inputs, data=data_name)
        operators = operator_counts(model)
        writer.finish(
            Manifest(
                architecture=arch,
                labels=identity.labels,
                layout=layout.name if layout else None,
                joints=layout.joints if layout else (),
                window=window,
                preprocessing=preprocessing if layout else None,
                input=input_kind,
                inputs=_input_specs(input_kind, network),
                outputs=_output_specs(arch.num_classes),
                models={"fp32": FP32_MODEL},
                source={"file": checkpoint.name, "sha256": sha256(checkpoint)},
                tools=_tools(),
                verification={"fp32": verification.to_dict()},
            )
        )
    return Conversion(Bundle.open(output), identity.preset, verification, operators)


def _identify(
    network: MMN, description: dict[str, Any], preset: str | None, stream: str | None, checkpoint: Path
) -> _Identity:
    """Settle layout, labels, window and stream from the request, the checkpoint's description, and its shapes."""
    arch = network.arch
    trained_on = description.get("stream")
    if trained_on is not None and stream not in (None, trained_on):
        raise UsageError(f"{checkpoint} was trained on stream {trained_on}: leave --stream {stream} out")
    stream = stream or trained_on
    if preset is None and description.get("layout"):
        identity = _from_description(description, stream, checkpoint)
    else:
        preset = preset or presets.guess(arch.num_joints, arch.num_classes, arch.in_channels)
        if preset is None:
            return _Identity(None, None, Labels.numbered(arch.num_classes), Window(), stream or "joint")
        chosen = presets.get(preset)
        names = labels.get(chosen.labels) if chosen.labels else Labels.numbered(arch.num_classes)
        if description.get("labels"):
            names = _described_labels(description, checkpoint)
        identity = _Identity(preset, layouts.get(chosen.layout), names, chosen.window, stream or "joint")
    layout = identity.layout
    if layout is not None and layout.num_joints != arch.num_joints:
        people, rest = divmod(arch.num_joints, layout.num_joints)
        hint = "choose the preset it was trained with"
        if rest == 0 and people > 1:
            hint += f", or give --model-option num_people={people} if several persons share its joints"
        raise LayoutError(
            f"{checkpoint} has {arch.num_joints} joints, and layout {layout.name} has {layout.num_joints}: {hint}"
        )
    if len(identity.labels) != arch.num_classes:
        raise CheckpointError(
            f"{checkpoint} has {arch.num_classes} classes, and preset {identity.preset} names "
            f"{len(identity.labels)}: choose the preset it was trained with"
        )
    return identity


def _described_options(description: dict[str, Any]) -> dict[str, Any]:
    """The architecture options that a checkpoint names of itself; anything else in it is not ours to judge."""
    options = description.get("options")
    known = {field.name for field in fields(Architecture)}
    if not isinstance(options, dict):
        return {}
    return {name: value for name, value in options.items() if name in known and isinstance(value, int | str)}


def _described_labels(description: dict[str, Any], checkpoint: Path) -> Labels:
    try:
        return Labels.from_dict(description["labels"])
    except (BundleError, LookupError, TypeError) as error:
        raise CheckpointError(f"{checkpoint} has a broken list of classes: {error}") from error


def _from_description(description: dict[str, Any], stream: str | None, checkpoint: Path) -> _Identity:
    try:
        return _Identity(
            preset=description.get("preset"),
            layout=layouts.get(description["layout"]),
            labels=_described_labels(description, checkpoint),
            window=Window(**description["window"]),
            stream=stream or "joint",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{checkpoint} describes itself wrongly ({error!r}): say what it is with --preset and --stream"
        ) from error


def _data_windows(data: Path, network: MMN, layout: layouts.Layout | None) -> FloatArray:
    arch = network.arch
    chosen = clips.read_clips(data).clips[:MAX_DATA_WINDOWS]
    shape = chosen[0].keypoints.shape
    if arch.num_people != 1 or shape[1:] != (arch.num_joints, arch.in_channels):
        raise LayoutError(
            f"{data} has clips of (V, C) = {shape[1:]}, and the network takes "
            f"{arch.num_people} x {arch.num_joints} joints with {arch.in_channels} coordinates"
        )
    bones = layout.bones if layout else ()
    windows = [window_of(fill_missing(clip.keypoints, bones), arch.num_frames) for clip in chosen]
    return np.stack(windows).astype(np.float32)


def _input_specs(kind: str, network: MMN) -> tuple[TensorSpec, ...]:
    arch = network.arch
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


def _output_specs(classes: int) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec("logits", "float32", ("N", classes), "one a class, in the order of labels"),
        TensorSpec("probabilities", "float32", ("N", classes), "softmax of the logits"),
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
