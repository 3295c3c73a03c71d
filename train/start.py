"""What a run begins with: new weights, a checkpoint's, or a checkpoint's with fake quantization."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mmn_edge.errors import CheckpointError
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.description import Identity, described_options, identify
from mmn_edge.model.labels import Labels
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.network.quantization import calibrate, kept_sites, quantize, sites, split_state
from mmn_edge.skeleton.layouts import Layout
from mmn_edge.skeleton.preprocess import Preprocessing
from mmn_edge.train.data import TrainingData, evaluation_batches
from mmn_edge.train.recipe import Recipe
from mmn_edge.train.schedule import HEAD

__all__ = ["Beginning", "begin"]


@dataclass(frozen=True)
class Beginning:
    """What a run begins with.

    Attributes:
        network: The network with its first weights, on the CPU.
        recipe: The recipe; of a checkpoint's run with the network options that the checkpoint has.
        teacher: The floating-point network that a quantized one learns from, in evaluation mode; None: none.
        kept: The layers that quantization-aware training leaves in floating point; None where nothing is quantized.
        note: What the user should know of it, in a sentence; may be empty.
    """

    network: MMN
    recipe: Recipe
    teacher: MMN | None = None
    kept: tuple[str, ...] | None = None
    note: str = ""


def begin(data: TrainingData, layout: Layout, recipe: Recipe, checkpoint: Path | None = None) -> Beginning:
    """Make or load the network that ``recipe`` trains on ``data``.

    The checkpoint may be of another stream, and of other classes: then its body is kept and a new head begins.

    Raises:
        CheckpointError: The checkpoint cannot be read, has other joints, or, to be quantized, other classes.
        UsageError: The recipe asks for what the network does not have, or for quantization-aware training of another
            stream.
    """
    channels = data.validation[0].keypoints.shape[2]
    torch.manual_seed(recipe.seed)
    if checkpoint is None:
        model = recipe.model
        arch = Architecture(
            num_classes=len(data.labels),
            num_joints=layout.num_joints,
            in_channels=channels,
            num_frames=model.frames,
            width=model.width,
            depth=model.depth,
            mlp_width=2 * model.width,
        )
        return Beginning(MMN(arch, drop_path=model.drop_path, head_drop=model.head_drop), recipe)
    state, description = read_checkpoint(checkpoint)
    plain, _ = split_state(state)
    teacher = build_network(plain, described_options(description), origin=str(checkpoint))
    arch = teacher.arch
    # Any stream may begin with these weights; quantization-aware training also learns from what they answer.
    stream = recipe.stream if recipe.qat.enabled else None
    identity = identify(arch, description, preset=None, stream=stream, origin=checkpoint)
    ours = (layout.num_joints, channels)
    if (arch.num_joints, arch.in_channels) != ours:
        raise CheckpointError(
            f"{checkpoint} has (joints, coordinates) = {(arch.num_joints, arch.in_channels)}, and the data set has "
            f"{ours}: fine-tuning goes on with the same joints ('mmn-edge data import' brings clips into its layout)"
        )
    recipe = replace(recipe, model=replace(recipe.model, width=arch.width, depth=arch.depth, frames=arch.num_frames))
    note = ""
    if not _same_classes(identity, "labels" in description, data.labels):
        if recipe.qat.enabled:
            raise CheckpointError(
                f"{checkpoint} was trained on other classes than the data set's: quantization-aware training goes on "
                "with the same ones; fine-tune it without --qat first"
            )
        note = (
            f"{checkpoint} was trained on {arch.num_classes} other classes: its body is kept, and a new head of "
            f"{len(data.labels)} classes begins"
        )
        arch = replace(arch, num_classes=len(data.labels))
        plain = {name: value for name, value in plain.items() if not name.startswith(HEAD)}
    network = MMN(arch, drop_path=recipe.model.drop_path, head_drop=recipe.model.head_drop)
    network.load_state_dict({**{k: v for k, v in network.state_dict().items() if k.startswith(HEAD)}, **plain})
    if not recipe.qat.enabled:
        return Beginning(network, recipe, note=note)
    kept = kept_sites(network, recipe.qat.keep)
    if kept == sites(network):  # the control: the same fine-tuning, nothing quantized
        return Beginning(network, recipe, teacher)
    quantize(network, kept)
    calibrate(network, _calibration_batches(data, layout, recipe))
    return Beginning(network, recipe, teacher, kept)


def _same_classes(identity: Identity, described: bool, ours: Labels) -> bool:
    """Whether a checkpoint's classes are the data's: by name where both have names, else by their number."""
    theirs = identity.labels
    if len(theirs) != len(ours):
        return False
    named = described or identity.preset is not None
    numbered = Labels.numbered(len(ours)).classes
    return not named or theirs.classes == ours.classes or numbered in (theirs.classes, ours.classes)


def _calibration_batches(data: TrainingData, layout: Layout, recipe: Recipe) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Windows of training clips, chosen at random, as evaluation sees them."""
    clips = data.epoch(0)
    order = np.random.default_rng(recipe.seed).permutation(len(clips))[: recipe.qat.calibration_clips]
    preprocessing = Preprocessing.for_layout(layout, recipe.stream)
    chosen = [clips[index] for index in order]
    batches = evaluation_batches(chosen, preprocessing, batch_size=32, frames=recipe.model.frames)
    return [(x, index_t) for x, index_t, _ in batches]
