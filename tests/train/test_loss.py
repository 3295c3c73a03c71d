import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmn_edge.train.loss import Objective
from mmn_edge.train.recipe import load

UNIFORM = torch.full((3,), 1 / 3)


class Linear(nn.Module):
    """Logits that are linear in the features, so that expected losses can be written down."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor, index_t: Tensor) -> Tensor:
        return self.scale * x[:, :3, 0, 0, 0] + index_t[:, :1]


def batch() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(8, 3, 4, 5, 1), torch.randn(8, 4), torch.arange(8) % 3


def test_the_papers_loss_is_smoothed_cross_entropy() -> None:
    x, index_t, target = batch()
    loss = Objective(load("paper"), UNIFORM)(Linear(), x, index_t, target, np.random.default_rng(0))
    assert torch.equal(loss, F.cross_entropy(Linear()(x, index_t), target, label_smoothing=0.1))


def test_mixup_mixes_inputs_and_targets_alike() -> None:
    x, index_t, target = batch()
    recipe = load("paper", ["data.mixup=0.4", "optim.label_smoothing=0"])
    rng = np.random.default_rng(5)
    share, order = float(rng.beta(0.4, 0.4)), torch.from_numpy(rng.permutation(8))
    mixed = share * x + (1 - share) * x[order], share * index_t + (1 - share) * index_t[order]
    soft = share * F.one_hot(target, 3) + (1 - share) * F.one_hot(target[order], 3)
    expected = -(soft * F.log_softmax(Linear()(*mixed), dim=1)).sum(1).mean()
    loss = Objective(recipe, UNIFORM)(Linear(), x, index_t, target, np.random.default_rng(5))
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_logit_adjustment_asks_more_of_rare_classes() -> None:
    x, index_t, _ = batch()
    objective = Objective(load("paper", ["data.logit_adjustment=1"]), torch.tensor([0.9, 0.1, 0.0]))
    losses = [
        float(objective(Linear(0.0), x, index_t, torch.full((8,), label), np.random.default_rng(0)))
        for label in range(3)
    ]
    assert losses[0] < losses[1] == losses[2] < 20


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_classes_without_clips_are_never_what_is_learned(tau: float) -> None:
    """The logits themselves are the parameters: one row for each class that has clips, fitted to the optimum."""
    shares = torch.tensor([0.6, 0.38, 0.02, 0.0])
    logits = nn.Parameter(torch.zeros(3, 4))

    class Table(nn.Module):
        def forward(self, x: Tensor, index_t: Tensor) -> Tensor:
            return logits[index_t[:, 0].long()]

    objective = Objective(load("paper", [f"data.logit_adjustment={tau}"]), shares)
    target = torch.arange(3).repeat_interleave(torch.tensor([60, 38, 2]))
    x, index_t = torch.zeros(100, 1), target[:, None].float()
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective(Table(), x, index_t, target, np.random.default_rng(0))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    assert logits.argmax(1).tolist() == [0, 1, 2]


def test_distillation_follows_the_teacher() -> None:
    x, index_t, target = batch()
    objective = Objective(load("paper", ["qat.distillation=1", "qat.temperature=2"]), UNIFORM, Linear(2.0))
    rng = np.random.default_rng(0)
    assert float(objective(Linear(2.0), x, index_t, target, rng)) == pytest.approx(0, abs=1e-6)
    one, two = (float(objective(Linear(scale), x, index_t, target, rng)) for scale in (1.5, 1.0))
    assert 0 < one < two


def test_distillation_is_the_divergence_of_the_teacher_from_the_student_times_the_square_of_the_temperature() -> None:
    """sum_k p_teacher (log p_teacher - log p_student), and not the other way round."""
    x, index_t, target = batch()
    student, teacher = (Linear(scale)(x, index_t).double().softmax(1) for scale in (1.0 / 3, 2.0 / 3))
    # index_t is added to all classes alike, so that the temperature divides the scale alone
    expected = 9 * float((teacher * (teacher.log() - student.log())).sum(1).mean())
    backwards = 9 * float((student * (student.log() - teacher.log())).sum(1).mean())
    assert abs(expected - backwards) > 0.01
    objective = Objective(load("paper", ["qat.distillation=1", "qat.temperature=3"]), UNIFORM, Linear(2.0))
    loss = objective(Linear(1.0), x, index_t, target, np.random.default_rng(0))
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    half = Objective(load("paper", ["qat.distillation=0.25", "qat.temperature=3"]), UNIFORM, Linear(2.0))
    plain = F.cross_entropy(Linear()(x, index_t), target, label_smoothing=0.1)
    loss = half(Linear(1.0), x, index_t, target, np.random.default_rng(0))
    assert float(loss) == pytest.approx(0.25 * expected + 0.75 * float(plain), rel=1e-4)
