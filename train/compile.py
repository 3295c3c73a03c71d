"""Fewer launches for a training step on a GPU.

A step is thousands of kernels of a few microseconds, less than Python needs to launch one: the GPU waits. Compiled
blocks have fewer kernels (https://docs.pytorch.org/tutorials/recipes/regional_compilation.html), and what is recorded
as CUDA graphs is launched at once (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from __future__ import annotations

import warnings

import torch

from mmn_edge.network import MMN
from mmn_edge.network.mmn import Block

__all__ = ["compile_blocks", "record"]


def compile_blocks(network: MMN, backend: str = "inductor") -> None:
    """Compile the blocks' branches in place: the same code for all, so once for each of the four scales.

    Stochastic depth, whose rate differs from block to block, stays outside.

    Args:
        network: What is trained.
        backend: One of ``torch.compiler.list_backends()``.
    """
    for module in network.modules():
        if isinstance(module, Block):
            module.mix = torch.compile(module.mix, dynamic=False, backend=backend)  # type: ignore[method-assign]


def record(network: MMN, batch_size: int, autocast: torch.autocast) -> None:
    """Record the network's pass forward and back in place as CUDA graphs, for training on batches of one size.

    The network must be in training mode, on a GPU, and alone: gradients of several batches cannot be accumulated, as
    the graph writes all into the same memory. Evaluation goes on as before. Statistics and weights are not changed.

    Args:
        network: What is trained.
        batch_size: N of all batches to come.
        autocast: Mixed precision of the steps to come; it must not keep weights that it has cast.
    """
    arch = network.arch
    device = next(network.parameters()).device
    shape = (batch_size, arch.in_channels, arch.num_frames, arch.num_joints, arch.num_people)
    x = torch.randn(shape, device=device)
    index_t = torch.linspace(-1, 1, arch.num_frames, device=device).expand(batch_size, -1).contiguous()
    statistics = [buffer.clone() for buffer in network.buffers()]
    with autocast, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the way in which PyTorch itself records
        torch.cuda.make_graphed_callables(network, (x, index_t))
    if hasattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch"):
        # Gradients come from the stream that was recorded on. That is meant, and PyTorch waits for it.
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    with torch.no_grad():
        for buffer, value in zip(network.buffers(), statistics, strict=True):
            buffer.copy_(value)
