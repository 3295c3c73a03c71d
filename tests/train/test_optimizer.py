import pytest
import torch
from torch import nn

from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.train.optimizer import Optimizer
from mmn_edge.train.recipe import Optim, load

ARCH = Architecture(num_classes=3, num_joints=5, in_channels=2, num_frames=16, width=32, depth=1, mlp_width=64)


def optim(*changes: str) -> Optim:
    return load("paper", ["optim.decay_all=false", *changes]).optim


def scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", enabled=False)


def network_with_gradients() -> MMN:
    torch.manual_seed(0)
    network = MMN(ARCH)
    network(torch.randn(4, 2, 16, 5, 1), torch.rand(4, 16)).square().sum().backward()
    return network


def changes(kind: str, rate: float = 1e-3) -> dict[str, torch.Tensor]:
    network = network_with_gradients()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    Optimizer(network, optim(f"optim.optimizer={kind}", "optim.weight_decay=0")).step(scaler(), rate, 0)
    return {name: value.detach() - before[name] for name, value in network.named_parameters()}


def test_adamw_is_pytorchs() -> None:
    network = network_with_gradients()
    reference = network_with_gradients()
    theirs = torch.optim.AdamW(reference.parameters(), lr=1e-3, weight_decay=0.1)
    ours = Optimizer(network, optim("optim.decay_all=true"))
    ours.step(scaler(), 1e-3, 0)
    theirs.step()
    for (name, one), other in zip(network.named_parameters(), reference.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-7), name


def test_muon_takes_orthogonal_steps_of_hidden_matrices_and_leaves_the_rest_to_adamw() -> None:
    adamw, muon = changes("adamw"), changes("muon")
    turned = {name for name in muon if not torch.equal(muon[name], adamw[name])}
    assert {"MFM.0.blocks.0.mapping.weight", "MFM.3.blocks.0.mlp.fc1.weight", "DSs.0.reduction.weight"} <= turned
    assert not [name for name in turned if name.startswith(("projection", "head", "STPE"))]
    assert not [name for name in turned if name.endswith(("gconv", "adj", "bias", "tconv.weight", "Motion.0.weight"))]
    name = "MFM.0.blocks.0.mapping.weight"
    gradient = network_with_gradients().get_parameter(name).grad
    assert gradient is not None
    assert directions(muon[name]) > 2 * directions(gradient)


def directions(matrix: torch.Tensor) -> float:
    """How many singular values share the weight: 1 where one has it all, all of them in an orthogonal matrix."""
    values = torch.linalg.svdvals(matrix)
    return float(values.sum().square() / values.square().sum())


def test_steps_of_both_are_of_one_size() -> None:
    muon = changes("muon", rate=1e-2)
    for name in ("MFM.0.blocks.0.mlp.fc1.weight", "fusion.down1.0.weight"):
        assert float(muon[name].square().mean().sqrt()) == pytest.approx(0.2e-2, rel=0.3), name


def test_the_rate_and_the_norm_hold_for_both() -> None:
    assert all(not change.any() for change in changes("muon", rate=0).values())
    network = network_with_gradients()
    optimizer = Optimizer(network, optim("optim.optimizer=muon"))
    optimizer.step(scaler(), 0, 1e-3)
    norms = torch.stack([tensor.grad.norm() for tensor in optimizer._parameters() if tensor.grad is not None])
    assert float(norms.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_no_gradient_is_left_for_the_next_step() -> None:
    network = network_with_gradients()
    optimizer = Optimizer(network, optim("optim.optimizer=muon"))
    optimizer.step(scaler(), 1e-3, 0)
    optimizer.zero_grad()
    assert all(tensor.grad is None for tensor in [*network.parameters(), *optimizer._parameters()])


def test_weights_are_changed_where_they_are() -> None:
    network = network_with_gradients()
    optimizer = Optimizer(network, optim("optim.optimizer=muon"))
    weight: nn.Parameter = network.get_parameter("DSs.0.reduction.weight")
    before = weight.detach().clone()
    network.load_state_dict({name: value * 2 for name, value in network.state_dict().items()})
    optimizer.step(scaler(), 1e-3, 0)
    assert not torch.equal(weight, before * 2)
    assert torch.allclose(weight, before * 2, atol=1e-2)
