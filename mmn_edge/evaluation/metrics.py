"""Measures of a classifier, in NumPy: accuracy, F1, calibration, and how sure one may be of them.

Throughout, ``logits`` are ``(N, K)``, ``labels`` and ``predictions`` ``(N,)`` class indices. Definitions are those of
scikit-learn (https://scikit-learn.org/stable/modules/model_evaluation.html) unless a function says otherwise; what
divides by nothing counts as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Array",
    "ClassScores",
    "F1Mean",
    "Indices",
    "ReliabilityBins",
    "bootstrap_interval",
    "brier_score",
    "confusion_matrix",
    "cross_entropy",
    "f1_mean",
    "group_probabilities",
    "log_softmax",
    "paired_interval",
    "ranking",
    "softmax",
    "top_k_hits",
    "wilson_interval",
]

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

BINS = 15
RESAMPLES = 1000

Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def log_softmax(logits: npt.ArrayLike) -> Array:
    """Logarithms of the probabilities, in float64; a logit of minus infinity is a class that cannot be."""
    x = np.asarray(logits, dtype=np.float64)
    x = x - x.max(axis=-1, keepdims=True)
    result: Array = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return result


def softmax(logits: npt.ArrayLike) -> Array:
    """Probabilities, in float64."""
    result: Array = np.exp(log_softmax(logits))
    return result


def ranking(scores: npt.ArrayLike, count: int | None = None) -> Indices:
    """The classes of each clip, likeliest first, ``(N, min(count, K))``; of equal ones the lower index comes first."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), axis=-1, kind="stable")
    return order[:, :count].astype(np.int64)


def top_k_hits(scores: npt.ArrayLike, labels: Indices, k: int) -> npt.NDArray[np.bool_]:
    """Whether each clip's label is among its ``k`` likeliest classes, ``(N,)``."""
    hits: npt.NDArray[np.bool_] = (ranking(scores, k) == labels[:, None]).any(axis=1)
    return hits


def confusion_matrix(labels: Indices, predictions: Indices, classes: int) -> Indices:
    """Clips of class ``i`` that were taken for class ``j``, ``(K, K)``: rows are true, columns predicted."""
    counts = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of every class, ``(K,)`` each.

    Attributes:
        precision: Right ones among those predicted as the class; 0 where it was never predicted.
        recall: Right ones among the clips of the class; 0 where it has none.
        f1: ``2 TP / (2 TP + FP + FN)``, the harmonic mean of both; 0 for a class without data or predictions.
        support: Clips of the class.
        predicted: Clips predicted as the class.
    """

    precision: Array
    recall: Array
    f1: Array
    support: Indices
    predicted: Indices

    @classmethod
    def of(cls, confusion: Indices) -> ClassScores:
        """From a confusion matrix ``(K, K)``."""
        hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        return cls(
            precision=_ratio(hits, predicted),
            recall=_ratio(hits, support),
            f1=_ratio(2 * hits, support + predicted),
            support=support,
            predicted=predicted,
        )

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that have data or predictions.

        So does scikit-learn's ``f1_score(average="macro")``: a class that is only ever predicted wrongly counts as 0,
        one that does not occur at all does not count.
        """
        return float(self.f1[(self.support > 0) | (self.predicted > 0)].mean())

    @property
    def micro_f1(self) -> float:
        """F1 of the pooled counts; with one label and one prediction a clip that is top-1 accuracy."""
        # Every wrong prediction is one false positive and one false negative.
        hits = self.recall * self.support
        return float(2 * hits.sum() / (self.support.sum() + self.predicted.sum()))

    @property
    def mean_class_accuracy(self) -> float:
        """Mean recall over the classes that have data, also called balanced accuracy."""
        return float(self.recall[self.support > 0].mean())


def _ratio(part: Indices, whole: Indices) -> Array:
    result: Array = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return result


@dataclass(frozen=True)
class F1Mean:
    """MA-52's score and its four parts (Guo et al., IEEE TCSVT 2024, "Benchmarking Micro-action Recognition")."""

    body_macro: float
    body_micro: float
    action_macro: float
    action_micro: float

    @property
    def mean(self) -> float:
        """The score itself: the mean of the four."""
        return (self.body_macro + self.body_micro + self.action_macro + self.action_micro) / 4


def f1_mean(
    labels: Indices,
    predictions: Indices,
    class_groups: Sequence[int],
    *,
    body_predictions: Indices | None = None,
) -> F1Mean:
    """MA-52's F1_mean: the mean of macro and micro F1 over actions and over body-level groups.

    Args:
        labels: True classes.
        predictions: Predicted classes.
        class_groups: For every class the index of its group.
        body_predictions: Predicted groups; the groups of the predicted classes where None.
    """
    groups = np.asarray(class_groups, dtype=np.int64)
    body = groups[predictions] if body_predictions is None else body_predictions
    action_scores = ClassScores.of(confusion_matrix(labels, predictions, len(groups)))
    body_scores = ClassScores.of(confusion_matrix(groups[labels], body, int(groups.max()) + 1))
    return F1Mean(body_scores.macro_f1, body_scores.micro_f1, action_scores.macro_f1, action_scores.micro_f1)


def group_probabilities(probabilities: Array, class_groups: Sequence[int], groups: int) -> Array:
    """Probabilities ``(N, K)`` summed over the classes of each group, ``(N, G)``."""
    membership = np.eye(groups)[np.asarray(class_groups, dtype=np.int64)]
    return np.asarray(probabilities @ membership, dtype=np.float64)


def cross_entropy(logits: npt.ArrayLike, labels: Indices) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def brier_score(probabilities: Array, labels: Indices) -> float:
    """Mean over clips of the squared distance to the one-hot label, summed over classes (Brier 1950): 0 to 2."""
    distance = probabilities.copy()
    distance[np.arange(len(labels)), labels] -= 1.0
    return float(np.square(distance).sum(axis=1).mean())


@dataclass(frozen=True)
class ReliabilityBins:
    """Clips by confidence, the probability of the predicted class, in equal-width bins ``(low, high]``.

    Attributes:
        edges: ``(B + 1,)`` from 0 to 1.
        count: Clips in each bin, ``(B,)``.
        confidence: Their mean confidence; 0 in an empty bin.
        accuracy: The fraction of them that is right; 0 in an empty bin.
    """

    edges: Array
    count: Indices
    confidence: Array
    accuracy: Array

    @classmethod
    def of(cls, probabilities: Array, labels: Indices, bins: int = BINS) -> ReliabilityBins:
        """From probabilities ``(N, K)``."""
        confidence = probabilities.max(axis=1)
        right = ranking(probabilities, 1)[:, 0] == labels
        edges = np.linspace(0.0, 1.0, bins + 1)
        number = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
        count = np.bincount(number, minlength=bins)

        def mean(values: npt.ArrayLike) -> Array:
            total = np.bincount(number, weights=np.asarray(values, dtype=np.float64), minlength=bins)
            return np.asarray(total / np.maximum(count, 1), dtype=np.float64)

        return cls(edges, count.astype(np.int64), mean(confidence), mean(right))

    @property
    def expected_calibration_error(self) -> float:
        """ECE (Guo et al., ICML 2017, arXiv 1706.04599, equation 3): mean |accuracy - confidence|, bins by count."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((gaps * self.count).sum() / self.count.sum())


def bootstrap_interval(
    values: npt.ArrayLike, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over clips (Efron 1979): what other clips of the same kind may give.

    Args:
        values: One value a clip, such as 1 for a hit and 0 for a miss.
        resamples: Draws of N clips with replacement.
        level: Fraction of resamples inside.
        seed: The same seed gives the same draws for every model.
    """
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    drawn = [data[rng.integers(len(data), size=len(data))].mean() for _ in range(resamples)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson_interval(count: int, total: int, *, z: float = Z95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927), which is right near 0 and 1 too.

    Args:
        count: How often it happened.
        total: Of how many, at least 1.
        z: Quantile of the normal distribution; 95 % unless told.
    """
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))) / (1 + z * z / total)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def paired_interval(lost: int, gained: int, total: int, *, z: float = Z95) -> tuple[float, float]:
    """Interval of the difference of two models' accuracies on the same clips, first minus second.

    Only the clips that one of them has right and the other wrong tell them apart. The Wald interval with one clip more
    of either kind (Bonett and Price 2012, J. Educ. Behav. Stat. 37), which holds its level on few clips too.

    Args:
        lost: Clips that only the first has right.
        gained: Clips that only the second has right.
        total: All clips.
        z: Quantile of the normal distribution; 95 % unless told.
    """
    only_first, only_second = (lost + 1) / (total + 2), (gained + 1) / (total + 2)
    difference = only_first - only_second
    half = z * float(np.sqrt((only_first + only_second - difference**2) / (total + 2)))
    return max(difference - half, -1.0), min(difference + half, 1.0)
