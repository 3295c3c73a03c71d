import pytest

from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.train.recipe import load
from mmn_edge.train.schedule import learning_rate, parameter_groups


def test_the_papers_schedule() -> None:
    paper = load("paper").optim
    steps = 175
    assert learning_rate(paper, 0, steps) == pytest.approx(1e-7)
    assert learning_rate(paper, 10 * steps, steps) == pytest.approx((1e-7 + 1e-3) / 2)
    # The cosine's clock is not shifted by the warm-up: after 20 of 120 epochs it stands at a sixth, not at zero.
    assert learning_rate(paper, 20 * steps, steps) == pytest.approx(1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + 3**0.5 / 2))
    assert learning_rate(paper, 60 * steps, steps) == pytest.approx((1e-3 + 1e-5) / 2)
    assert learning_rate(paper, 120 * steps, steps) == pytest.approx(1e-5)


def test_a_cosine_that_begins_after_the_warm_up_has_no_jump() -> None:
    shifted = load("paper", ["optim.shift_cosine=true"]).optim
    assert learning_rate(shifted, 20 * 50 - 1, 50) == pytest.approx(1e-3, rel=2e-3)
    assert learning_rate(shifted, 20 * 50, 50) == pytest.approx(1e-3)
    assert learning_rate(shifted, 70 * 50, 50) == pytest.approx((1e-3 + 1e-5) / 2)
    assert learning_rate(shifted, 120 * 50, 50) == pytest.approx(1e-5)


def test_what_decays() -> None:
    network = MMN(Architecture(num_classes=3, num_joints=5, width=16, depth=1, mlp_width=32, num_frames=16))
    (everything,) = parameter_groups(network, load("paper").optim)
    assert len(everything["params"]) == len(list(network.parameters()))
    decayed, free = parameter_groups(network, load("paper", ["optim.decay_all=false"]).optim)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {id(p) for group in (decayed, free) for p in group["params"]} == set(names)
    assert {names[id(p)].rsplit(".", 1)[-1] for p in decayed["params"]} == {"weight"}
    assert free["weight_decay"] == 0
    kept = {names[id(p)] for p in free["params"]}
    assert {"STPE", "head.bias", "MFM.0.blocks.0.gconv", "MFM.0.blocks.0.MSM.adj", "DSs.0.bn.weight"} <= kept
