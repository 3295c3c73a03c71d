import numpy as np
import pytest
from scipy import optimize

from mmn_edge.errors import DataError
from mmn_edge.evaluation.calibration import MAX_SCALE, TemperatureFit, cross_fitted, fit_temperature, fit_weights
from mmn_edge.evaluation.evaluation import EXCLUDED
from mmn_edge.evaluation.metrics import Array, Indices, cross_entropy, softmax


def calibrated(count: int, classes: int = 5, seed: int = 0) -> tuple[Array, Indices]:
    """Logits, and labels drawn from just their probabilities: the right temperature is 1."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(count, classes))
    cumulated = softmax(logits).cumsum(axis=1)
    return logits, (cumulated < rng.random((count, 1))).sum(axis=1).astype(np.int64)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_logits_is_found(temperature: float) -> None:
    logits, labels = calibrated(20_000)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.04)


def test_the_temperature_is_the_minimum() -> None:
    logits, labels = calibrated(300)
    best = fit_temperature(3 * logits, labels)
    losses = [cross_entropy(3 * logits / t, labels) for t in (best * 0.99, best, best * 1.01)]
    assert losses[1] == min(losses)


def test_clips_without_errors_do_not_ask_for_infinity() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(1 / MAX_SCALE)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(MAX_SCALE)


def test_excluded_classes_do_not_disturb() -> None:
    logits, labels = calibrated(500, 3)
    wider = np.concatenate([logits, np.full((500, 2), EXCLUDED)], axis=1)
    assert fit_temperature(wider, labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-6)


def test_weights_prefer_the_model_that_knows() -> None:
    logits, labels = calibrated(3000)
    noise = np.random.default_rng(1).normal(size=logits.shape)
    weights = fit_weights([noise, logits, -logits], labels)
    assert weights[1] - weights[2] == pytest.approx(1.0, abs=0.1)
    assert weights[0] == pytest.approx(0.0, abs=0.05)
    assert weights.min() >= 0
    # A model that is wrong on purpose gets nothing, not a negative weight.
    assert fit_weights([-logits], labels).tolist() == [0.0]


def test_weights_are_the_minimum() -> None:
    one, labels = calibrated(400)
    rng = np.random.default_rng(2)
    models = [one + rng.normal(size=one.shape) * s for s in (1.0, 2.0, 3.0)]
    weights = fit_weights(models, labels)

    def loss(w: Array) -> float:
        return cross_entropy(np.tensordot(w, np.stack(models), 1), labels)

    for step in 0.01 * np.concatenate([np.eye(3), -np.eye(3)]):
        if (weights + step).min() >= 0:
            assert loss(weights + step) > loss(weights)


def test_cross_fitting_uses_the_other_half() -> None:
    logits, labels = calibrated(40)
    scaled = cross_fitted(logits, labels)
    factors = (scaled / logits)[:, 0].round(9)
    assert len(set(factors.tolist())) == 2
    # With other labels in one half only the other half's factor changes.
    first = factors == factors[0]
    shuffled = labels.copy()
    shuffled[first] = (labels[first] + 1) % 5
    again = (cross_fitted(logits, shuffled) / logits)[:, 0].round(9)
    assert (again[first] == factors[first]).all()
    assert (again[~first] != factors[~first]).all()


def test_an_overconfident_model_gets_better_honestly() -> None:
    logits, labels = calibrated(2000)
    fit = TemperatureFit.of(4 * logits, labels, 1.0)
    assert fit.ece > 0.15
    assert fit.ece_cross_fitted < 0.05
    assert fit.cross_entropy_cross_fitted < fit.cross_entropy
    assert TemperatureFit.of(4 * logits, labels, 4.0).ece < 0.05
    assert set(fit.to_dict()) >= {"temperature", "ece", "ece_cross_fitted"}


def test_nothing_can_be_fitted_on_nothing() -> None:
    empty, one = np.zeros((0, 3)), np.zeros((1, 3))
    with pytest.raises(DataError, match="without clips"):
        fit_weights([empty], np.zeros(0, dtype=np.int64))
    with pytest.raises(DataError, match="at least two"):
        cross_fitted(one, np.zeros(1, dtype=np.int64))


def test_the_bound_of_weights_is_20() -> None:
    logits, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    assert fit_weights([logits], labels) == pytest.approx([20.0])
    assert fit_weights([-logits, logits], labels) == pytest.approx([0.0, 20.0])
    assert fit_temperature(logits, labels) == pytest.approx(0.05)
    assert fit_temperature(-logits, labels) == pytest.approx(20.0)


@pytest.mark.parametrize("seed", range(5))
def test_scipy_finds_the_same_weights_and_temperature(seed: int) -> None:
    one, labels = calibrated(300, seed=seed)
    rng = np.random.default_rng(seed)
    models = [2 * one + rng.normal(size=one.shape) * s for s in (0.5, 2.0, 4.0)]
    models.append(rng.normal(size=one.shape) - one)  # to be left out

    def loss(w: Array) -> float:
        return cross_entropy(np.tensordot(w, np.stack(models), 1), labels)

    bounds = [(0, MAX_SCALE)] * len(models)
    found = optimize.minimize(loss, np.full(len(models), 0.25), bounds=bounds, method="L-BFGS-B", tol=1e-12)
    weights = fit_weights(models, labels)
    assert loss(weights) <= found.fun + 1e-9
    assert weights == pytest.approx(found.x, abs=2e-3)
    scale = optimize.minimize_scalar(
        lambda w: cross_entropy(w * models[0], labels), bounds=(1 / MAX_SCALE, MAX_SCALE), options={"xatol": 1e-9}
    )
    assert fit_temperature(models[0], labels) == pytest.approx(1 / scale.x, rel=1e-5)
