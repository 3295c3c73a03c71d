"""How fast a training step is, against a plain eager loop of the same network in the same process.

``python tests/benchmarks/training.py [--device cuda] [--joints 20] [--frames 32] [--batch 16] [--compile]``

Rounds are interleaved; medians of wall and CPU time per clip, and ratios against the plain loop (float32, eager, the
network as PyTorch lays it out by itself). bfloat16 is measured where the device has it. torch.compile takes some time
before its first step, so it is asked for.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN
from mmn_edge.network.mmn import JointMixing
from mmn_edge.system.machine import describe
from mmn_edge.train.amp import fast_dtype
from mmn_edge.train.compile import compile_blocks, record
from mmn_edge.train.optimizer import Optimizer
from mmn_edge.train.recipe import load

BASELINE = "plain eager, fp32"


class PlainJointMixing(JointMixing):
    """The product alone, in the memory layout in which it comes."""

    def forward(self, x: Tensor, gconv: Tensor) -> Tensor:
        batch, channels, frames, joints = x.shape
        grouped = x.reshape(batch, self.heads, -1, joints)
        return torch.matmul(grouped, gconv.transpose(1, 2)).reshape(batch, channels, frames, joints)


class PlainMMN(MMN):
    """The network without the memory layout chosen for training."""

    def __init__(self, arch: Architecture, **rates: float) -> None:
        super().__init__(arch, **rates)
        for scale in self.MFM:
            for block in scale.blocks:
                block.joint_mixing = PlainJointMixing(arch.num_heads)

    def embed(self, x: Tensor, index_t: Tensor) -> Tensor:
        return super().embed(x, index_t).contiguous()


@dataclass(frozen=True)
class Variant:
    """A way to take a training step."""

    kind: type[MMN] = MMN
    dtype: torch.dtype = torch.bfloat16
    optimizer: str = "adamw"
    compiled: bool = False
    recorded: bool = False

    def step(self, arch: Architecture, batch: int, device: torch.device) -> Callable[[], None]:
        """A training step on random clips, ready to be called."""
        torch.manual_seed(0)
        network = self.kind(arch, drop_path=0.1, head_drop=0.1).train().to(device)
        apply = self._plain(network) if self.kind is PlainMMN else self._ours(network)
        if self.compiled:
            compile_blocks(network)
        x = torch.randn(batch, arch.in_channels, arch.num_frames, arch.num_joints, 1, device=device)
        index_t = torch.linspace(-1, 1, arch.num_frames, device=device).expand(batch, -1).contiguous()
        target = torch.randint(0, arch.num_classes, (batch,), device=device)
        autocast = torch.autocast(
            device.type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=self.kind is PlainMMN
        )
        if self.recorded:
            record(network, batch, autocast)

        def run() -> None:
            with autocast:
                loss = nn.functional.cross_entropy(network(x, index_t), target)
            loss.backward()
            apply()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    def _plain(self, network: MMN) -> Callable[[], None]:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

        def apply() -> None:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return apply

    def _ours(self, network: MMN) -> Callable[[], None]:
        optimizer = Optimizer(network, load("paper", [f"optim.optimizer={self.optimizer}"]).optim)
        scaler = torch.amp.GradScaler(enabled=False)

        def apply() -> None:
            optimizer.step(scaler, 1e-3, 0)
            optimizer.zero_grad()

        return apply


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--joints", type=int, default=20)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    arch = Architecture(
        num_classes=10,
        num_joints=options.joints,
        in_channels=3,
        num_frames=options.frames,
        width=options.width,
        depth=options.depth,
        mlp_width=2 * options.width,
    )
    variants = {
        BASELINE: Variant(PlainMMN, torch.float32),
        "ours, fp32": Variant(dtype=torch.float32),
        "ours, fp32, Muon": Variant(dtype=torch.float32, optimizer="muon"),
    }
    fast = fast_dtype(options.device)
    name = "bf16" if fast == torch.bfloat16 else "fp32"
    if fast != torch.float32:  # where bfloat16 is emulated, a step takes seconds
        variants["ours, bf16"] = Variant()
        variants["ours, bf16, Muon"] = Variant(optimizer="muon")
    if options.compile:
        variants[f"ours, {name}, compiled"] = Variant(dtype=fast, compiled=True)
    if options.device.type == "cuda":
        variants[f"ours, {name}, Muon, graph"] = Variant(dtype=fast, optimizer="muon", recorded=True)
        if options.compile:
            variants["the same, compiled"] = Variant(dtype=fast, optimizer="muon", compiled=True, recorded=True)
    steps = {}
    for name, variant in variants.items():
        began = time.perf_counter()
        steps[name] = variant.step(arch, options.batch, options.device)
        for _ in range(3):
            steps[name]()
        print(f"{name}: ready after {time.perf_counter() - began:.1f} s", flush=True)
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, run in steps.items():
            began, worked = time.perf_counter(), time.process_time()
            run()
            wall[name].append((time.perf_counter() - began) / options.batch * 1e3)
            cpu[name].append((time.process_time() - worked) / options.batch * 1e3)
    print(*(f"{name} {fact}" for name, fact in describe().items()), f"torch {torch.__version__}", sep="; ")
    if options.device.type == "cuda":
        print(torch.cuda.get_device_name())
    print(
        f"width {arch.width}, depth {arch.depth}, {arch.num_frames} frames, {arch.num_joints} joints, batch "
        f"{options.batch}, {options.threads} threads, {options.device}; ms a clip, median of {options.rounds}"
    )
    base_wall, base_cpu = (statistics.median(times[BASELINE]) for times in (wall, cpu))
    print(f"{'':22}{'wall':>8}{'ratio':>7}{'cpu':>9}{'ratio':>7}")
    for name in steps:
        one, two = statistics.median(wall[name]), statistics.median(cpu[name])
        print(f"{name:22}{one:8.1f}{base_wall / one:7.2f}{two:9.1f}{base_cpu / two:7.2f}")


if __name__ == "__main__":
    main()
