import copy

import pytest
import torch
from torch import nn

from mmn_edge.train.muon import Muon, orthogonalise


def matrices(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((48, 32), (32, 48), (32, 32), (48, 32), (32, 32))
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


@pytest.mark.parametrize("shape", [(3, 40, 24), (3, 24, 40), (1, 32, 32)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalise(x))
    large = torch.linalg.svdvals(x) > 0.05 * x.norm(dim=(1, 2)).unsqueeze(1)  # five iterations lift no smaller ones
    assert values.shape == (shape[0], min(shape[1:]))
    assert float(values[large].min()) > 0.6
    assert float(values.max()) < 1.3
    for before, after in zip(x, orthogonalise(x), strict=True):
        left, _, right = torch.linalg.svd(before, full_matrices=False)
        rest = left.T @ after @ right.T
        assert float((rest - torch.diag(torch.diagonal(rest))).abs().max()) < 1e-3


def test_a_matrix_of_zeros_stays_one() -> None:
    assert not orthogonalise(torch.zeros(2, 16, 16)).any()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon of its own to compare with")
def test_steps_are_pytorchs() -> None:
    ours, theirs = matrices(), matrices()
    muon = Muon(ours, lr=0.02, weight_decay=0.1, dtype=torch.bfloat16)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for step in range(3):
        for parameters, optimizer in ((ours, muon), (theirs, reference)):
            for parameter, gradient in zip(parameters, matrices(step + 1), strict=True):
                parameter.grad = gradient.detach().clone()
            optimizer.step()
    for one, other, start in zip(ours, theirs, matrices(), strict=True):
        moved = float((other - start).detach().norm())
        assert float((one - other).detach().norm()) < 0.02 * moved  # bfloat16's rounding, in another order


def test_in_float32_steps_differ_by_rounding_alone() -> None:
    steps = {}
    for dtype in (torch.float32, torch.bfloat16):
        parameters = matrices()
        for parameter, gradient in zip(parameters, matrices(1), strict=True):
            parameter.grad = gradient.detach()
        Muon(parameters, lr=0.02, weight_decay=0, dtype=dtype).step()
        steps[dtype] = [one.detach() - start.detach() for one, start in zip(parameters, matrices(), strict=True)]
    for one, other in zip(*steps.values(), strict=True):
        assert float((one - other).norm()) < 0.05 * float(one.norm())


def test_a_restored_optimizer_goes_on_to_the_same_bits() -> None:
    parameters = matrices()
    muon = Muon(parameters, lr=0.02, weight_decay=0.1)

    def step(parameters: list[nn.Parameter], muon: Muon, seed: int) -> None:
        for parameter, gradient in zip(parameters, matrices(seed), strict=True):
            parameter.grad = gradient.detach()
        muon.step()

    step(parameters, muon, 1)
    others = copy.deepcopy(parameters)
    restored = Muon(others, lr=1, weight_decay=0)
    restored.load_state_dict(copy.deepcopy(muon.state_dict()))
    step(parameters, muon, 2)
    step(others, restored, 2)
    assert all(torch.equal(one, other) for one, other in zip(parameters, others, strict=True))


def test_what_has_no_gradient_stays() -> None:
    parameters = matrices()
    parameters[0].grad = torch.ones_like(parameters[0])
    Muon(parameters, lr=0.02, weight_decay=0.1).step()
    assert not torch.equal(parameters[0], matrices()[0])
    assert all(torch.equal(one, start) for one, start in zip(parameters[1:], matrices()[1:], strict=True))
