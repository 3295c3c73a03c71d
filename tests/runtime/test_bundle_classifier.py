from pathlib import Path

import numpy as np
import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.datasets.synthetic import clips as synthetic
from mmn_edge.errors import BundleError, UsageError
from mmn_edge.evaluation.evaluation import predict
from mmn_edge.network.checkpoint_classifier import open_checkpoint
from mmn_edge.runtime.bundle_classifier import open_classifier
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.missing import fill_missing


@pytest.fixture(scope="module")
def clips() -> list[FloatArray]:
    """Clips shorter and longer than the model's 64 frames."""
    bones = layouts.get("ma52").bones
    found = [fill_missing(entry["keypoint"][0], bones) for entry in synthetic.dataset(6, seed=5)]
    return [*found[:4], found[4][:20], np.concatenate([found[5]] * 3)]


@pytest.mark.parametrize("kind", ["small_bundle", "small_features_bundle"])
@pytest.mark.parametrize("views", [1, 2])
def test_a_bundle_gives_its_checkpoints_logits(
    kind: str, views: int, small_checkpoint: Path, clips: list[FloatArray], request: pytest.FixtureRequest
) -> None:
    bundle = Bundle.open(request.getfixturevalue(kind))
    expected = predict(open_checkpoint(small_checkpoint), clips, views=views)
    with open_classifier(bundle) as classifier:
        found = predict(classifier, clips, views=views, batch=4)
        assert classifier.labels == bundle.manifest.labels
        assert classifier.backend.startswith("onnxruntime ")
    assert np.ptp(expected) > 0.5
    assert np.abs(found - expected).max() < 1e-4


def test_a_features_bundle_can_follow_the_published_protocol(
    small_checkpoint: Path, small_features_bundle: Path, clips: list[FloatArray]
) -> None:
    checkpoint = open_checkpoint(small_checkpoint)
    expected = predict(checkpoint, clips, protocol="published")
    with open_classifier(Bundle.open(small_features_bundle)) as classifier:
        found = predict(classifier, clips, protocol="published")
    # The protocols differ by more than the two ways to compute one of them.
    deployed = predict(checkpoint, clips)
    assert np.abs(found - expected).max() < 0.2 * np.abs(deployed - expected).max()


def test_what_is_not_there(small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    with pytest.raises(BundleError, match="holds no int8 model"), open_classifier(bundle, precision="int8"):
        pass
    with pytest.raises(UsageError, match="unknown backend 'abacus'"), open_classifier(bundle, backend="abacus"):
        pass
