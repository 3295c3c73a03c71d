import copy
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmn_edge.datasets.synthetic import clips as synthetic
from mmn_edge.errors import CheckpointError, UsageError
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.network.quantization import (
    QuantizedConv2d,
    QuantizedLinear,
    calibrate,
    default_kept,
    disable,
    enable,
    quantize,
    quantized_sites,
    range_key,
    select_sites,
    sites,
)
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.missing import fill_missing
from mmn_edge.skeleton.preprocess import Preprocessing, features

ARCH = Architecture(num_classes=4, num_joints=5, width=16, depth=1, mlp_width=32, num_frames=16)
Batch = tuple[Tensor, Tensor]


def network(arch: Architecture = ARCH) -> MMN:
    torch.manual_seed(0)
    net = MMN(arch).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Linear):  # small beside the noise: no chaos
                module.weight.mul_(0.02 * module.in_features**0.5)
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def batches(count: int = 2) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    index_t = torch.arange(16).float().expand(6, 16) * 2 / 16 - 1
    return [(torch.randn(6, 2, 16, 5, 1, generator=generator), index_t) for _ in range(count)]


def quantized(kept: tuple[str, ...] | None = None) -> MMN:
    net = network()
    calibrate(quantize(net, default_kept(net) if kept is None else kept), batches())
    return net


def logits(net: MMN) -> Tensor:
    x, index_t = batches()[0]
    with torch.no_grad():
        out: Tensor = net(x, index_t)
    return out


def test_every_convolution_linear_layer_and_joint_mixing_is_a_site_and_nothing_else() -> None:
    net = network()
    names = sites(net)
    kinds = {type(net.get_submodule(name)).__name__ for name in names}
    assert kinds == {"Conv2d", "Linear", "JointMixing"}
    parameters = {name for name, _ in net.named_parameters()}
    covered = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    covered |= {name.replace("joint_mixing", "gconv") for name in names}
    left = {name.rpartition(".")[0] or name for name in parameters - covered}
    for name in left:  # norms, the positional term, and MSM's factors of each joint
        module = None if name == "STPE" else net.get_submodule(name)
        assert module is None or isinstance(module, nn.LayerNorm | nn.BatchNorm2d) or name.endswith("MSM")
    assert len(names) == 4 * 12 + 3 + 3 + 6 + 1


def test_full_size_counts() -> None:
    with torch.device("meta"):
        net = MMN(Architecture(num_classes=52, num_joints=44))
    assert (len(sites(net)), len(default_kept(net))) == (157, 18)


def test_switched_off_it_is_the_plain_network_to_the_bit() -> None:
    plain = logits(network())
    net = quantized()
    assert not torch.equal(logits(net), plain)
    disable(net)
    assert torch.equal(logits(net), plain)
    enable(net)
    assert not torch.equal(logits(net), plain)


def test_a_trained_network_stays_near_float_only_with_the_sensitive_layers_kept() -> None:
    """With the demo's weights: what random ones lose differs from one PyTorch to the next."""
    with resources.as_file(resources.files("mmn_edge") / "data" / "demo.pt") as path:
        state, description = read_checkpoint(path)
    layout = layouts.get(description["layout"])
    preprocessing = Preprocessing.for_layout(layout, description["stream"])
    clips = [fill_missing(entry["keypoint"][0], layout.bones) for entry in synthetic.dataset(16, seed=1)]
    windows, times = zip(*(features(clip, preprocessing, frames=32) for clip in clips), strict=True)
    batch = torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(times))
    found = []
    for kept in (None, default_kept, lambda net: ()):
        net = build_network(state, description["options"])
        if kept is not None:
            calibrate(quantize(net, kept(net)), [batch])
        with torch.no_grad():
            found.append(net(*batch))
    plain, *others = found
    errors = [float((logits - plain).square().mean().sqrt() / plain.std(0).mean()) for logits in others]
    assert 0 < errors[0] < 0.1
    assert errors[1] > 0.4


@pytest.mark.parametrize("name", ["fusion.res_conv", "MFM.0.blocks.0.proj", "MFM.1.blocks.0.tconv"])
def test_a_layer_computes_what_integers_give(name: str) -> None:
    net = quantized()
    layer = net.get_submodule(name)
    assert isinstance(layer, QuantizedConv2d | QuantizedLinear)
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.extend((inputs[0], output)))
    logits(net)
    hook.remove()
    x, out = seen
    step = float(layer.quantizer.amax) / 127
    weight = layer.weight.detach().numpy()
    steps = np.abs(weight).reshape(len(weight), -1).max(1) / 127
    columns = (-1, *(1,) * (weight.ndim - 1))
    x8 = np.clip(np.rint(x.numpy() / np.float32(step)), -128, 127)
    w8 = np.clip(np.rint(weight / steps.reshape(columns)), -128, 127)
    plain = copy.deepcopy(layer)
    plain.quantizer.enabled = False
    assert layer.bias is not None
    with torch.no_grad():
        plain.weight.copy_(torch.from_numpy(w8))
        plain.bias = None
        sums = plain(torch.from_numpy(x8)).numpy()  # whole numbers, exact in float32
    shape = (1, -1, 1, 1) if weight.ndim == 4 else (-1,)
    expected = sums * (step * steps).reshape(shape) + layer.bias.detach().numpy().reshape(shape)
    np.testing.assert_allclose(out.numpy(), expected, atol=float(2 * step * steps.max()))
    assert np.abs(out.numpy() - expected).mean() < 1e-5


def test_gradients_go_straight_through_to_every_weight() -> None:
    net = quantized(())
    net.train()
    x, index_t = batches()[0]
    net(x, index_t).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        dead = name.endswith(".bias") and parameter.grad.abs().max() < 1e-3  # biases before norms
        assert dead or parameter.grad.abs().max() > 0, name


def test_training_moves_the_int8_network_too() -> None:
    net = quantized()
    before = logits(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    net.train()
    x, index_t = batches()[0]
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(net(x, index_t), torch.tensor([0, 1, 2, 3, 0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    net.eval()
    assert losses[-1] < 0.8 * losses[0]
    assert not torch.equal(logits(net), before)


def test_parameters_stay_the_same_objects() -> None:
    net = network()
    before = dict(net.named_parameters())
    quantize(net, default_kept(net))
    after = dict(net.named_parameters())
    assert before.keys() == after.keys()
    assert all(after[name] is before[name] for name in before)


def test_the_state_dict_is_the_plain_one_and_the_ranges() -> None:
    plain = network().state_dict()
    net = quantized()
    state = net.state_dict()
    extra = {range_key(name) for name in quantized_sites(net)}
    assert set(state) == set(plain) | extra
    assert all(torch.equal(state[key], plain[key]) for key in plain)
    assert all(state[key].shape == () and state[key] > 0 for key in extra)
    again = quantize(network(), default_kept(net))
    again.load_state_dict(state)
    assert torch.equal(logits(again), logits(net))
    assert torch.equal(logits(copy.deepcopy(net)), logits(net))


def test_a_checkpoint_knows_that_it_is_quantized(tmp_path: Path) -> None:
    kept = select_sites(network(), ("projection.*", "head"))
    net = quantized(kept)
    torch.save({"model": net.state_dict(), "description": {}}, tmp_path / "int8.pt")
    state, _ = read_checkpoint(tmp_path / "int8.pt")
    options = {"num_frames": 16}
    again = build_network(state, options)
    assert set(sites(again)) - set(quantized_sites(again)) == set(kept)
    assert torch.equal(logits(again), logits(net))
    plain = build_network(state, options, quantized=False)
    assert quantized_sites(plain) == ()
    assert torch.equal(logits(plain), logits(network()))


@pytest.mark.parametrize(
    ("key", "value"),
    [("head.quantizer.amax", -1.0), ("nose.quantizer.amax", 1.0), ("MFM.0.quantizer.amax", 1.0)],
)
def test_broken_ranges_are_refused(key: str, value: float) -> None:
    state = {**quantized().state_dict(), key: torch.tensor(value)}
    with pytest.raises(CheckpointError, match="broken int8 range"):
        build_network(state, {"num_frames": 16})


def test_an_uncalibrated_network_gives_no_logits_and_makes_no_checkpoint(tmp_path: Path) -> None:
    net = network()
    quantize(net, ())
    assert logits(net).isnan().all()
    with pytest.raises(CheckpointError, match="not calibrated"):
        enable(net)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="NaN"):
        read_checkpoint(tmp_path / "net.pt")


def test_calibration_leaves_modes_as_they_were_and_statistics_alone() -> None:
    net = network()
    net.train()
    net.head.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    calibrate(quantize(net, ()), batches(), method="amax")
    assert net.training
    assert not net.head.training
    assert net.fusion.dropout.training
    state = net.state_dict()
    assert all(torch.equal(state[key], before[key]) for key in before)


def test_amax_is_the_largest_input_and_mse_clips_an_outlier() -> None:
    net = network()
    quantize(net, select_sites(net, ("MFM*", "DSs*", "fusion*", "head", "projection.2", "projection.4")))
    x, index_t = batches(1)[0]
    x = x.clone()
    x[0, 0, 0, 0, 0] = 40.0
    calibrate(net, [(x, index_t)], method="amax")
    largest = float(net.projection[0].quantizer.amax)
    assert largest == 40.0
    calibrate(net, [(x, index_t)])
    assert 5 < float(net.projection[0].quantizer.amax) < 40


def test_a_layer_can_be_kept_later_and_keeps_the_other_ranges() -> None:
    net = quantized(())
    ranges = {name: float(net.get_submodule(name).quantizer.amax) for name in quantized_sites(net)}  # type: ignore[union-attr, arg-type]
    quantize(net, default_kept(net))
    assert type(net.head) is QuantizedLinear
    assert type(net.projection[0]) is nn.Conv2d
    for name in quantized_sites(net):
        assert float(net.get_submodule(name).quantizer.amax) == ranges[name]  # type: ignore[union-attr, arg-type]
    assert torch.equal(logits(net), logits(quantized()))


def test_only_some_layers_enabled() -> None:
    net = quantized(())
    enable(net, ["head"])
    assert [name for name in quantized_sites(net) if net.get_submodule(name).quantizer.enabled] == ["head"]  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="nose is not quantized"):
        enable(net, ["nose"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_ranges_and_steps_are_float32_under_autocast(dtype: torch.dtype) -> None:
    net = quantized()
    x, index_t = batches()[0]
    steps: list[Tensor] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, Tensor]) -> None:
        steps.append(outputs[0])

    hook = net.head.quantizer.register_forward_hook(look)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        out = net(x, index_t)
    hook.remove()
    (seen,) = steps
    assert seen.dtype == torch.float32
    whole = seen / (net.head.quantizer.amax / 127)
    torch.testing.assert_close(whole, whole.round(), atol=1e-3, rtol=0)
    assert (out.float() - logits(net)).abs().max() < 0.5


def test_what_cannot_be_is_said() -> None:
    net = network()
    with pytest.raises(UsageError, match="'nose' is no layer"):
        quantize(net, ["nose"])
    with pytest.raises(UsageError, match=r"no layer matches 'nose\.\*'"):
        select_sites(net, ["nose.*"])
    with pytest.raises(UsageError, match="unknown calibration"):
        calibrate(net, batches(), method="guess")
    with pytest.raises(UsageError, match="at least one batch"):
        calibrate(net, [])
