"""Clips as batches of windows.

All randomness is a function of the seed, the epoch and the clip: nothing depends on how many processes or workers
prepare the batches, nor on whether a run was interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmn_edge.datasets import reading as clip_files
from mmn_edge.datasets.duplicates import leaks_between, shared_recordings
from mmn_edge.datasets.facts import median_seconds
from mmn_edge.datasets.findings import Finding, counted
from mmn_edge.datasets.reading import Clip
from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import DataError
from mmn_edge.evaluation.testset import EvaluationSet, align
from mmn_edge.model import labels
from mmn_edge.model.labels import Labels
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.inputs import ModelInputs
from mmn_edge.skeleton.preprocess import Preprocessing, features, random_indices
from mmn_edge.train.augmentation import augment, crop, erase
from mmn_edge.train.recipe import Recipe

__all__ = [
    "AnnotatedData",
    "Batch",
    "Example",
    "SyntheticData",
    "TrainingData",
    "TrainingWindows",
    "class_counts",
    "digest",
    "evaluation_batches",
    "training_batches",
    "training_order",
]

Batch = tuple[Tensor, Tensor, Tensor]
"""Features ``(N, C, T, V, 1)``, time index ``(N, T)``, labels ``(N,)`` or soft targets ``(N, K)``."""

Key = tuple[int, int]
"""Epoch, and index of a clip plus the number of all clips for every time that the epoch had it before."""


class Example(Protocol):
    """A labelled clip or window with every joint filled in."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def label(self) -> int | FloatArray:
        """The class; for the task detect how much there is of each, ``(K,)``."""

    @property
    def keypoints(self) -> FloatArray:
        """Float32 ``(L, V, C)``."""


class TrainingData(Protocol):
    """Labelled clips with every joint filled in."""

    labels: Labels
    findings: tuple[str, ...]

    @property
    def validation(self) -> Sequence[Example]:
        """What the network is validated on, the same after every epoch."""

    def epoch(self, number: int) -> Sequence[Example]:
        """The training clips of one epoch, the same for the same number."""


class AnnotatedData:
    """A data set on disk.

    Args:
        path: What :func:`mmn_edge.datasets.reading.read_clips` reads.
        layout: The layout that its joints are in.
        names: Its classes; None takes the file's own names, or numbers.
        train: Name of the training split.
        validation: Name of the validation split.

    Attributes:
        findings: Clips that were left out, what is odd about the others, and those that are on both sides.
        seconds: How long the training clips are in the median; None where they do not say it.

    Raises:
        DataError: The files are broken, or do not fit the layout or the classes.
    """

    def __init__(self, path: Path, layout: layouts.Layout, names: Labels | None, train: str, validation: str) -> None:
        training_set = clip_files.read_clips(path, train)
        validation_set = clip_files.read_clips(path, validation)
        findings = (*training_set.findings, *validation_set.findings)
        findings += _on_both_sides(training_set, validation_set, train, validation)
        self.findings: tuple[str, ...] = tuple(dict.fromkeys(findings))
        self.seconds = median_seconds(training_set.facts)
        for found in {training_set.layout, validation_set.layout} - {None, layout.name}:
            raise DataError(
                f"{path} is in layout {found}, and the recipe is for {layout.name}: choose another recipe, or bring "
                f"the clips over with 'mmn-edge data import {path} --to {layout.name}'"
            )
        joints = training_set.clips[0].keypoints.shape[1]
        if joints != layout.num_joints:
            raise DataError(
                f"{path} has clips of {joints} joints, and layout {layout.name} has {layout.num_joints}: choose the "
                "recipe of this data set"
            )
        shapes = {clip.keypoints.shape[1:] for clip in (training_set.clips[0], validation_set.clips[0])}
        if len(shapes) > 1:
            raise DataError(f"{path}: the splits {train} and {validation} differ in (V, C): {sorted(shapes)}")
        own = training_set.class_names
        count = max(training_set.num_classes, validation_set.num_classes)
        if names is None:
            names = Labels(own) if own else Labels.numbered(count)
        elif own is None and count > len(names):
            raise DataError(f"{path} has labels up to {count - 1}, and the preset names {len(names)} classes")
        self.labels = names
        self._training = _filled(f"{path}: ", _numbered(path, train, training_set, names), layout)
        self.validation: Sequence[Clip] = _filled(
            f"{path}: ", _numbered(path, validation, validation_set, names), layout
        )

    def epoch(self, number: int) -> Sequence[Clip]:
        """All training clips."""
        return self._training


class SyntheticData:
    """The project's own synthetic set: new clips every epoch, and a validation set that no epoch holds."""

    def __init__(self, size: int, validation_size: int, seed: int) -> None:
        self.labels = labels.get("synthetic")
        self.findings: tuple[str, ...] = ()
        self._size, self._seed = size, seed
        self._latest: tuple[int, Sequence[Clip]] = (-1, ())
        self.validation: Sequence[Clip] = self._make(validation_size, 0)

    def epoch(self, number: int) -> Sequence[Clip]:
        """The clips of epoch ``number``, counted from 0."""
        if self._latest[0] != number:
            self._latest = (number, self._make(self._size, number + 1))
        return self._latest[1]

    def _make(self, size: int, number: int) -> list[Clip]:
        entries = clips.dataset(size, seed=self._seed * 100_003 + number)
        made = [
            Clip(entry["frame_dir"], entry["label"], entry["keypoint"][0], scores=entry["keypoint_score"][0])
            for entry in entries
        ]
        return _filled("", made, layouts.get(clips.LAYOUT))


class TrainingWindows(Dataset[tuple[Any, Any, Any]]):
    """Augmented windows of training clips, by epoch and index."""

    def __init__(
        self, data: TrainingData, preprocessing: Preprocessing, layout: layouts.Layout, recipe: Recipe
    ) -> None:
        self.data, self._preprocessing, self._layout, self._recipe = data, preprocessing, layout, recipe

    def __getitem__(self, key: Key) -> tuple[Any, Any, Any]:
        recipe = self._recipe
        epoch, index = key
        clips = self.data.epoch(epoch)
        clip = clips[index % len(clips)]
        rng = np.random.default_rng([recipe.seed, epoch, index])
        keypoints = augment(crop(clip.keypoints, recipe.data.crop, rng), recipe.augment, self._layout, rng)
        frames = recipe.model.frames
        picked = random_indices(len(keypoints), frames, rng) if recipe.data.sampling == "random" else None
        window, time = features(keypoints, self._preprocessing, frames=frames, indices=picked)
        return erase(window, recipe.augment.erase, rng), time, clip.label


def digest(data: TrainingData) -> str:
    """Tells data sets apart: the names, labels, lengths and keypoints of all clips, in order."""
    found = hashlib.sha256()
    for examples in (data.epoch(0), data.validation):
        for clip in examples:
            label = np.asarray(clip.label)
            found.update(repr((clip.name, label.shape, clip.keypoints.shape)).encode())
            found.update(label.tobytes() + np.ascontiguousarray(clip.keypoints).tobytes())
    return found.hexdigest()


def class_counts(clips: Sequence[Example], classes: int) -> np.ndarray[Any, Any]:
    """How many of ``clips`` each class has, ``(K,)``; of soft targets their sum."""
    counts = np.zeros(classes)
    for clip in clips:
        if isinstance(clip.label, np.ndarray):
            counts += clip.label
        else:
            counts[clip.label] += 1
    return counts


def training_order(clips: Sequence[Example], recipe: Recipe, epoch: int, classes: int) -> np.ndarray[Any, Any]:
    """The second part of every :data:`Key` of an epoch in order: each clip once, unless classes are balanced."""
    rng = np.random.default_rng([recipe.seed, epoch])
    size = len(clips)
    if not recipe.data.balance:
        return rng.permutation(size)
    counts = class_counts(clips, classes)
    weights = np.array([float(counts[clip.label]) ** -recipe.data.balance for clip in clips])
    drawn = rng.choice(size, size=size, replace=True, p=weights / weights.sum())
    # A clip drawn again is augmented anew: its number tells the draws apart.
    before = np.zeros(size, dtype=np.int64)
    for place, index in enumerate(drawn):
        drawn[place] += size * before[index]
        before[index] += 1
    return drawn


def training_batches(
    windows: TrainingWindows,
    recipe: Recipe,
    epochs: Iterable[int],
    *,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> Iterator[Batch]:
    """This process's micro-batches of one epoch after another, ``accumulate`` of them a step.

    An epoch's last incomplete batch is dropped. Micro-batch ``m`` of a step is the same clips however many processes
    share the step. Workers, processes that prepare batches, live through all epochs.
    """
    loader: DataLoader[Any] = DataLoader(
        windows,
        batch_sampler=_keys(windows.data, recipe, epochs, rank, world),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def _keys(data: TrainingData, recipe: Recipe, epochs: Iterable[int], rank: int, world: int) -> Iterator[list[Key]]:
    optim = recipe.optim
    micros = optim.accumulate * world
    size = optim.batch_size // micros
    for epoch in epochs:
        order = training_order(data.epoch(epoch), recipe, epoch, len(data.labels))
        for start in range(0, len(order) - optim.batch_size + 1, optim.batch_size):
            for m in range(rank * optim.accumulate, (rank + 1) * optim.accumulate):
                yield [(epoch, int(index)) for index in order[start + m * size : start + (m + 1) * size]]


def evaluation_batches(
    clips: Sequence[Example], preprocessing: Preprocessing, *, batch_size: int, frames: int
) -> Iterator[Batch]:
    """All clips in order, as uniformly sampled windows."""
    for start in range(0, len(clips), batch_size):
        chosen = clips[start : start + batch_size]
        yield _collate([(*features(clip.keypoints, preprocessing, frames=frames), clip.label) for clip in chosen])


def _collate(entries: Sequence[tuple[Any, Any, Any]]) -> Batch:
    windows, times, targets = zip(*entries, strict=True)
    return torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(times)), torch.from_numpy(np.array(targets))


def _numbered(path: Path, split: str, found: clip_files.ClipSet, names: Labels) -> Sequence[Clip]:
    """The clips with labels as ``names`` numbers them: matched by name where the data set has names."""
    if found.class_names in (None, names.classes):
        return found.clips
    data = EvaluationSet(path, split, found.clips, found.class_names, found.layout)
    indices, _ = align(data, names, lambda note: None)
    return [replace(clip, label=int(label)) for clip, label in zip(found.clips, indices, strict=True)]


def _on_both_sides(
    training: clip_files.ClipSet, held_out: clip_files.ClipSet, train: str, validation: str
) -> tuple[Finding, ...]:
    """Clips that are validated on and trained on as well, whole or in part."""
    taken = {fact.entry.name: fact.digest for fact in training.facts}
    same = [fact.entry.name for fact in held_out.facts if taken.get(fact.entry.name) == fact.digest]
    text = f"of split {validation} in split {train} too, so that the validation accuracy says nothing of new clips"
    sides = training.facts, held_out.facts, train, validation
    return (*counted(same, text), *leaks_between(*sides), *shared_recordings(*sides))


def _filled(origin: str, clips: Sequence[Clip], layout: layouts.Layout) -> list[Clip]:
    """The clips with every joint filled in."""
    inputs = ModelInputs(layout.name, layout, joints=layout.num_joints, channels=layout.channels, bones=layout.bones)
    return [
        replace(clip, keypoints=inputs.take(clip.keypoints, clip.scores, f"{origin}clip {clip.name}")[0])
        for clip in clips
    ]
