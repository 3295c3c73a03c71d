"""Clips as batches of windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mmn_edge import clips as clip_files
from mmn_edge import labels, layouts, synthetic
from mmn_edge.clips import Clip
from mmn_edge.errors import DataError
from mmn_edge.labels import Labels
from mmn_edge.preprocess import Preprocessing, features, fill_missing, random_indices
from mmn_edge.train.augmentation import erase

__all__ = [
    "AnnotatedData",
    "Batch",
    "SyntheticData",
    "TrainingData",
    "evaluation_batches",
    "training_batches",
]

Batch = tuple[Tensor, Tensor, Tensor]
"""Features ``(N, C, T, V, 1)``, time index ``(N, T)``, labels ``(N,)``."""


class TrainingData(Protocol):
    """Labelled clips with every joint filled in."""

    labels: Labels
    validation: Sequence[Clip]

    def epoch(self, number: int) -> Sequence[Clip]:
        """The training clips of one epoch, the same for the same number."""


class AnnotatedData:
    """A data set on disk.

    Args:
        path: What :func:`mmn_edge.clips.read_clips` reads.
        layout: The layout that its joints are in.
        names: Its classes; None takes the file's own names, or numbers.
        train: Name of the training split.
        validation: Name of the validation split.

    Raises:
        DataError: The files are broken, or do not fit the layout or the classes.
    """

    def __init__(self, path: Path, layout: layouts.Layout, names: Labels | None, train: str, validation: str) -> None:
        training_set = clip_files.read_clips(path, train)
        validation_set = clip_files.read_clips(path, validation)
        joints = training_set.clips[0].keypoints.shape[1]
        if joints != layout.num_joints:
            raise DataError(
                f"{path} has clips of {joints} joints, and layout {layout.name} has {layout.num_joints}: choose the "
                "preset of this data set"
            )
        shapes = {clip.keypoints.shape[1:] for clip in (training_set.clips[0], validation_set.clips[0])}
        if len(shapes) > 1:
            raise DataError(f"{path}: the splits {train} and {validation} differ in (V, C): {sorted(shapes)}")
        count = max(training_set.num_classes, validation_set.num_classes)
        if names is None:
            own = training_set.class_names
            names = Labels(own) if own else Labels.numbered(count)
        if count > len(names):
            raise DataError(f"{path} has labels up to {count - 1}, and the preset names {len(names)} classes")
        self.labels = names
        self._training = _filled(training_set.clips, layout)
        self.validation: Sequence[Clip] = _filled(validation_set.clips, layout)

    def epoch(self, number: int) -> Sequence[Clip]:
        """All training clips."""
        return self._training


class SyntheticData:
    """The project's own synthetic set: new clips every epoch, and a validation set that no epoch holds."""

    def __init__(self, size: int, validation_size: int, seed: int) -> None:
        self.labels = labels.get("synthetic")
        self._size, self._seed = size, seed
        self.validation: Sequence[Clip] = self._make(validation_size, 0)

    def epoch(self, number: int) -> Sequence[Clip]:
        """The clips of epoch ``number``, counted from 0."""
        return self._make(self._size, number + 1)

    def _make(self, size: int, number: int) -> list[Clip]:
        bones = layouts.get(synthetic.LAYOUT).bones
        entries = synthetic.dataset(size, seed=self._seed * 100_003 + number)
        return [
            Clip(entry["frame_dir"], entry["label"], fill_missing(entry["keypoint"][0], bones)) for entry in entries
        ]


def training_batches(
    clips: Sequence[Clip],
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    frames: int,
    sampling: str,
    erase_probability: float,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Shuffled batches of sampled windows; the last incomplete batch is dropped."""
    order = rng.permutation(len(clips))
    for start in range(0, len(order) - batch_size + 1, batch_size):
        windows, times, targets = [], [], []
        for index in order[start : start + batch_size]:
            clip = clips[index]
            picked = random_indices(len(clip.keypoints), frames, rng) if sampling == "random" else None
            window, time = features(clip.keypoints, preprocessing, frames=frames, indices=picked)
            windows.append(erase(window, erase_probability, rng))
            times.append(time)
            targets.append(clip.label)
        yield _batch(windows, times, targets)


def evaluation_batches(
    clips: Sequence[Clip], preprocessing: Preprocessing, *, batch_size: int, frames: int
) -> Iterator[Batch]:
    """All clips in order, as uniformly sampled windows."""
    for start in range(0, len(clips), batch_size):
        chosen = clips[start : start + batch_size]
        pairs = [features(clip.keypoints, preprocessing, frames=frames) for clip in chosen]
        yield _batch([x for x, _ in pairs], [t for _, t in pairs], [clip.label for clip in chosen])


def _batch(windows: Sequence[np.ndarray], times: Sequence[np.ndarray], targets: Sequence[int]) -> Batch:  # type: ignore[type-arg]
    return torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(times)), torch.tensor(targets)


def _filled(clips: Sequence[Clip], layout: layouts.Layout) -> list[Clip]:
    return [Clip(clip.name, clip.label, fill_missing(clip.keypoints, layout.bones)) for clip in clips]
