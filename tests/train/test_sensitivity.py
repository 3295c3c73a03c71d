from dataclasses import replace

import torch
from torch import Tensor

from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.network.quantization import calibrate, enable, quantize, quantized_sites
from mmn_edge.train.sensitivity import Budget, choose, groups, measure

ARCH = Architecture(num_classes=3, num_joints=5, width=16, depth=1, mlp_width=32, num_frames=16)


def network(arch: Architecture = ARCH) -> MMN:
    torch.manual_seed(0)
    net = MMN(arch).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        net.head.weight.mul_(100)
    return net


def clips(net: MMN, count: int = 16) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Labelled as the network says, so that it is right about all in floating point."""
    generator = torch.Generator().manual_seed(1)
    index_t = torch.arange(16).float().expand(8, 16) * 2 / 16 - 1
    found = []
    for _ in range(count // 8):
        x = torch.randn(8, 2, 16, 5, 1, generator=generator)
        with torch.no_grad():
            found.append((x, index_t, net(x, index_t).argmax(1)))
    return found


def quantized() -> tuple[MMN, list[tuple[Tensor, Tensor, Tensor]]]:
    net = network()
    data = clips(net)
    calibrate(quantize(net, ()), data, method="amax")
    return net, data


def spoil(net: MMN, name: str) -> None:
    """Make a layer's int8 useless: its range far too small."""
    net.get_submodule(name).get_buffer("quantizer.amax").mul_(0.02)


def test_groups_are_kinds_by_scale_and_hold_every_layer_once() -> None:
    net = quantize(network(replace(ARCH, depth=2)), ())
    found = groups(net)
    assert found["scale 2 mlp"] == tuple(f"MFM.2.blocks.{b}.mlp.{fc}" for b in (0, 1) for fc in ("fc1", "fc2"))
    assert set(found) > {"projection", "downsampling", "fusion", "head", "scale 0 mapping", "scale 3 joint_mixing"}
    assert sorted(sum(found.values(), ())) == sorted(quantized_sites(net))


def test_a_bad_layer_is_found_and_kept() -> None:
    net, data = quantized()
    spoil(net, "fusion.res_conv")
    steps: list[tuple[int, int]] = []
    report = measure(net, data, on_step=lambda done, total: steps.append((done, total)))
    assert report.accuracy == 1.0
    assert report.clips == 16
    assert report.groups[0].name == "fusion"
    assert report.layers[0].sites == ("fusion.res_conv",)
    assert report.layers[0].error > 5 * report.layers[1].error
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    choice = choose(net, data, report, Budget(points=0.0, agreement=1.0, error=0.9 * report.everything.error))
    assert choice.met
    assert "fusion.res_conv" in choice.kept
    assert [effect.name for effect in choice.steps][:2] == ["everything", "without fusion.res_conv"]
    on = {name for name in quantized_sites(net) if net.get_submodule(name).get_submodule("quantizer").enabled}
    assert on == set(quantized_sites(net)) - set(choice.kept)


def test_each_effect_is_that_of_the_whole_network_with_these_layers_on() -> None:
    net, data = quantized()
    report = measure(net, data)
    plain = torch.cat([net(x, index_t) for x, index_t, _ in data]).detach()
    for effect in (report.everything, *report.groups, *report.layers):
        enable(net, effect.sites)
        logits = torch.cat([net(x, index_t) for x, index_t, _ in data]).detach()
        error = float((logits - plain).square().mean().sqrt() / plain.std(0, correction=0).mean())
        assert abs(error - effect.error) < 0.02 * effect.error + 1e-6, effect.name
        assert effect.agreement == float((logits.argmax(1) == plain.argmax(1)).float().mean())


def test_the_ranking_holds_every_layer_once_worst_first() -> None:
    net, data = quantized()
    report = measure(net, data)
    ranking = report.ranking()
    assert sorted(site for effect in ranking for site in effect.sites) == sorted(quantized_sites(net))
    assert [effect.error for effect in ranking] == sorted((effect.error for effect in ranking), reverse=True)


def test_a_generous_budget_keeps_nothing_and_an_impossible_one_everything() -> None:
    net, data = quantized()
    report = measure(net, data)
    assert choose(net, data, report, Budget(points=100, agreement=0, error=1e9)).kept == ()
    choice = choose(net, data, report, Budget(points=0, agreement=1, error=-1.0))
    assert not choice.met
    assert choice.kept == quantized_sites(net)
    assert choice.steps[-1].error == 0.0
