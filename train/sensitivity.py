"""Which layers cost accuracy in int8, each measured alone, and a choice of those to keep in floating point.

A layer's cost is the error that its quantization alone makes in the logits, as a part of their spread: unlike accuracy
it tells layers apart on few clips. Layers are measured in groups, by kind and scale, and those of the worst groups one
by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmn_edge.evaluation import testset
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.description import Identity
from mmn_edge.network import MMN
from mmn_edge.network.quantization import disable, enable, quantized_sites
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import features, uniform_indices

__all__ = ["Budget", "Choice", "Effect", "Sensitivity", "choose", "groups", "labelled_windows", "measure"]

Batches = Sequence[tuple[Tensor, Tensor, Tensor]]
"""Features ``(N, C_in, T, V, 1)``, time index ``(N, T)``, labels ``(N,)``."""

BATCH = 20

SPLIT = 4
"""Groups, the worst ones, whose layers are measured one by one."""


@dataclass(frozen=True)
class Effect:
    """What quantizing some layers, and no others, does to the network.

    Attributes:
        name: The group's name, or the layer's.
        sites: The layers.
        accuracy: Top-1 on the clips.
        agreement: Share of clips with the same first class as in floating point.
        error: Root mean square of the logits' change, as a part of their standard deviation over clips.
    """

    name: str
    sites: tuple[str, ...]
    accuracy: float
    agreement: float
    error: float


@dataclass(frozen=True)
class Sensitivity:
    """The report.

    Attributes:
        clips: Clips measured on.
        accuracy: Top-1 in floating point.
        everything: All layers quantized.
        groups: By kind and scale, worst first.
        layers: The layers of the worst groups, worst first.
    """

    clips: int
    accuracy: float
    everything: Effect
    groups: tuple[Effect, ...]
    layers: tuple[Effect, ...]

    def ranking(self) -> tuple[Effect, ...]:
        """Groups, or single layers where those were measured, worst first; every layer is in one of them."""
        single = {effect.sites[0] for effect in self.layers}
        whole = [group for group in self.groups if not single.issuperset(group.sites)]
        return tuple(sorted([*self.layers, *whole], key=lambda effect: -effect.error))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """What mixed precision may cost against floating point.

    Attributes:
        points: Top-1, in percentage points.
        agreement: Least share of clips with an unchanged first class.
        error: Largest logit error, as in :class:`Effect`.
    """

    points: float = 0.5
    agreement: float = 0.99
    error: float = 0.1

    def allows(self, effect: Effect, accuracy: float) -> bool:
        """Whether a network of ``accuracy`` in floating point may be quantized like this."""
        lost = 100 * (accuracy - effect.accuracy)
        return lost <= self.points + 1e-9 and effect.agreement >= self.agreement and effect.error <= self.error


@dataclass(frozen=True)
class Choice:
    """A mixed precision.

    Attributes:
        kept: Layers left in floating point.
        steps: What was tried, in order: everything quantized, then without the worst, and so on.
        met: Whether the last step is within the budget.
    """

    kept: tuple[str, ...]
    steps: tuple[Effect, ...]
    met: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def labelled_windows(
    data: Path,
    split: str | None,
    limit: int,
    arch: Architecture,
    identity: Identity,
    *,
    labels: bool = True,
    note: Callable[[str], None] = lambda finding: None,
) -> Batches:
    """Read up to ``limit`` clips, spread over a split, as batches of windows such as a deployed model is given.

    Joints and classes are fitted to the model's as in an evaluation.

    Args:
        data: What :func:`mmn_edge.datasets.reading.read_clips` reads.
        split: The split; all clips where None.
        limit: How many clips at most.
        arch: The network's options.
        identity: Its layout, stream and classes.
        labels: Whether labels count; where not, they are all 0, and classes need not be the model's.
        note: Is told what is odd about the clips, in sentences.

    Raises:
        DataError: The files are broken, or have classes that the network does not know.
        LayoutError: The clips have other joints or coordinates than the network.
    """
    found = testset.read(data, split)
    for finding in found.findings:
        note(finding)
    spread = np.unique(np.linspace(0, len(found.clips) - 1, limit).astype(int))
    found = replace(found, clips=tuple(found.clips[index] for index in spread))
    bones = identity.layout.bones if identity.layout else ()
    keypoints = testset.fitted_keypoints(found, arch, identity.layout, bones, note)
    targets = np.zeros(len(keypoints), np.int64)
    if labels:
        targets, _ = testset.align(found, identity.labels, lambda note: None)
    preprocessing = identity.preprocessing(arch)
    frames = arch.num_frames
    batches = []
    for start in range(0, len(keypoints), BATCH):
        part = keypoints[start : start + BATCH]
        windows = [clip[uniform_indices(len(clip), frames)] for clip in part]
        pairs = [features(window, preprocessing, frames=frames) for window in windows]
        batches.append(
            (
                torch.from_numpy(np.stack([x for x, _ in pairs])),
                torch.from_numpy(np.stack([index for _, index in pairs])),
                torch.from_numpy(targets[start : start + BATCH]),
            )
        )
    return batches


def groups(network: nn.Module) -> dict[str, tuple[str, ...]]:
    """The quantized layers by kind and scale, such as ``scale 0 mapping``, in network order."""
    found: dict[str, list[str]] = {}
    for site in quantized_sites(network):
        block = re.match(r"MFM\.(\d+)\.blocks\.\d+\.([A-Za-z_]+)", site)
        name = f"scale {block[1]} {block[2]}" if block else site.partition(".")[0]
        found.setdefault({"DSs": "downsampling"}.get(name, name), []).append(site)
    return {name: tuple(names) for name, names in found.items()}


def measure(
    network: MMN, batches: Batches, *, on_step: Callable[[int, int], None] = lambda done, total: None
) -> Sensitivity:
    """Measure every group of layers alone, then single layers of the worst groups.

    Args:
        network: Quantized everywhere (``quantize(network, ())``) and calibrated. Its fake quantization is off
            afterwards.
        batches: Labelled clips.
        on_step: Called with the measurements done and planned.
    """
    found = groups(network)
    plan: dict[str, tuple[str, ...]] = {"everything": quantized_sites(network), **found}
    largest = sum(sorted((len(names) for names in found.values()), reverse=True)[:SPLIT])
    total = (len(plan) + largest) * len(batches)
    progress = _Progress(on_step, total)
    first = _effects(network, batches, plan, progress)
    ranked = sorted(first.effects[1:], key=lambda effect: -effect.error)
    worst = [effect for effect in ranked[:SPLIT] if len(effect.sites) > 1]
    singles = {site: (site,) for effect in worst for site in effect.sites}
    second = _effects(network, batches, singles, progress)
    on_step(total, total)
    return Sensitivity(
        clips=first.clips,
        accuracy=first.accuracy,
        everything=first.effects[0],
        groups=tuple(ranked),
        layers=tuple(sorted(second.effects, key=lambda effect: -effect.error)),
    )


def choose(
    network: MMN,
    batches: Batches,
    sensitivity: Sensitivity,
    budget: Budget,
    *,
    on_step: Callable[[Effect], None] = lambda effect: None,
) -> Choice:
    """Keep the worst layers in floating point, one entry of the ranking after another, until the budget is met.

    The ranking is that of layers measured alone; after each step the network is measured as a whole.

    Args:
        network: As for :func:`measure`. The chosen layers' fake quantization is on afterwards.
        batches: Labelled clips.
        sensitivity: Their report.
        budget: What may be lost.
        on_step: Called with each attempt.
    """
    everything = quantized_sites(network)
    kept: set[str] = set()
    steps = [sensitivity.everything]
    on_step(steps[0])
    for effect in sensitivity.ranking():
        if budget.allows(steps[-1], sensitivity.accuracy):
            break
        kept |= set(effect.sites)
        left = tuple(site for site in everything if site not in kept)
        steps += _effects(network, batches, {f"without {effect.name}": left}, _Progress()).effects
        on_step(steps[-1])
    enable(network, [site for site in everything if site not in kept])
    met = budget.allows(steps[-1], sensitivity.accuracy)
    return Choice(tuple(site for site in everything if site in kept), tuple(steps), met)


@dataclass
class _Progress:
    """Counts measurements."""

    on_step: Callable[[int, int], None] = lambda done, total: None
    total: int = 0
    done: int = 0

    def step(self) -> None:
        self.done += 1
        self.on_step(min(self.done, self.total), self.total)


@dataclass(frozen=True)
class _Measured:
    clips: int
    accuracy: float
    effects: list[Effect]


def _effects(network: MMN, batches: Batches, plan: Mapping[str, tuple[str, ...]], progress: _Progress) -> _Measured:
    """Quantize the layers of each entry of ``plan`` alone and compare the logits with those in floating point."""
    network.eval()
    exact: list[FloatArray] = []
    found: dict[str, list[FloatArray]] = {name: [] for name in plan}
    with torch.inference_mode():
        for x, index_t, _ in batches:
            # All plans on one batch, so that what a plan leaves unchanged is computed once and never all held.
            disable(network)
            stages = _Stages(network, x, index_t)
            exact.append(stages.logits(()))
            for name, sites in plan.items():
                enable(network, sites)
                found[name].append(stages.logits(sites))
                progress.step()
    disable(network)
    labels = np.concatenate([labels.numpy() for _, _, labels in batches])
    reference = np.concatenate(exact)
    spread = float(reference.std(axis=0).mean())
    effects = []
    for name, sites in plan.items():
        logits = np.concatenate(found[name])
        effects.append(
            Effect(
                name=name,
                sites=sites,
                accuracy=float((logits.argmax(1) == labels).mean()),
                agreement=float((logits.argmax(1) == reference.argmax(1)).mean()),
                error=float(np.sqrt(np.square(logits - reference).mean()) / max(spread, 1e-12)),
            )
        )
    return _Measured(len(labels), float((reference.argmax(1) == labels).mean()), effects)


class _Stages:
    """The maps of one batch between the network's parts, so that only parts behind a quantized layer run again."""

    def __init__(self, network: MMN, x: Tensor, index_t: Tensor) -> None:
        self.network = network
        self.x, self.index_t = x, index_t
        self.inputs = [network.embed(x, index_t)]
        for downsample in network.DSs:
            self.inputs.append(downsample(self.inputs[-1]))
        self.outputs = [scale(x) for scale, x in zip(network.MFM, self.inputs, strict=True)]

    def logits(self, sites: Iterable[str]) -> FloatArray:
        """Logits ``(N, K)`` with fake quantization on for these layers, and off for all others."""
        network = self.network
        parts = {".".join(site.split(".")[:2]) for site in sites}
        inputs, outputs = list(self.inputs), list(self.outputs)
        changed = any(part.startswith("projection") for part in parts)
        if changed:
            inputs[0] = network.embed(self.x, self.index_t)
        for s, scale in enumerate(network.MFM):
            if s and (changed or f"DSs.{s - 1}" in parts):
                changed = True
                inputs[s] = network.DSs[s - 1](inputs[s - 1])
            if changed or f"MFM.{s}" in parts:
                outputs[s] = scale(inputs[s])
        logits: FloatArray = network.classify(network.fusion(outputs)).numpy()
        return logits
