"""The deploy form against the network that it is made of: the same function, in float64 to the last digits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mmn_edge.convert.deploy.deploy import deployed, merged_sites
from mmn_edge.convert.deploy.interfaces import FeaturesGraph, KeypointsGraph, StreamsGraph, window_index
from mmn_edge.convert.deploy.pyramid import Composed
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.network.quantization import sites
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import STREAMS, Preprocessing

SMALL = Architecture(num_classes=5, num_joints=22, width=16, depth=1, mlp_width=32)
CONFIGURATIONS = {
    "ma52": Architecture(52, 44),
    "imigue": Architecture(32, 22),
    "people-max": replace(SMALL, num_people=2, global_pool="max"),
    "learned-3d": replace(SMALL, index_t=False, in_channels=3),
    "frames": replace(SMALL, num_frames=32, depth=2),
    "few-frames": replace(SMALL, num_frames=16),
}


def trained(arch: Architecture, seed: int = 0) -> MMN:
    """A network none of whose numbers is the one that it begins with: batch norms do something, joints are scaled."""
    torch.manual_seed(seed)
    net = MMN(arch).eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.3, 3.0)
            elif value.is_floating_point():
                value.add_(0.1 * torch.randn_like(value))
        if arch.width < 96:
            net.head.weight.mul_(30)  # a small network's logits hardly depend on its input
    return net


def windows(arch: Architecture, dtype: torch.dtype, count: int = 2) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, arch.in_channels, arch.num_frames, arch.num_joints, arch.num_people, dtype=dtype)
    return x, torch.rand(count, arch.num_frames, dtype=dtype) * 2 - 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
@torch.inference_mode()
def test_the_deploy_form_gives_the_networks_logits(name: str, dtype: torch.dtype) -> None:
    arch = CONFIGURATIONS[name]
    net = trained(arch).to(dtype)
    x, index_t = windows(arch, dtype)
    expected = net(x, index_t)
    assert expected.std(0).max() > 1e-3  # logits depend on the input
    allowed = 1e-9 if dtype == torch.float64 else 1e-4
    logits, _ = FeaturesGraph(deployed(net))(x, index_t)
    torch.testing.assert_close(logits, expected, rtol=0, atol=allowed)
    # With the time index of the first window baked in, the first window is the same, and others are not.
    features = x.permute(0, 2, 4, 3, 1).flatten(2, 3)
    logits = deployed(net, index_t[0])(features)
    torch.testing.assert_close(logits[0], expected[0], rtol=0, atol=allowed)
    assert arch.index_t == bool((logits[1] - expected[1]).abs().max() > 10 * allowed)


@pytest.mark.parametrize("name", ["ma52", "imigue"])
@torch.inference_mode()
def test_official_weights_give_the_reference_logits(name: str, shared: Path) -> None:
    net = build_network(read_checkpoint(shared / f"fixtures/{name}_official.pt")[0])
    reference = np.load(shared / f"fixtures/{name}_reference.npz")
    x, index_t = (torch.from_numpy(reference[key]) for key in ("x", "index_t"))
    logits, _ = FeaturesGraph(deployed(net))(x, index_t)
    np.testing.assert_allclose(logits, reference["logits"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("stream", STREAMS)
@torch.inference_mode()
def test_keypoints_give_what_the_trained_network_gives(stream: str) -> None:
    net = trained(SMALL).double()
    preprocessing = Preprocessing.for_layout(layouts.get("imigue"), stream)
    clips = torch.from_numpy(np.random.default_rng(0).normal(300, 40, (3, 64, 22, 2)))
    expected, probabilities = KeypointsGraph(net, preprocessing, temperature=1.7)(clips)
    deploy = KeypointsGraph(deployed(net, window_index(64)), preprocessing, temperature=1.7)(clips)
    torch.testing.assert_close(deploy[0], expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(deploy[1], probabilities, rtol=0, atol=1e-9)


@torch.inference_mode()
def test_several_streams_are_the_weighted_sum_of_their_logits() -> None:
    layout = layouts.get("imigue")
    clips = torch.from_numpy(np.random.default_rng(0).normal(300, 40, (3, 64, 22, 2)))
    members, expected = {}, torch.zeros(3, 5, dtype=torch.float64)
    for seed, (stream, weight) in enumerate({"joint": 0.7, "bone": 0.3}.items()):
        net = trained(SMALL, seed).double()
        preprocessing = Preprocessing.for_layout(layout, stream)
        members[stream] = (deployed(net, window_index(64)), preprocessing, weight)
        expected += weight * KeypointsGraph(net, preprocessing)(clips)[0]
    logits, probabilities = StreamsGraph(members, temperature=2.0)(clips)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(probabilities, (expected / 2).softmax(1), rtol=0, atol=1e-9)


def test_layers_have_the_names_of_those_they_stand_for() -> None:
    """Quantization and verification find layers by name."""
    net = trained(SMALL)
    deploy = {name for name, _ in deployed(net, window_index(64)).named_modules()}
    missing = set(sites(net)) - deploy
    assert missing == set()
    assert set(merged_sites(net)) < set(sites(net))


def test_windows_of_frames_are_merged() -> None:
    """Of the 27 taps of the last scale 15 are different frames, and 5 more differ at its first frame alone."""
    net = deployed(trained(replace(SMALL, num_frames=64)), window_index(64))
    scales = [module for module in net.modules() if isinstance(module, Composed)]
    assert [len(scale.weight) // 6 for scale in scales] == [1, 3, 8, 20]


def test_the_network_itself_is_left_as_it_was() -> None:
    net = trained(SMALL)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for parameter in deployed(net).parameters():
        parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
