from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmn_edge.datasets.clip import Clip
from mmn_edge.drift.windows import Windows, as_features, sample_windows
from mmn_edge.errors import UsageError
from mmn_edge.evaluation.evaluation import predict
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.model import labels
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.classifier import Classifier
from mmn_edge.model.labels import Labels
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.layouts import get
from mmn_edge.skeleton.preprocess import Preprocessing

ARCH = Architecture(num_classes=13, num_joints=44, width=16, depth=1, mlp_width=32)


def model(kind: str, names: Labels | None = None) -> Classifier:
    """A classifier whose logits are made of whatever it is given."""
    projection = np.random.default_rng(0).normal(size=(ARCH.num_frames * 44 * 2, 13))

    def run(inputs: object) -> FloatArray:
        assert isinstance(inputs, dict)
        return (inputs[kind].reshape(len(inputs[kind]), -1) @ projection).astype(np.float32)

    layout = get("ma52")
    preprocessing = Preprocessing.for_layout(layout, "joint")
    return Classifier(
        "a model", "fp32", "numpy", ARCH, names or labels.get("synthetic"), layout, preprocessing, kind, 1.0, run
    )


@pytest.fixture
def data() -> EvaluationSet:
    rng = np.random.default_rng(1)
    clips = [
        Clip(f"clip{index}", index % 13, rng.normal(300, 40, (40 + index, 44, 2)).astype(np.float32))
        for index in range(5)
    ]
    return EvaluationSet(Path("set.pkl"), "val", tuple(clips), labels.get("synthetic").classes, "ma52")


@pytest.mark.parametrize("kind", ["keypoints", "features"])
def test_models_are_asked_as_evaluation_asks_them(kind: str, data: EvaluationSet) -> None:
    windows = Windows.of_clips(data, model(kind))
    said = windows.ask(model(kind), batch=2).logits
    np.testing.assert_allclose(
        said, predict(model(kind), [clip.keypoints for clip in data.clips]), rtol=1e-4, atol=1e-3
    )
    assert windows.targets is not None
    assert windows.targets.tolist() == [0, 1, 2, 3, 4]
    assert windows.name == "set.pkl:val"


def test_a_part_of_the_clips_is_spread_over_the_set(data: EvaluationSet) -> None:
    windows = Windows.of_clips(data, model("keypoints"), 3)
    assert windows.targets is not None
    assert windows.targets.tolist() == [0, 2, 4]
    assert windows.notes[-1] == "3 of 5 clips were used."


def test_synthetic_motion_has_no_classes_of_the_models() -> None:
    windows = Windows.synthetic(model("keypoints"), 3)
    assert windows.targets is None
    np.testing.assert_array_equal(windows.keypoints, sample_windows(ARCH, count=16)[:3])
    several = Architecture(num_classes=5, num_joints=22, num_people=2, width=16, depth=1, mlp_width=32)
    keypoints = sample_windows(several, count=2)
    assert keypoints.shape == (2, 64, 44, 2)
    features = as_features(keypoints, Preprocessing("joint", tuple(range(22)), ()), 2)
    assert features["features"].shape == (2, 2, 64, 22, 2)


def test_models_of_other_windows_or_classes_are_refused(data: EvaluationSet) -> None:
    windows = Windows.of_clips(data, model("keypoints"))
    with pytest.raises(UsageError, match="cannot be compared with the first model"):
        windows.ask(model("keypoints", Labels(tuple(f"other {index}" for index in range(13)))), batch=2)
    short = Windows("short", windows.keypoints[:, :32], windows.labels)
    with pytest.raises(UsageError, match=r"takes windows of \(T, V, C\) = \(64, 44, 2\)"):
        short.ask(model("keypoints"), batch=2)
