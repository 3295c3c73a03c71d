"""A moving average of weights, which is what gets validated and saved where a recipe asks for it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

__all__ = ["MovingAverage"]


class MovingAverage:
    """An exponential moving average of a network's parameters and buffers.

    The decay rises with the steps, ``min(decay, (1 + n) / (10 + n))``, so that the first weights are soon forgotten.
    All tensors go together: one after the other, as ``torch.optim.swa_utils.AveragedModel`` takes them, a GPU would
    wait for Python.

    Args:
        network: What is averaged; its tensors must stay where they are.
        decay: Share of the average that a step keeps, at most.

    Attributes:
        module: A network of the averaged weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False)
        self._decay, self._steps = decay, 0
        pairs = list(zip(self.module.state_dict().values(), network.state_dict().values(), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's weights of now; the first time they are taken as they are."""
        share = 1.0 - min(self._decay, (1.0 + self._steps) / (10.0 + self._steps)) if self._steps else 1.0
        averaged, current = map(list, zip(*self._floats, strict=True))
        torch._foreach_lerp_(averaged, current, share)
        if self._others:
            averaged, current = map(list, zip(*self._others, strict=True))
            torch._foreach_copy_(averaged, current)
        self._steps += 1

    def state_dict(self) -> dict[str, Any]:
        """What averaging goes on from."""
        return {"module": self.module.state_dict(), "steps": self._steps}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.module.load_state_dict(values["module"])
        self._steps = int(values["steps"])
