"""Several processes, as ``torchrun`` starts them: which one this is, and what they do together.

https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmn_edge.errors import UsageError

__all__ = ["Processes", "joined"]


@dataclass(frozen=True)
class Processes:
    """This process among those that share a run.

    Attributes:
        rank: 0 for the one that writes files.
        world: How many there are.
        device: Where this one computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes, validates and speaks."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """The network as all processes train it: gradients are averaged; BatchNorm is synchronised on GPUs."""
        if self.world == 1:
            return network
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
            return DistributedDataParallel(network, device_ids=[self.device])
        return DistributedDataParallel(network)

    def mean(self, value: float) -> float:
        """The mean of a number over all processes."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return float(tensor) / self.world

    def of_first(self, values: Sequence[float]) -> list[float]:
        """The first process's numbers, which every other process learns."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.broadcast(tensor, 0)
        numbers: list[float] = tensor.tolist()
        return numbers


@contextmanager
def joined(device: str | None = None) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be alone.

    Args:
        device: As torch names it; None takes a GPU where there is one.

    Raises:
        UsageError: The device does not exist.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(chosen)
    except RuntimeError as error:
        raise UsageError(f"unknown device {chosen!r}: name cpu, cuda or cuda:1") from error
    if place.type not in ("cpu", "cuda"):
        raise UsageError(f"training runs on the CPU and on CUDA devices, not on {chosen!r}: name cpu, cuda or cuda:1")
    if place.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("there is no CUDA device that this PyTorch can use: train on the CPU with --device cpu")
        if place.index is None:
            place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if place.index >= (count := torch.cuda.device_count()):
            raise UsageError(
                f"there is no {place}, only {', '.join(f'cuda:{index}' for index in range(count))}: name one of these "
                "with --device, or give torchrun as many processes a host as it has GPUs"
            )
        torch.cuda.set_device(place)
    if world == 1:
        yield Processes(0, 1, place)
        return
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, place)
        # Leave together: on the CPU one that leaves while another still works may abort on its way out (torch 2.13).
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
