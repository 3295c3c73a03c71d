"""How good a model is on labelled clips: one code for checkpoints and bundles, so that their numbers compare.

A model is a :class:`~mmn_edge.model.classifier.Classifier`, whatever runs it. Clips become its inputs here, by one of
two protocols:

- ``deployed``: what a deployed model is given. The clip is resampled to the model's T frames, and everything else
  (normalisation, time index) is taken from those, as in the graph of a bundle that is fed with keypoints.
- ``published``: the paper's. Normalisation over all frames of the clip, then T of them, with their time index in the
  clip. The same for clips of T frames; for others logits differ a little (``docs/guides/evaluation.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmn_edge.errors import BundleError, UsageError
from mmn_edge.evaluation.metrics import (
    Array,
    ClassScores,
    F1Mean,
    Indices,
    ReliabilityBins,
    bootstrap_interval,
    brier_score,
    confusion_matrix,
    cross_entropy,
    f1_mean,
    group_probabilities,
    ranking,
    softmax,
    top_k_hits,
)
from mmn_edge.model.classifier import Classifier
from mmn_edge.model.labels import Labels
from mmn_edge.model.task import CLASSIFY
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import features, random_indices, uniform_indices

__all__ = ["DEPLOYED", "EXCLUDED", "PROTOCOLS", "PUBLISHED", "TOP", "Scores", "Trial", "predict"]

DEPLOYED, PUBLISHED = PROTOCOLS = ("deployed", "published")
TOP = 5
BATCH = 32

EXCLUDED = -1e9
"""A logit so low that its class has probability 0 at any temperature, and yet finite."""


def predict(
    classifier: Classifier,
    clips: Sequence[FloatArray],
    *,
    protocol: str = DEPLOYED,
    views: int = 1,
    batch: int = BATCH,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Array:
    """Logits of whole clips.

    Args:
        classifier: The model.
        clips: For every clip keypoints ``(L, V, C)``, finite, joints in the model's layout.
        protocol: One of :data:`PROTOCOLS`.
        views: Temporal samplings of a clip whose logits are averaged. The first is uniform, the others are random as
            in training, the same in every run.
        batch: Windows in a call.
        on_batch: Called with the windows done by each call.

    Returns:
        ``(N, K)``, float64.

    Raises:
        UsageError: An unknown protocol, or ``published`` for a model whose preprocessing is inside.
        BundleError: The model gives logits that are not finite.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    if protocol == PUBLISHED and classifier.input == "keypoints":
        raise UsageError(
            f"{classifier.name} has its preprocessing inside and only sees the frames that it is given, so it cannot "
            "follow the published protocol: evaluate its checkpoint, or a bundle made with --input features"
        )
    frames = classifier.architecture.num_frames
    jobs = [(number, view) for number in range(len(clips)) for view in range(views)]
    total = np.zeros((len(clips), len(classifier.labels)))
    for start in range(0, len(jobs), batch):
        chosen = jobs[start : start + batch]
        windows = [(clips[number], _indices(len(clips[number]), frames, number, view)) for number, view in chosen]
        logits = classifier.run(_inputs(classifier, windows, protocol))
        np.add.at(total, [number for number, _ in chosen], logits.astype(np.float64))
        on_batch(len(chosen))
    if not np.isfinite(total).all():
        raise BundleError(f"{classifier.name} gives logits that are not finite: convert or train it again")
    return total / views


def _indices(length: int, frames: int, number: int, view: int) -> Indices:
    if view == 0:
        return uniform_indices(length, frames)
    return random_indices(length, frames, np.random.default_rng((number, view)))


def _inputs(
    classifier: Classifier, windows: Sequence[tuple[FloatArray, Indices]], protocol: str
) -> dict[str, FloatArray]:
    if classifier.input == "keypoints":
        return {"keypoints": np.stack([clip[indices] for clip, indices in windows])}
    frames = classifier.architecture.num_frames
    if protocol == PUBLISHED:
        pairs = [features(clip, classifier.preprocessing, frames=frames, indices=i) for clip, i in windows]
    else:
        pairs = [features(clip[i], classifier.preprocessing, frames=frames) for clip, i in windows]
    return {"features": np.stack([x for x, _ in pairs]), "index_t": np.stack([t for _, t in pairs])}


@dataclass(frozen=True)
class Scores:
    """Every measure of one model on one split; definitions are in :mod:`mmn_edge.evaluation.metrics`.

    Attributes:
        clips: Clips measured on.
        top1: Fraction whose likeliest class is right.
        top1_interval: 95 % bootstrap interval of it over clips.
        top5: Fraction whose label is among the five likeliest.
        cross_entropy: In nats, at the model's temperature, as are the next two.
        brier: Brier score.
        reliability: Clips by confidence; holds the ECE.
        classes: Per class.
        confusion: ``(K, K)``, rows true, columns predicted.
        body: MA-52's F1_mean, body predictions being the groups of the action predictions; None without groups.
        body_summed: The same with the groups of largest summed probability, which is what a submission holds.
    """

    clips: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    cross_entropy: float
    brier: float
    reliability: ReliabilityBins
    classes: ClassScores
    confusion: Indices
    body: F1Mean | None
    body_summed: F1Mean | None

    @classmethod
    def of(cls, logits: Array, labels: Indices, names: Labels, temperature: float) -> Scores:
        """Measure logits ``(N, K)``, already limited to the classes that may be predicted."""
        scaled = logits / temperature
        probabilities = softmax(scaled)
        # Ranked by logits: probabilities that round to the same number would tie.
        predictions = ranking(logits, 1)[:, 0]
        hits = predictions == labels
        confusion = confusion_matrix(labels, predictions, len(names))
        body = summed = None
        if names.groups:
            groups = group_probabilities(probabilities, names.class_groups, len(names.groups))
            body = f1_mean(labels, predictions, names.class_groups)
            summed = f1_mean(labels, predictions, names.class_groups, body_predictions=ranking(groups, 1)[:, 0])
        return cls(
            clips=len(labels),
            top1=float(hits.mean()),
            top1_interval=bootstrap_interval(hits),
            top5=float(top_k_hits(logits, labels, TOP).mean()),
            cross_entropy=cross_entropy(scaled, labels),
            brier=brier_score(probabilities, labels),
            reliability=ReliabilityBins.of(probabilities, labels),
            classes=ClassScores.of(confusion),
            confusion=confusion,
            body=body,
            body_summed=summed,
        )

    def to_dict(self) -> dict[str, Any]:
        """The single numbers, as JSON-ready values."""
        values: dict[str, Any] = {
            "clips": self.clips,
            "top1": self.top1,
            "top1_interval95": list(self.top1_interval),
            "top5": self.top5,
            "macro_f1": self.classes.macro_f1,
            "micro_f1": self.classes.micro_f1,
            "mean_class_accuracy": self.classes.mean_class_accuracy,
            "cross_entropy": self.cross_entropy,
            "ece": self.reliability.expected_calibration_error,
            "brier": self.brier,
        }
        if self.body is not None and self.body_summed is not None:
            values |= {
                "f1_mean": self.body.mean,
                "body_macro_f1": self.body.body_macro,
                "body_micro_f1": self.body.body_micro,
                "f1_mean_summed_groups": self.body_summed.mean,
            }
        return values


@dataclass(frozen=True)
class Trial:
    """What one model, or several together, said of the clips.

    Attributes:
        name: How tables call it.
        precision: As in :class:`Classifier`.
        stream: The stream of its preprocessing.
        backend: What ran it.
        logits: ``(N, K)`` in the numbering of the first model, all classes.
        temperature: As in :class:`Classifier`.
        task: As in :class:`Classifier`.
    """

    name: str
    precision: str
    stream: str
    backend: str
    logits: Array
    temperature: float = 1.0
    task: str = CLASSIFY

    def limited(self, allowed: Indices | None) -> Array:
        """The logits with all classes but the ``allowed`` ones excluded; None allows all."""
        if allowed is None:
            return self.logits
        limited = np.full_like(self.logits, EXCLUDED)
        limited[:, allowed] = self.logits[:, allowed]
        return limited

    def agreement(self, other: Trial, allowed: Indices | None = None) -> float:
        """The fraction of clips that both take for the same class."""
        same = ranking(self.limited(allowed), 1) == ranking(other.limited(allowed), 1)
        return float(same.mean())

    def logit_difference(self, other: Trial) -> tuple[float, float]:
        """Mean and maximum of the absolute difference of logits."""
        difference = np.abs(self.logits - other.logits)
        return float(difference.mean()), float(difference.max())

    @classmethod
    def fused(cls, trials: Sequence[Trial], weights: Sequence[float], name: str, temperature: float = 1.0) -> Trial:
        """The weighted sum of the logits of several models, whose probabilities are at ``temperature``."""
        logits: Array = np.asarray(
            np.tensordot(np.asarray(weights), np.stack([t.logits for t in trials]), 1), np.float64
        )
        unique = [list(dict.fromkeys(getattr(t, key) for t in trials)) for key in ("precision", "stream", "backend")]
        precision, stream, backend = (" + ".join(values) for values in unique)
        return cls(name, precision, stream, backend, logits, temperature)
