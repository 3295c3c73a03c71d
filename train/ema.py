"""A moving average of weights, which is what gets validated and saved where a recipe asks for it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

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
        self._averaged, self._averaged_counts = _tensors(self.module)
        self._current, self._current_counts = _tensors(network)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's weights of now; the first time they are taken as they are."""
        share = 1.0 - min(self._decay, (1.0 + self._steps) / (10.0 + self._steps)) if self._steps else 1.0
        torch._foreach_lerp_(self._averaged, self._current, share)
        if self._current_counts:
            torch._foreach_copy_(self._averaged_counts, self._current_counts)
        self._steps += 1

    def state_dict(self) -> dict[str, Any]:
        """What averaging goes on from."""
        return {"module": self.module.state_dict(), "steps": self._steps}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.module.load_state_dict(values["module"])
        self._steps = int(values["steps"])


def _tensors(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """All that a network keeps: what can be averaged, and what counts."""
    tensors = network.state_dict().values()
    return [one for one in tensors if one.is_floating_point()], [one for one in tensors if not one.is_floating_point()]
