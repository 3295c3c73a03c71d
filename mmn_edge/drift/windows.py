"""Windows of moving skeletons that versions of one model are compared on, all of them fed with the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import UsageError
from mmn_edge.evaluation import testset
from mmn_edge.evaluation.evaluation import Trial
from mmn_edge.evaluation.metrics import Indices
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.classifier import Classifier
from mmn_edge.model.labels import Labels
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.missing import fill_missing
from mmn_edge.skeleton.preprocess import (
    Preprocessing,
    make_stream,
    normalise,
    time_index,
    uniform_indices,
)

__all__ = ["Windows", "as_features", "sample_windows", "window_of"]


@dataclass(frozen=True)
class Windows:
    """What models are asked.

    Attributes:
        name: Where they came from, in words.
        keypoints: ``(N, T, M * V, C)``, finite.
        labels: The classes that models are compared in.
        targets: The class of each window, ``(N,)``; None where nobody said it.
        notes: What a reader of the numbers should know.
    """

    name: str
    keypoints: FloatArray
    labels: Labels
    targets: Indices | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def synthetic(cls, model: Classifier, count: int) -> Windows:
        """Synthetic motion, which has no classes of the model's."""
        return cls("synthetic motion", sample_windows(model.architecture, count=count), model.labels)

    @classmethod
    def of_clips(cls, data: EvaluationSet, model: Classifier, limit: int | None = None) -> Windows:
        """Labelled clips as a deployed model gets them: whole, resampled to the model's frames.

        Args:
            data: The clips.
            model: Whose joints and classes they are given.
            limit: Take at most as many, spread over the data set.

        Raises:
            DataError: Classes that the model does not know.
            LayoutError: Joints that do not fit the model.
        """
        notes = [f"{finding}." for finding in data.findings]
        targets, labels = testset.align(data, model.labels, notes.append)
        bones = model.preprocessing.bones
        clips = testset.fitted_keypoints(
            data, model.architecture, model.layout, bones, notes.append, enough_seen=model.enough_seen
        )
        picked = np.arange(len(clips))
        if limit is not None and limit < len(clips):
            picked = np.unique(np.linspace(0, len(clips) - 1, limit).astype(int))
            notes.append(f"{len(picked)} of {len(clips)} clips were used.")
        keypoints = np.stack([window_of(clips[index], model.architecture.num_frames) for index in picked])
        return cls(data.name, keypoints.astype(np.float32), labels, targets[picked], tuple(notes))

    def inputs(self, model: Classifier, chosen: slice | Indices) -> dict[str, FloatArray]:
        """A model's inputs for some of the windows, by name."""
        if model.input == "keypoints":
            return {"keypoints": self.keypoints[chosen]}
        return as_features(self.keypoints[chosen], model.preprocessing, model.architecture.num_people)

    def ask(self, model: Classifier, *, batch: int, on_batch: Callable[[int], None] = lambda count: None) -> Trial:
        """Run a model on all windows; what it gives need not be finite.

        Raises:
            UsageError: The model takes other windows, or has other classes.
        """
        arch = model.architecture
        taken = (arch.num_frames, arch.graph_joints, arch.in_channels)
        if self.keypoints.shape[1:] != taken:
            raise UsageError(
                f"{model.name} takes windows of (T, V, C) = {taken}, and these are {self.keypoints.shape[1:]}: "
                "compare models of the same input"
            )
        order = testset.align_models(self.labels, model.labels, model.name)
        parts = []
        for start in range(0, len(self.keypoints), batch):
            parts.append(model.run(self.inputs(model, slice(start, start + batch)))[:, order])
            on_batch(len(parts[-1]))
        logits = np.concatenate(parts).astype(np.float64)
        return Trial(model.name, model.precision, model.stream, model.backend, logits, model.temperature, model.task)


def sample_windows(arch: Architecture, *, count: int = 16) -> FloatArray:
    """Windows of a moving synthetic body as raw keypoints ``(count, T, M * V, C)``.

    The body has MA-52's joints. Another layout takes them in turn, which is enough to compare two implementations: what
    matters is that joints move as bodies do, a little, in pixels.
    """
    rng = np.random.default_rng(0)
    source = layouts.get("ma52")
    bones = source.bones
    picks = np.arange(arch.graph_joints) % source.num_joints
    windows = []
    for index in range(count):
        label = clips.CLASSES[index % len(clips.CLASSES)]
        keypoints, _ = clips.clip(label, rng)
        window = window_of(fill_missing(keypoints, bones), arch.num_frames)[:, picks]
        if arch.in_channels > 2:
            depth = np.stack([window[..., 0] * 0.1 + 2.0] * (arch.in_channels - 2), axis=-1)
            window = np.concatenate([window, depth], axis=-1)
        windows.append(window)
    return np.asarray(np.stack(windows), dtype=np.float32)


def window_of(keypoints: FloatArray, frames: int) -> FloatArray:
    """A whole clip ``(L, V, C)`` as one window ``(frames, V, C)``."""
    window: FloatArray = keypoints[uniform_indices(len(keypoints), frames)]
    return window


def as_features(keypoints: FloatArray, preprocessing: Preprocessing, people: int) -> dict[str, FloatArray]:
    """Keypoint windows ``(N, T, M * V, C)`` as the inputs of the features interface."""
    count, frames, _, channels = keypoints.shape
    x = normalise(keypoints).reshape(count, frames, people, -1, channels).transpose(0, 2, 1, 3, 4)
    x = make_stream(x, preprocessing)[..., list(preprocessing.order), :]
    index_t = time_index(uniform_indices(frames, frames), frames)
    return {
        "features": np.ascontiguousarray(x.transpose(0, 4, 2, 3, 1)),
        "index_t": np.tile(index_t, (count, 1)),
    }
