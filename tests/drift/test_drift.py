from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mmn_edge.drift.drift import LIMITS, Drift, Limits, limits_for
from mmn_edge.evaluation.evaluation import Trial


def trial(logits: object, temperature: float = 1.0) -> Trial:
    return Trial("model", "fp16", "joint", "made up", np.asarray(logits, np.float64), temperature)


REFERENCE = trial(np.log([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]]))
MODEL = trial(np.log([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]]))


def test_sigmoids_are_compared_as_questions_of_their_own() -> None:
    logits = np.array([[2.0, -1.0, 0.1], [0.0, -3.0, 4.0]])
    reference = replace(trial(logits, 2.0), task="detect")
    model = replace(trial(logits - np.array([[0.0, 0.0, 0.4], [0.0, 0.0, 0.0]]), 2.0), task="detect")
    drift = Drift.of(model, reference)
    before, after = (1 / (1 + np.exp(-z / 2)) for z in (0.1, -0.3))
    assert drift.max_probability_difference == pytest.approx(before - after)
    divergence = before * np.log(before / after) + (1 - before) * np.log((1 - before) / (1 - after))
    assert drift.kl == pytest.approx(divergence / 2)  # of two windows
    assert drift.agreement == pytest.approx(5 / 6)  # one answer of six changes sides
    assert (drift.windows, drift.worst[0]) == (2, 0)
    # A logit that all classes gain changes nothing in a softmax, and every sigmoid.
    assert Drift.of(replace(trial(logits + 1, 2.0), task="detect"), reference).max_probability_difference > 0.1


def test_a_model_agrees_with_itself() -> None:
    drift = Drift.of(REFERENCE, REFERENCE)
    assert (drift.agreement, drift.max_logit_difference, drift.max_probability_difference) == (1, 0, 0)
    assert (drift.kl, drift.js) == pytest.approx((0, 0), abs=1e-15)
    assert drift.agreement_interval[0] < 1  # four windows prove little
    assert drift.accuracy is None


def test_drift_by_hand() -> None:
    drift = Drift.of(MODEL, REFERENCE)
    assert drift.agreement == 0.75
    assert drift.max_logit_difference == pytest.approx(np.log(5 / 4))
    assert drift.mean_logit_difference == pytest.approx(2 * np.log(5 / 4) / 12)
    assert drift.max_probability_difference == pytest.approx(0.1)
    assert drift.kl == pytest.approx((0.5 * np.log(5 / 4) + 0.4 * np.log(4 / 5)) / 4)
    middle = (0.5 * np.log(0.5 / 0.45) + 0.4 * np.log(0.4 / 0.45)) / 4
    assert drift.js == pytest.approx(middle)  # both halves are the same, mirrored
    assert drift.worst[0] == 1


def test_probabilities_are_at_each_models_temperature() -> None:
    hot = trial(REFERENCE.logits * 2, temperature=2.0)
    assert Drift.of(hot, REFERENCE).max_probability_difference == pytest.approx(0, abs=1e-12)
    assert Drift.of(hot, REFERENCE).max_logit_difference > 1


def test_impossible_classes_diverge_by_nothing() -> None:
    logits = [[0.0, -2000.0], [0.0, -2000.0]]
    drift = Drift.of(trial(logits), trial(logits))
    assert (drift.kl, drift.js) == (0, 0)


def test_accuracy_is_compared_clip_by_clip() -> None:
    accuracy = Drift.of(MODEL, REFERENCE, np.array([0, 0, 2, 1])).accuracy
    assert accuracy is not None
    assert (accuracy.reference, accuracy.model, accuracy.broken, accuracy.repaired) == (0.75, 0.5, 1, 0)
    assert accuracy.lost == 0.25
    assert accuracy.interval[0] < 0.25 < accuracy.interval[1]


def test_limits_say_what_was_broken() -> None:
    drift = Drift.of(MODEL, REFERENCE, np.array([0, 0, 2, 1]))
    assert Limits(0.25, 0.75, 0.11).broken(drift) == ()
    assert Limits(0.25, 0.75, None).broken(drift) == ()
    lost, agreement, probability = Limits(0.24, 0, 1), Limits(1, 0.76, 1), Limits(1, 0, 0.09)
    assert lost.broken(drift) == ("top-1 loses 25.00 points, 24 are allowed",)
    assert agreement.broken(drift) == ("top-1 agreement 75.00%, at least 76.00% is asked for",)
    assert probability.broken(drift) == ("a probability differs by 0.1, 0.09 is allowed",)
    assert len(Limits(0.24, 0.76, 0.09).broken(drift)) == 3


def test_values_that_are_not_finite_are_drift() -> None:
    logits = REFERENCE.logits.copy()
    logits[2, 1] = np.nan
    drift = Drift.of(trial(logits), REFERENCE)
    assert Limits(1, 0, None).broken(drift) == ("1 of 4 windows give values that are not finite",)
    assert drift.worst[0] == 2
    assert json.loads(json.dumps(drift.to_dict(), allow_nan=False))["max_logit_difference"] is None


def test_each_precision_has_its_limits() -> None:
    assert limits_for("fp16") == LIMITS["fp16"] == Limits(0.005, 0.99, 0.01)
    assert limits_for("int8 simulated") == LIMITS["int8"]
    assert limits_for("bf16") == LIMITS["fp32"]
    assert limits_for("int8", min_agreement=0.5) == Limits(0.005, 0.5, None)
