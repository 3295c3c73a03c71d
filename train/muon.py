"""Muon: momentum, orthogonalised, as the step of a matrix (https://kellerjordan.github.io/posts/muon/).

PyTorch's own, from 2.9 on, orthogonalises one matrix after the other, and always in bfloat16, which takes several
times as long as float32 on processors that emulate it. Here all matrices of a shape go together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalise"]

# Of the quintic Newton-Schulz iteration; chosen by Keller Jordan for the steepest slope at zero.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
EPS = 1e-7


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay.

    Steps are scaled by 0.2 sqrt(longer side), which gives them the root mean square of AdamW's (Liu et al., arXiv
    2502.16982, section 2.2): one learning rate and one decay serve both.

    Args:
        matrices: Parameters of two dimensions.
        lr: The learning rate.
        weight_decay: Share of a weight that is taken off each step, times the learning rate.
        momentum: Share of the mean gradient that a step keeps.
        dtype: What is computed in; bfloat16 is enough where the hardware has it.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply the gradients; a closure is not called."""
        for group in self.param_groups:
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            if not matrices:
                continue
            for matrix in matrices:
                if not self.state[matrix]:
                    self.state[matrix]["momentum"] = torch.zeros_like(matrix)
            # Lists of matrices at once: on a GPU a launch takes longer than its work.
            means = [self.state[matrix]["momentum"] for matrix in matrices]
            gradients = [matrix.grad for matrix in matrices]
            torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, means, group["momentum"])
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for matrix, update in zip(matrices, updates, strict=True):
                alike[matrix.shape].append((matrix, update))
            for shape, changes in alike.items():
                size = group["lr"] * 0.2 * max(shape) ** 0.5
                steps = orthogonalise(torch.stack([update for _, update in changes]).to(self._dtype))
                changed = [matrix for matrix, _ in changes]
                torch._foreach_add_(changed, list(steps.to(changed[0].dtype).unbind()), alpha=-size)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring all singular values of matrices ``(N, A, B)`` near 1: from about 0.7 to 1.2."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPS)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
