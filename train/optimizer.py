"""The optimizer: AdamW alone, or Muon for the matrices between embedding and head and AdamW for all else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmn_edge.network import MMN
from mmn_edge.train.amp import fast_dtype
from mmn_edge.train.muon import Muon
from mmn_edge.train.recipe import Optim
from mmn_edge.train.schedule import parameter_groups

__all__ = ["Optimizer"]

SMALLEST_MATRIX = 16


class Optimizer:
    """Changes a network's weights in place, by one learning rate for all but where the body has a share of the head's.

    Convolutions are matrices too: output channels by all the rest.
    """

    def __init__(self, network: MMN, optim: Optim) -> None:
        self._matrices: list[tuple[Tensor, nn.Parameter]] = []
        self._parts: list[torch.optim.Optimizer] = []
        groups = parameter_groups(network, optim)
        if optim.optimizer == "muon":
            # The same memory under another shape: Muon takes nothing but matrices.
            self._matrices = [(weight, nn.Parameter(weight.detach().flatten(1))) for weight in _hidden(network)]
            taken = {id(weight) for weight, _ in self._matrices}
            for group in groups:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in taken]
            parameters = [matrix for _, matrix in self._matrices]
            dtype = fast_dtype(parameters[0].device)
            self._parts.append(Muon(parameters, lr=optim.lr, weight_decay=optim.weight_decay, dtype=dtype))
            self._parts[0].param_groups[0]["rate"] = optim.body_rate
        self._parts.append(torch.optim.AdamW(groups, lr=optim.lr, fused=True))

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for weight, _ in self._matrices:
            weight.grad = None
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def step(self, scaler: torch.amp.GradScaler, rate: float, clip_norm: float) -> None:
        """Apply the gradients.

        Args:
            scaler: What the loss was scaled by.
            rate: The learning rate.
            clip_norm: Largest norm of the whole gradient; 0: any.
        """
        for weight, matrix in self._matrices:
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * group["rate"]
            if clip_norm:
                scaler.unscale_(part)
        if clip_norm:
            nn.utils.clip_grad_norm_(self._parameters(), clip_norm)
        for part in self._parts:
            scaler.step(part)
        scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """What training goes on from."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        for part, state in zip(self._parts, values["parts"], strict=True):
            part.load_state_dict(state)

    def _parameters(self) -> list[Tensor]:
        return [tensor for part in self._parts for group in part.param_groups for tensor in group["params"]]


def _hidden(network: MMN) -> list[Tensor]:
    """Weights of the linear layers and dense convolutions between embedding and head that are matrices to speak of."""
    return [
        module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and not name.startswith(("projection", "head"))
        and getattr(module, "groups", 1) == 1
        and min(module.weight.shape[:2]) >= SMALLEST_MATRIX
    ]
