"""Two checkpoints of different streams in one bundle."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.cli import cli
from mmn_edge.convert.conversion import Conversion, convert
from mmn_edge.convert.deploy.interfaces import KeypointsGraph
from mmn_edge.convert.graph.lint import site_of
from mmn_edge.errors import UsageError
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.network.quantization import calibrate, quantize
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.runtime.bundle_classifier import open_classifier
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import Preprocessing

ARCH = Architecture(num_classes=32, num_joints=22, width=16, depth=1, mlp_width=32, num_frames=16)
OPTIONS = {"num_frames": 16}
STREAMS = ("joint", "bone")
WEIGHTS = (0.7, 0.3)
TEMPERATURE = 1.4


def network(seed: int, arch: Architecture = ARCH) -> MMN:
    torch.manual_seed(seed)
    net = MMN(arch).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        net.head.weight.mul_(100)  # a fresh network's logits hardly depend on its input
    return net


def save(folder: Path, nets: Sequence[MMN]) -> list[Path]:
    paths = [folder / f"{index}.pt" for index in range(len(nets))]
    for path, net in zip(paths, nets, strict=True):
        torch.save(net.state_dict(), path)
    return paths


@pytest.fixture(scope="module")
def conversion(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    folder = tmp_path_factory.mktemp("streams")
    return convert(
        save(folder, [network(0), network(1)]),
        folder / "both.bundle",
        preset="imigue",
        stream=STREAMS,
        options=OPTIONS,
        weights=WEIGHTS,
        temperature=TEMPERATURE,
    )


def test_logits_are_the_weighted_sum_of_both_networks(conversion: Conversion) -> None:
    clips = np.random.default_rng(0).normal(300, 40, (3, 16, 22, 2)).astype(np.float32)
    expected = torch.zeros(3, 32)
    with torch.inference_mode():
        for seed, (stream, weight) in enumerate(zip(STREAMS, WEIGHTS, strict=True)):
            preprocessing = Preprocessing.for_layout(layouts.get("imigue"), stream)
            expected += weight * KeypointsGraph(network(seed), preprocessing)(torch.from_numpy(clips))[0]
    assert np.ptp(expected.numpy()) > 1
    with open_backend(Bundle.open(conversion.bundle.path)) as backend:
        output = backend.run({"keypoints": clips})
    np.testing.assert_allclose(output.logits, expected, atol=1e-4)
    np.testing.assert_allclose(output.probabilities, (expected / TEMPERATURE).softmax(1), atol=1e-5)


def test_the_manifest_names_both(conversion: Conversion) -> None:
    manifest = conversion.bundle.manifest
    assert [(entry["stream"], entry["weight"], entry["file"]) for entry in manifest.streams] == [
        ("joint", 0.7, "0.pt"),
        ("bone", 0.3, "1.pt"),
    ]
    assert len({entry["sha256"] for entry in manifest.streams}) == 2
    assert manifest.temperature == TEMPERATURE


def test_both_networks_are_told_apart_in_the_graph(conversion: Conversion) -> None:
    graph = onnx.load(str(conversion.bundle.model())).graph
    assert [value.name for value in graph.input] == ["keypoints"]
    sites = {site_of(node.name) for node in graph.node}
    assert {"joint.MFM.0.blocks.0.proj", "bone.MFM.0.blocks.0.proj", "bone.head"} <= sites


def test_a_classifier_says_both_streams(conversion: Conversion) -> None:
    with open_classifier(conversion.bundle) as classifier:
        assert classifier.stream == "joint + bone"


def test_profile_takes_such_a_bundle(conversion: Conversion) -> None:
    result = CliRunner().invoke(cli, ["profile", str(conversion.bundle.path), "--batch", "1", "--seconds", "0.01"])
    assert result.exit_code == 0, result.output
    assert "fp32" in result.output


def test_what_cannot_be_one_model_is_said(tmp_path: Path) -> None:
    same = save(tmp_path, [network(0), network(1)])
    target = tmp_path / "B"
    with pytest.raises(UsageError, match="each stream once"):
        convert(same, target, preset="imigue", options=OPTIONS)
    with pytest.raises(UsageError, match="1 streams for 2 checkpoints"):
        convert(same, target, preset="imigue", stream=["bone"], options=OPTIONS)
    with pytest.raises(UsageError, match="one number for each of the 2"):
        convert(same, target, preset="imigue", stream=STREAMS, options=OPTIONS, weights=[1.0])
    ranged = quantize(network(0), ())
    calibrate(ranged, [(torch.randn(2, 2, 16, 22, 1), torch.linspace(-1, 1, 16).expand(2, 16))])
    torch.save(ranged.state_dict(), tmp_path / "int8.pt")
    mixed = [tmp_path / "int8.pt", same[1]]
    with pytest.raises(UsageError, match="quantized and has int8 ranges of its own, and other checkpoints have none"):
        convert(mixed, target, preset="imigue", stream=STREAMS, options=OPTIONS, calibration=tmp_path)
    with pytest.raises(UsageError, match="no positive number"):
        convert(same, target, preset="imigue", stream=STREAMS, options=OPTIONS, temperature=0.0)
    with pytest.raises(UsageError, match="leave --input features out"):
        convert(same, target, preset="imigue", stream=STREAMS, options=OPTIONS, input_kind="features")
    other = save(tmp_path, [network(0), network(1, replace(ARCH, mlp_width=16))])
    with pytest.raises(UsageError, match="different options"):
        convert(other, target, preset="imigue", stream=STREAMS, options=OPTIONS)
    assert not target.exists()
