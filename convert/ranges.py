"""The int8 ranges of a conversion: the checkpoints' own, or taken from clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from mmn_edge.convert.checkpoints import Member
from mmn_edge.convert.clip_windows import clip_windows
from mmn_edge.convert.deploy.deploy import merged_sites
from mmn_edge.convert.graph.quantized import Site, quantized_layers
from mmn_edge.datasets import reading
from mmn_edge.drift.windows import as_features
from mmn_edge.network import MMN
from mmn_edge.network.quantization import calibrate, default_kept, enable, quantize, quantized_sites, sites
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import Preprocessing

__all__ = ["Ranges", "calibration_split", "int8_ranges"]

MAX_WINDOWS = 256
BATCH = 32

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Ranges:
    """What is int8, and why.

    Attributes:
        layers: By their sites in the graph.
        kept: The sites that stay in floating point.
        facts: For the manifest: where the ranges come from, and what the checkpoint says of them.
    """

    layers: Mapping[str, Site]
    kept: Sequence[str]
    facts: Mapping[str, Any]


def int8_ranges(
    members: Sequence[Member], calibration: Path | None, split: str | None, note: Callable[[str], None]
) -> Ranges:
    """Quantize the members' networks with fake quantization, in place, and say what is int8.

    Args:
        members: With ranges of their own where there is no calibration.
        calibration: A data set to take ranges from.
        split: Its split; None means all clips.
        note: Is told what is odd about the clips.
    """
    facts = {"ranges": "of the checkpoint", **_mapping(members[0].description.get("quantization"))}
    if calibration is not None:
        first = members[0]
        windows = clip_windows(calibration, split, MAX_WINDOWS, first.network.arch, first.identity.layout, note)
        for member in members:
            _calibrate(member.fake, windows, member.identity.preprocessing(member.network.arch))
        of = f"{calibration.name}:{split}" if split else calibration.name
        facts = {"ranges": f"post-training, {len(windows)} clips of {of}"}
    for member in members:
        enable(member.fake, set(quantized_sites(member.fake)).difference(merged_sites(member.network)))
    layers = _by_stream(members, lambda member: quantized_layers(member.fake))
    every = _by_stream(members, lambda member: dict.fromkeys(sites(member.fake)))
    return Ranges(layers, [name for name in every if name not in layers], facts)


def calibration_split(data: Path, split: str | None) -> str | None:
    """The split of a calibration data set: the one that was asked for, ``train`` where there is one, or all clips."""
    return split or ("train" if "train" in reading.splits(data) else None)


def _by_stream(members: Sequence[Member], of: Callable[[Member], Mapping[str, _Value]]) -> dict[str, _Value]:
    """What ``of`` says of each member's layers, by their sites in the graph: several streams are prefixes."""
    return {
        f"{member.identity.stream}.{name}" if len(members) > 1 else name: value
        for member in members
        for name, value in of(member).items()
    }


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _calibrate(network: MMN, windows: FloatArray, preprocessing: Preprocessing) -> None:
    """Quantize all but the sensitive layers of a plain network, with ranges from keypoint windows."""
    features = [torch.from_numpy(x) for x in as_features(windows, preprocessing, network.arch.num_people).values()]
    quantize(network, default_kept(network))
    calibrate(network, [[x[start : start + BATCH] for x in features] for start in range(0, len(windows), BATCH)])
