"""Against the examples of scikit-learn's documentation, published tables, and cases worked out by hand."""

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics as oracle

from mmn_edge.evaluation.metrics import (
    ClassScores,
    F1Mean,
    ReliabilityBins,
    bootstrap_interval,
    brier_score,
    confusion_matrix,
    cross_entropy,
    f1_mean,
    group_probabilities,
    log_softmax,
    paired_interval,
    ranking,
    softmax,
    top_k_hits,
    wilson_interval,
)


def scores(labels: list[int], predictions: list[int], classes: int) -> ClassScores:
    return ClassScores.of(confusion_matrix(np.array(labels), np.array(predictions), classes))


def test_softmax_of_large_and_excluded_logits() -> None:
    assert softmax([[1000.0, 1000.0]]).tolist() == [[0.5, 0.5]]
    assert softmax([[0.0, -np.inf]]).tolist() == [[1.0, 0.0]]
    assert log_softmax([[0.0, np.log(3.0)]])[0] == pytest.approx([np.log(0.25), np.log(0.75)])


def test_confusion_rows_are_true_and_columns_predicted() -> None:
    # scikit-learn, confusion_matrix.
    found = confusion_matrix(np.array([2, 0, 2, 2, 0, 1]), np.array([0, 0, 2, 2, 0, 2]), 3)
    assert found.tolist() == [[2, 0, 0], [0, 0, 1], [1, 0, 2]]


def test_f1_precision_and_recall() -> None:
    # scikit-learn, f1_score, precision_score and recall_score.
    found = scores([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 3)
    assert found.f1 == pytest.approx([0.8, 0.0, 0.0])
    assert found.precision == pytest.approx([2 / 3, 0.0, 0.0])
    assert found.recall == pytest.approx([1.0, 0.0, 0.0])
    assert found.macro_f1 == pytest.approx(0.8 / 3)
    assert found.micro_f1 == pytest.approx(2 / 6)
    assert found.support.tolist() == [2, 2, 2]


def test_macro_f1_is_over_the_classes_that_occur() -> None:
    # Class 2 is only predicted, and counts as 0; class 3 does not occur, and does not count.
    found = scores([0, 0, 1, 1], [0, 0, 1, 2], 4)
    assert found.macro_f1 == pytest.approx((1.0 + 2 / 3 + 0.0) / 3)
    assert found.mean_class_accuracy == pytest.approx(0.75)
    assert found.precision[3] == found.recall[2] == 0


def test_mean_class_accuracy() -> None:
    # scikit-learn, balanced_accuracy_score.
    assert scores([0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1], 2).mean_class_accuracy == pytest.approx(0.625)


def test_top_k() -> None:
    # scikit-learn, top_k_accuracy_score.
    values = np.array([[0.5, 0.2, 0.2], [0.3, 0.4, 0.2], [0.2, 0.4, 0.3], [0.7, 0.2, 0.1]])
    labels = np.array([0, 1, 2, 2])
    assert top_k_hits(values, labels, 2).tolist() == [True, True, True, False]
    assert top_k_hits(values, labels, 5).all()


def test_of_equal_scores_the_lower_class_comes_first() -> None:
    assert ranking([[1.0, 2.0, 2.0, 1.0]]).tolist() == [[1, 2, 0, 3]]
    assert ranking([[1.0, 2.0, 2.0, 1.0]], 2).tolist() == [[1, 2]]


def test_cross_entropy() -> None:
    # scikit-learn, log_loss.
    p = np.array([[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]])
    labels = np.array([1, 0, 0, 1])
    assert cross_entropy(np.log(p), labels) == pytest.approx(0.21616, abs=1e-5)


def test_brier_score() -> None:
    p = np.array([[0.8, 0.2, 0.0], [0.0, 0.0, 1.0]])
    assert brier_score(p, np.array([0, 0])) == pytest.approx((0.04 + 0.04 + 1.0 + 1.0) / 2)


def test_f1_mean_is_the_mean_of_four() -> None:
    # Guo et al. 2024, the row of MANet.
    assert F1Mean(72.87, 78.95, 49.22, 61.33).mean == pytest.approx(65.59, abs=0.005)
    # Classes 0 and 1 are one group, 2 the other: action 2 of 4 right, group 3 of 4.
    labels, predictions = np.array([0, 1, 2, 2]), np.array([1, 1, 2, 0])
    found = f1_mean(labels, predictions, (0, 0, 1))
    assert found.action_micro == pytest.approx(0.5)
    assert found.body_micro == pytest.approx(0.75)
    assert found.action_macro == pytest.approx((0.0 + 2 / 3 + 2 / 3) / 3)
    assert found.body_macro == pytest.approx((4 / 5 + 2 / 3) / 2)
    right = f1_mean(labels, predictions, (0, 0, 1), body_predictions=np.array([0, 0, 1, 1]))
    assert (right.body_macro, right.action_macro) == (1.0, found.action_macro)


def test_the_likeliest_group_need_not_be_that_of_the_likeliest_class() -> None:
    groups = group_probabilities(np.array([[0.4, 0.3, 0.3]]), (0, 1, 1), 2)
    assert groups[0] == pytest.approx([0.4, 0.6])


def test_calibration_error_by_hand() -> None:
    # Two bins: (0, 0.5] holds one clip, sure by 0.4 and right; (0.5, 1] two, sure by 0.7 and 0.9, one of them right.
    p = np.array([[0.4, 0.35, 0.25], [0.7, 0.2, 0.1], [0.9, 0.1, 0.0]])
    bins = ReliabilityBins.of(p, np.array([0, 0, 2]), bins=2)
    assert bins.count.tolist() == [1, 2]
    assert bins.confidence == pytest.approx([0.4, 0.8])
    assert bins.accuracy == pytest.approx([1.0, 0.5])
    assert bins.expected_calibration_error == pytest.approx((0.6 * 1 + 0.3 * 2) / 3)


def test_bins_hold_their_upper_edge() -> None:
    bins = ReliabilityBins.of(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0]), bins=2)
    assert bins.count.tolist() == [1, 1]
    assert ReliabilityBins.of(np.array([[1.0, 0.0]]), np.array([0])).count.tolist() == [0] * 14 + [1]


def test_bootstrap_is_close_to_the_normal_interval_and_repeatable() -> None:
    hits = np.arange(1000) < 700
    low, high = bootstrap_interval(hits)
    half = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.006)
    assert bootstrap_interval(hits) == (low, high)
    assert bootstrap_interval(hits, seed=1) != (low, high)
    assert bootstrap_interval(np.ones(5)) == (1.0, 1.0)


def test_score_interval_of_a_proportion() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)


def test_interval_of_paired_proportions() -> None:
    # Fagerland, Lydersen and Laake 2014, BMC Med. Res. Methodol.: airways of 21 children, 1 and 7 of whom changed.
    assert paired_interval(1, 7, 21) == pytest.approx((-0.508, -0.013), abs=1e-3)
    low, high = paired_interval(0, 0, 100)
    assert -low == high > 0.01  # no difference seen is no proof of none


@pytest.mark.parametrize("seed", range(8))
def test_scikit_learn_counts_and_scores_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, count = int(rng.integers(2, 8)), int(rng.integers(1, 60))
    # Not every class occurs, and some are only ever predicted.
    labels = rng.integers(0, int(rng.integers(1, classes + 1)), count)
    predictions = np.where(rng.random(count) < 0.5, labels, rng.integers(0, classes, count))
    confusion = confusion_matrix(labels, predictions, classes)
    assert (confusion == oracle.confusion_matrix(labels, predictions, labels=range(classes))).all()
    found, whole = ClassScores.of(confusion), {"labels": range(classes), "zero_division": 0}
    precision, recall, f1, support = oracle.precision_recall_fscore_support(labels, predictions, **whole)
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.f1 == pytest.approx(f1)
    assert found.support.tolist() == support.tolist()
    assert found.predicted.tolist() == np.bincount(predictions, minlength=classes).tolist()
    assert found.macro_f1 == pytest.approx(oracle.f1_score(labels, predictions, average="macro", zero_division=0))
    assert found.micro_f1 == pytest.approx(oracle.f1_score(labels, predictions, average="micro"))
    present = sorted(set(labels.tolist()))
    mean_recall = oracle.recall_score(labels, predictions, labels=present, average="macro", zero_division=0)
    assert found.mean_class_accuracy == pytest.approx(mean_recall)
    groups = rng.integers(0, 3, classes)
    score = f1_mean(labels, predictions, groups.tolist())
    four = [
        oracle.f1_score(kind[0], kind[1], average=average, zero_division=0)
        for kind in ((groups[labels], groups[predictions]), (labels, predictions))
        for average in ("macro", "micro")
    ]
    assert [score.body_macro, score.body_micro, score.action_macro, score.action_micro] == pytest.approx(four)
    assert score.mean == pytest.approx(np.mean(four))


@pytest.mark.parametrize("seed", range(4))
def test_scikit_learn_and_scipy_measure_probabilities_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.normal(size=(50, 6)), rng.integers(0, 6, 50)
    probabilities = softmax(logits)
    assert probabilities == pytest.approx(special.softmax(logits, axis=1))
    assert log_softmax(logits) == pytest.approx(special.log_softmax(logits, axis=1))
    assert cross_entropy(logits, labels) == pytest.approx(oracle.log_loss(labels, probabilities, labels=range(6)))
    for k in (1, 2, 5):
        hits = oracle.top_k_accuracy_score(labels, probabilities, k=k, labels=range(6))
        assert top_k_hits(logits, labels, k).mean() == pytest.approx(hits)
    brier = oracle.brier_score_loss(labels, probabilities, labels=range(6), scale_by_half=False)
    assert brier_score(probabilities, labels) == pytest.approx(brier)
    count = int(rng.integers(1, 50))
    interval = stats.binomtest(int(rng.integers(0, count + 1)), count)
    expected = interval.proportion_ci(0.95, method="wilson")
    assert wilson_interval(interval.k, interval.n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_a_bootstrap_interval_is_scipys(level: float) -> None:
    values = np.random.default_rng(0).random(200)
    options = {"method": "percentile", "n_resamples": 4000, "rng": 1, "confidence_level": level}
    expected = stats.bootstrap((values,), np.mean, **options).confidence_interval
    found = bootstrap_interval(values, resamples=4000, level=level)
    assert found == pytest.approx((expected.low, expected.high), abs=0.0025)
