from collections.abc import Mapping

import numpy as np
import pytest

from mmn_edge.errors import BundleError, UsageError
from mmn_edge.evaluation.evaluation import Scores, Trial, predict
from mmn_edge.evaluation.metrics import softmax
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.classifier import Classifier
from mmn_edge.model.labels import Labels
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import Preprocessing, features, uniform_indices

NAMES = Labels(("a", "b", "c"), ("one", "two"), (0, 0, 1))


class Recorder:
    """A model that keeps what it is fed, and answers with the first numbers of it."""

    def __init__(self) -> None:
        self.inputs: list[dict[str, FloatArray]] = []

    def __call__(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        self.inputs.append(dict(inputs))
        return next(iter(inputs.values())).reshape(len(next(iter(inputs.values()))), -1)[:, :3]


def classifier(kind: str, recorder: Recorder, stream: str = "bone") -> Classifier:
    layout = layouts.get("imigue")
    return Classifier(
        name="m",
        precision="fp32",
        backend="none",
        architecture=Architecture(num_classes=3, num_joints=22),
        labels=NAMES,
        layout=layout,
        preprocessing=Preprocessing.for_layout(layout, stream),
        input=kind,
        temperature=1.0,
        run=recorder,
    )


def test_deployed_models_are_fed_the_resampled_clip(clip: FloatArray) -> None:
    keypoints, prepared = Recorder(), Recorder()
    predict(classifier("keypoints", keypoints), [clip])
    predict(classifier("features", prepared), [clip])
    window = clip[uniform_indices(len(clip), 64)]
    assert (keypoints.inputs[0]["keypoints"][0] == window).all()
    x, index_t = features(window, Preprocessing.for_layout(layouts.get("imigue"), "bone"))
    assert (prepared.inputs[0]["features"][0] == x).all()
    assert (prepared.inputs[0]["index_t"][0] == index_t).all()


def test_the_published_protocol_is_that_of_the_fixtures(clip: FloatArray) -> None:
    recorder = Recorder()
    predict(classifier("features", recorder), [clip], protocol="published")
    x, index_t = features(clip, Preprocessing.for_layout(layouts.get("imigue"), "bone"))
    assert (recorder.inputs[0]["features"][0] == x).all()
    assert (recorder.inputs[0]["index_t"][0] == index_t).all()
    assert recorder.inputs[0]["index_t"][0, -1] == pytest.approx(2 * 49 / 50 - 1)


def test_protocols_that_cannot_be(clip: FloatArray) -> None:
    with pytest.raises(UsageError, match="preprocessing inside"):
        predict(classifier("keypoints", Recorder()), [clip], protocol="published")
    with pytest.raises(UsageError, match="unknown protocol 'mine'"):
        predict(classifier("keypoints", Recorder()), [clip], protocol="mine")


def test_batches_and_views(clip: FloatArray) -> None:
    clips = [clip, clip[:20], clip[10:]]
    recorder, done = Recorder(), list[int]()
    one = predict(classifier("keypoints", recorder), clips, batch=2, on_batch=done.append)
    assert done == [2, 1]
    assert one == pytest.approx(np.stack([c[0].ravel()[:3] for c in clips]))
    several = Recorder()
    found = predict(classifier("keypoints", several), clips, views=3, batch=4)
    windows = np.concatenate([call["keypoints"] for call in several.inputs])
    assert len(windows) == 9
    assert (windows[::3] == np.concatenate([call["keypoints"] for call in recorder.inputs])).all()
    assert found == pytest.approx(windows.reshape(3, 3, -1)[..., :3].mean(axis=1))
    # The same whatever the batch, and in every run.
    assert predict(classifier("keypoints", Recorder()), clips, views=3, batch=9) == pytest.approx(found, abs=1e-9)


def test_logits_that_are_not_finite_are_refused(clip: FloatArray) -> None:
    broken = classifier("keypoints", Recorder())
    with pytest.raises(BundleError, match="not finite"):
        predict(broken, [np.full_like(clip, np.inf)])


def test_scores() -> None:
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [3.0, 2.9, 2.5]])
    labels = np.array([0, 2, 1])
    scores = Scores.of(logits, labels, NAMES, 2.0)
    assert scores.top1 == pytest.approx(1 / 3)
    assert scores.top5 == 1.0
    p = softmax(logits / 2)
    assert scores.cross_entropy == pytest.approx(-np.log(p[[0, 1, 2], labels]).mean())
    assert scores.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    values = scores.to_dict()
    assert values["f1_mean"] == pytest.approx((1 / 3 + 2 / 3 + scores.classes.macro_f1 + 0.4) / 4)
    assert values["micro_f1"] == pytest.approx(values["top1"])
    assert "f1_mean" not in Scores.of(logits, labels, Labels(("a", "b", "c")), 1.0).to_dict()


def test_a_temperature_changes_probabilities_and_no_ranks() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3))
    labels = np.arange(50) % 3
    warm, plain = (Scores.of(logits, labels, NAMES, t) for t in (10.0, 1.0))
    assert warm.top1 == plain.top1
    assert warm.reliability.confidence.max() < plain.reliability.confidence.max()


def trial(logits: list[list[float]], stream: str = "joint") -> Trial:
    return Trial(stream, "fp32", stream, "torch", np.array(logits))


def test_limited_to_some_classes() -> None:
    one = trial([[3.0, 2.0, 1.0], [0.0, 1.0, 2.0]])
    limited = one.limited(np.array([1, 2]))
    assert limited.argmax(axis=1).tolist() == [1, 2]
    assert softmax(limited)[0, 0] == 0
    assert softmax(limited / 20)[0].sum() == pytest.approx(1)
    assert one.limited(None) is one.logits


def test_models_are_compared() -> None:
    one, two = trial([[3.0, 2.0], [0.0, 1.0]]), trial([[2.0, 3.0], [0.0, 1.0]], "bone")
    assert one.agreement(two) == 0.5
    assert one.agreement(two, np.array([1])) == 1.0
    assert one.logit_difference(two) == (0.5, 1.0)


def test_models_are_fused() -> None:
    one, two = trial([[3.0, 2.0]]), trial([[1.0, 0.0]], "bone")
    fused = Trial.fused([one, two], [0.5, 0.25], "both")
    assert fused.logits.tolist() == [[1.75, 1.0]]
    assert (fused.name, fused.stream, fused.precision) == ("both", "joint + bone", "fp32")


def test_each_view_of_each_clip_is_sampled_by_a_seed_of_its_own() -> None:
    """Numbered frames: the same in every run, whatever the batch, and no two random samplings alike."""
    clip = np.broadcast_to(np.arange(300, dtype=np.float32)[:, None, None], (300, 22, 2)).copy()

    def sampled(batch: int) -> list[list[float]]:
        recorder = Recorder()
        predict(classifier("keypoints", recorder), [clip, clip, clip], views=3, batch=batch)
        return [window[:, 0, 0].tolist() for inputs in recorder.inputs for window in inputs["keypoints"]]

    windows = sampled(9)
    uniform, random = windows[::3], [window for place, window in enumerate(windows) if place % 3]
    assert uniform == [uniform_indices(300, 64).tolist()] * 3
    assert len({tuple(window) for window in random}) == 6
    assert sampled(9) == sampled(2) == windows
