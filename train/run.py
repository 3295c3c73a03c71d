"""A training run from what people name: data, a recipe, perhaps a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmn_edge.datasets import reading
from mmn_edge.errors import DataError, UsageError
from mmn_edge.evaluation.testset import default_split
from mmn_edge.events.dataset import is_annotated, open_annotated
from mmn_edge.model import labels, presets
from mmn_edge.model.task import DETECT
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.layouts import Layout
from mmn_edge.train import recipe as recipe_files
from mmn_edge.train.data import AnnotatedData, SyntheticData, TrainingData, class_counts
from mmn_edge.train.detection import RecordingData, SceneData
from mmn_edge.train.distributed import joined
from mmn_edge.train.log import EpochResult
from mmn_edge.train.recipe import Recipe
from mmn_edge.train.start import begin
from mmn_edge.train.trainer import Trainer

__all__ = ["MADE", "SCENES", "SYNTHETIC", "planned", "train", "unlearnable"]

SYNTHETIC, SCENES = "synthetic", "synthetic-scenes"
MADE = (SYNTHETIC, SCENES)
"""Data that is made and not read."""

SIZE = 1040
"""Synthetic clips an epoch."""


def train(
    data: str,
    output: Path,
    *,
    recipe: str | None = None,
    changes: Iterable[str] = (),
    checkpoint: Path | None = None,
    resume: bool = False,
    device: str | None = None,
    on_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> EpochResult:
    """Train MMN, as ``mmn-edge train`` does.

    Args:
        data: A data set, or one of :data:`MADE`.
        output: Folder of the run; ``best.pt`` and ``last.pt`` in it describe themselves.
        recipe: A recipe's name or file; None takes the data's own, or ``custom``.
        changes: ``FIELD=VALUE`` of the recipe.
        checkpoint: Start from its weights; None begins anew.
        resume: Continue the run in ``output`` after its last whole epoch.
        device: ``cpu``, ``cuda`` or ``cuda:1``; None takes a GPU where there is one.
        on_epoch: Called with each epoch's result.

    Returns:
        The best epoch.

    Raises:
        UsageError: A recipe that is unknown or does not fit the data.
        DataError: The data cannot be used.
        CheckpointError: ``checkpoint`` or the run to resume cannot be.
    """
    with planned(data, recipe=recipe, changes=changes, output=output, checkpoint=checkpoint, device=device) as trainer:
        return trainer.fit(resume=resume, on_epoch=on_epoch)


@contextmanager
def planned(
    data: str,
    *,
    recipe: str | None = None,
    changes: Iterable[str] = (),
    output: Path | None = None,
    checkpoint: Path | None = None,
    qat: bool = False,
    train_split: str = "train",
    val_split: str | None = None,
    size: int = SIZE,
    device: str | None = None,
    tensorboard: bool = False,
) -> Iterator[Trainer]:
    """A trainer that is ready to begin, in this process or as one of those that torchrun started.

    Args:
        data: As for :func:`train`, with the next two and ``checkpoint`` and ``device``.
        recipe: See there.
        changes: See there.
        output: Folder of the run; None: below ``runs``, by the recipe's name.
        checkpoint: See there.
        qat: Quantization-aware fine-tuning of the checkpoint.
        train_split: Name of the training split.
        val_split: Name of the validation split; None: ``val``, or ``test`` where there is no ``val``.
        size: Synthetic clips an epoch.
        device: See there.
        tensorboard: Write TensorBoard events beside ``log.csv``.

    Raises:
        UsageError: As for :func:`train`, with the others.
    """
    changes = tuple(changes)
    chosen, layout, preset = _chosen(data, recipe, changes, qat, train_split, checkpoint)
    window = preset.window if preset else presets.Window()
    source = _source(data, layout, preset, chosen, train_split, val_split, size)
    seconds = getattr(source, "seconds", None)
    if seconds is not None:
        window = window.of_clips(seconds)
    stream = next((text.partition("=")[2] for text in changes if text.startswith("stream=")), None)
    folder = output or Path("runs") / (chosen.name if stream is None else f"{chosen.name}-{stream}")
    with joined(device) as processes:
        yield Trainer(
            source,
            begin(source, layout, chosen, checkpoint),
            layout,
            folder,
            window,
            processes,
            tensorboard,
            clip_seconds=seconds,
        )


def unlearnable(source: TrainingData) -> list[str]:
    """One sentence where classes have no training clip; none where all have."""
    counts = class_counts(source.epoch(0), len(source.labels))
    empty = [name for name, count in zip(source.labels.classes, counts, strict=True) if not count]
    if not empty:
        return []
    return [f"{len(empty)} classes have no training clip and cannot be learned: {', '.join(empty)}"]


def _chosen(
    data: str, name: str | None, changes: tuple[str, ...], qat: bool, split: str, checkpoint: Path | None
) -> tuple[Recipe, Layout, presets.Preset | None]:
    """The recipe that fits the data, the layout, and the recipe's preset where it names one."""
    annotated = data not in MADE and is_annotated(Path(data))
    own_layout = None if data in MADE else _own_layout(Path(data), split)
    if name is None:
        if data not in MADE and own_layout is None:
            raise UsageError(
                f"say how to train on {data} with --recipe: {', '.join(recipe_files.names())}, or a .yaml file"
            )
        name = data if data in MADE else "events" if annotated else "custom"
    recipe = recipe_files.load(name, changes, qat=qat)
    if recipe.qat.enabled and checkpoint is None:
        raise UsageError("quantization-aware training fine-tunes a trained network: name its checkpoint with --from")
    if recipe.preset != data and (data in MADE or recipe.preset in MADE):
        raise UsageError(f"recipe {name} is not for {data}: synthetic data and its recipe belong together")
    if (recipe.task == DETECT) != (annotated or data == SCENES):
        raise UsageError(
            f"recipe {name} is of the task {recipe.task}: classify takes clips with a class each, detect takes "
            f"recordings with annotations, or {SCENES}"
        )
    preset = presets.get(recipe.preset) if recipe.preset else None
    layout_name = preset.layout if preset else own_layout
    if layout_name is None:
        raise UsageError(
            f"{data} does not say its layout, and recipe {name} names no preset: choose one with --set preset=.., or "
            "import the data with 'mmn-edge data import', which writes the layout"
        )
    return recipe, layouts.get(layout_name), preset


def _own_layout(path: Path, split: str) -> str | None:
    """The layout that a data set says it is in, read off the first clip of a split that can be read."""
    if not path.exists():
        raise DataError(
            f"{path} does not exist: name an annotation pickle, a folder, or the word {SYNTHETIC} or {SCENES}"
        )
    if is_annotated(path):
        return next((one.layout() for one in open_annotated(path).recordings), None)
    for entry in reading.open_source(path, split).of_split(split):
        with suppress(DataError):  # said when all are read
            return entry.read().layout
    return None


def _source(
    data: str,
    layout: Layout,
    preset: presets.Preset | None,
    recipe: Recipe,
    train_split: str,
    val_split: str | None,
    size: int,
) -> TrainingData:
    if data == SCENES:
        return SceneData(size, max(size // 130, 2), recipe.seed, presets.get(SCENES).window, recipe.detect.focus)
    if data == SYNTHETIC:
        return SyntheticData(size, max(size // 2, 13), recipe.seed)
    path = Path(data)
    if recipe.task == DETECT:
        names = labels.get(preset.labels) if preset and preset.labels else None
        window = preset.window if preset else presets.Window()
        focus, validation = recipe.detect.focus, val_split or "val"
        return RecordingData(path, layout, names, train_split, validation, recipe.seed, window, focus)
    val_split = val_split or default_split(path) or "val"
    named = preset.labels if preset else None
    return AnnotatedData(path, layout, labels.get(named) if named else None, train_split, val_split)
