from dataclasses import replace

import numpy as np
import pytest
import torch

from mmn_edge.convert.deploy.interfaces import FeaturesGraph, KeypointsGraph
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import STREAMS, Preprocessing, features

SMALL = Architecture(num_classes=5, num_joints=22, width=16, depth=1, mlp_width=32)


def network(arch: Architecture) -> MMN:
    torch.manual_seed(0)
    net = MMN(arch).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize("stream", STREAMS)
def test_preprocessing_inside_the_graph_equals_the_numpy_one(stream: str) -> None:
    net = network(SMALL)
    preprocessing = Preprocessing.for_layout(layouts.get("imigue"), stream)
    clips = np.random.default_rng(0).normal(300, 40, (3, 64, 22, 2)).astype(np.float32)
    pairs = [features(clip, preprocessing) for clip in clips]
    with torch.inference_mode():
        expected = net(
            torch.from_numpy(np.stack([x for x, _ in pairs])), torch.from_numpy(np.stack([t for _, t in pairs]))
        )
        logits, probabilities = KeypointsGraph(net, preprocessing)(torch.from_numpy(clips))
    np.testing.assert_allclose(logits, expected, atol=2e-5)
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-6)


def test_the_streams_differ() -> None:
    net = network(SMALL)
    clip = torch.from_numpy(np.random.default_rng(0).normal(300, 40, (1, 64, 22, 2)).astype(np.float32))
    layout = layouts.get("imigue")
    with torch.inference_mode():
        outs = [KeypointsGraph(net, Preprocessing.for_layout(layout, s))(clip)[0] for s in STREAMS]
    for i, first in enumerate(outs):
        for second in outs[i + 1 :]:
            assert (first - second).abs().max() > 1e-4


def test_several_people_are_reordered_each_for_themselves() -> None:
    arch = replace(SMALL, num_people=2)
    net = network(arch)
    preprocessing = Preprocessing.for_layout(layouts.get("imigue"), "joint")
    keypoints = np.random.default_rng(1).normal(300, 40, (1, 64, 44, 2)).astype(np.float32)
    # By hand: normalised over both people together, then each person's joints in the network's order.
    low, high = keypoints.min((1, 2), keepdims=True), keypoints.max((1, 2), keepdims=True)
    x = (2 * (keypoints - low) / (high - low + 1e-6) - 1).reshape(64, 2, 22, 2)[:, :, list(preprocessing.order)]
    index_t = torch.arange(64).float()[None] * 2 / 64 - 1
    with torch.inference_mode():
        expected = net(torch.from_numpy(np.ascontiguousarray(x.transpose(3, 0, 2, 1)))[None], index_t)
        logits, _ = KeypointsGraph(net, preprocessing)(torch.from_numpy(keypoints))
    np.testing.assert_allclose(logits, expected, atol=2e-5)


def test_features_graph_gives_the_networks_logits() -> None:
    net = network(SMALL)
    x, index_t = torch.randn(2, 2, 64, 22, 1), torch.rand(2, 64)
    with torch.inference_mode():
        logits, probabilities = FeaturesGraph(net)(x, index_t)
        torch.testing.assert_close(logits, net(x, index_t))
        torch.testing.assert_close(probabilities, net(x, index_t).softmax(-1))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_temperature_scales_probabilities_and_leaves_logits(temperature: float) -> None:
    net = network(SMALL)
    clips = torch.from_numpy(np.random.default_rng(0).normal(300, 40, (2, 64, 22, 2)).astype(np.float32))
    preprocessing = Preprocessing.for_layout(layouts.get("imigue"), "joint")
    with torch.inference_mode():
        logits, probabilities = KeypointsGraph(net, preprocessing, temperature=temperature)(clips)
        torch.testing.assert_close(logits, KeypointsGraph(net, preprocessing)(clips)[0], rtol=0, atol=0)
        torch.testing.assert_close(probabilities, (logits / temperature).softmax(-1))
