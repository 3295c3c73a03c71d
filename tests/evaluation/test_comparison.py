from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.datasets.reading import Clip
from mmn_edge.errors import UsageError
from mmn_edge.evaluation.comparison import Comparison
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.classifier import Classifier
from mmn_edge.model.labels import Labels
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import Preprocessing

CLASSES = ("a", "b", "c")


def clips(split: str, labels: str, first: int = 0, names: tuple[str, ...] = CLASSES) -> EvaluationSet:
    """Clips whose first coordinate is the class that they are of."""
    made = []
    for index, letter in enumerate(labels):
        keypoints = np.full((4, 22, 2), 1 + CLASSES.index(letter), dtype=np.float32)
        made.append(Clip(f"clip{first + index}", names.index(letter), keypoints))
    return EvaluationSet(Path("set.pkl"), split, tuple(made), names, None)


def oracle(
    name: str, order: str, strength: float = 4.0, temperature: float = 1.0, fitted_on: str | None = None
) -> Classifier:
    """A model that reads the class off the first coordinate, its own classes in ``order``."""
    layout = layouts.get("imigue")

    def run(inputs: Mapping[str, FloatArray]) -> FloatArray:
        read = inputs["keypoints"][:, 0, 0, 0].astype(int) - 1
        return np.stack([[strength * (CLASSES[i] == letter) for letter in order] for i in read]).astype(np.float32)

    return Classifier(
        name=name,
        precision="fp32",
        backend="none",
        architecture=Architecture(num_classes=len(order), num_joints=22),
        labels=Labels(tuple(order)),
        layout=layout,
        preprocessing=Preprocessing.for_layout(layout, "joint"),
        input="keypoints",
        temperature=temperature,
        run=run,
        fitted_on=fitted_on,
    )


def ask(comparison: Comparison, *models: Classifier) -> Comparison:
    for model in models:
        comparison.ask(model, batch=2, on_batch=lambda count: None)
    return comparison


def test_models_and_data_may_order_their_classes_each_in_its_own_way() -> None:
    data = clips("val", "abca", names=("c", "a", "b"))
    report = ask(Comparison(data, "deployed"), oracle("one", "bca"), oracle("two", "cab")).report()
    assert report.labels.classes == ("b", "c", "a")
    assert report.targets.tolist() == [2, 0, 1, 2]
    assert [scores.top1 for scores in report.scores] == [1.0, 1.0]
    assert report.trials[1].logit_difference(report.trials[0]) == (0.0, 0.0)


def test_models_of_other_classes_are_not_compared() -> None:
    with pytest.raises(UsageError, match="two cannot be compared"):
        ask(Comparison(clips("val", "ab"), "deployed"), oracle("one", "abc"), oracle("two", "abcd"))


def test_a_model_that_detects_is_not_scored_on_clips() -> None:
    with pytest.raises(UsageError, match="--events ANNOTATIONS"):
        ask(Comparison(clips("val", "ab"), "deployed"), replace(oracle("one", "abc"), task="detect"))


def test_what_the_report_must_say() -> None:
    report = ask(Comparison(clips("train", "aab"), "deployed"), oracle("one", "abc")).report(restrict=True)
    assert any("called train" in note for note in report.notes)
    assert any(note == "1 of the model's 3 classes have no clips here: c." for note in report.notes)
    assert any("restricted to the 2 classes" in note for note in report.notes)
    assert report.allowed is not None
    assert report.allowed.tolist() == [0, 1]


def test_fusing() -> None:
    comparison = Comparison(clips("test", "abc", first=50), "deployed", fit_clips=clips("val", "abcabc"))
    assert comparison.windows == 9
    ask(comparison, oracle("one", "abc", -3.0), oracle("two", "cba", 2.0))
    assert comparison.fused("mean").logits == pytest.approx(-0.5 * np.eye(3))
    fused = comparison.fused("weights")
    assert fused.logits.argmax(axis=1).tolist() == [0, 1, 2]
    assert any("(0.000, " in note and "fitted on set.pkl:val" in note for note in comparison.notes)
    assert not any("CAUTION" in note for note in comparison.notes)
    report = comparison.report(fused=fused)
    assert (report.shown, report.fused) == (2, True)


def test_weights_fitted_on_what_is_measured_are_called_that() -> None:
    data = clips("val", "abc")
    comparison = ask(Comparison(data, "deployed", fit_clips=data), oracle("one", "abc"))
    comparison.fused("weights")
    assert any("CAUTION: 3 of the clips" in note for note in comparison.notes)


def test_a_temperature_is_named_with_its_origin() -> None:
    own = oracle("own", "abc", 4.0, 1.5, fitted_on="set.pkl:val, 3 clips")
    models = oracle("plain", "abc"), oracle("warm", "abc", 4.0, 2.0), own
    assert ask(Comparison(clips("val", "abc"), "deployed"), *models).notes == [
        "warm: probabilities are at its temperature, 2.",
        "own: probabilities are at its temperature, 1.5, fitted on set.pkl:val, 3 clips.",
        "CAUTION: these are the same clips, so own's ECE and NLL look better than they are.",
    ]
    other = ask(Comparison(clips("test", "abc"), "deployed"), *models).notes
    assert not any("CAUTION" in note for note in other)


def test_the_mean_of_several_is_at_the_mean_of_their_temperatures() -> None:
    models = oracle("one", "abc", temperature=2.0), oracle("two", "abc")
    comparison = ask(Comparison(clips("test", "abc"), "deployed", fit_clips=clips("val", "abcabc")), *models)
    assert comparison.fused("mean").temperature == 1.5
    assert "Probabilities of the fused row are at the mean of the models' temperatures, 1.5." in comparison.notes
    assert comparison.fused("weights").temperature == 1  # weights set the confidence themselves
