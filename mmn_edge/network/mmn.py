"""MMN, the Motion-guided Modulation Network, in PyTorch.

Paper: "Motion Matters: Motion-guided Modulation Network for Skeleton-based Micro-Action Recognition",
ACM MM 2025, https://arxiv.org/abs/2507.21977.

Written from the paper and a description of the published behaviour; module names are those of the published
state dicts, so that those weights load by key. Feature maps are ``(N, C, T, V)``. Where the published network and
the paper's figures disagree, the published network counts, because its weights were trained that way; such places
say so.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmn_edge.model.architecture import NUM_SCALES, Architecture

__all__ = ["MMN"]

STATISTICS_EPS = 1e-6


class DropPath(nn.Module):
    """Stochastic depth per sample (Huang et al., ECCV 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop ``x`` of shape ``(N, ...)`` for whole samples, in training only."""
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * (mask / keep)


class MLP(nn.Module):
    """Linear, exact GELU, Linear over the last axis."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., C)`` to ``(..., C)``."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class MSM(nn.Module):
    """Motion-guided skeletal modulation: gamma and beta for the skeleton branch.

    As published, the learned ``adj`` mixes no joints: only its column sums scale each joint.
    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.adj = nn.Parameter(_identity(joints))
        self.fc = nn.Linear(channels, channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, motion: Tensor) -> Tensor:
        """Map ``(N, C/2, T, V)`` to gamma and beta, concatenated over channels, of the same shape."""
        scaled = motion * self.adj.sum(0)
        mixed = self.fc(scaled.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        out: Tensor = self.bn(torch.tanh(mixed))
        return out


class JointMixing(nn.Module):
    """Multiply each head group of channels along joints by its own V x V matrix, ``Block.gconv``."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor, gconv: Tensor) -> Tensor:
        """Map ``(N, C/4, T, V)`` with matrices ``(heads, V, V)`` to ``(N, C/4, T, V)``."""
        batch, channels, frames, joints = x.shape
        grouped = x.reshape(batch, self.heads, (channels // self.heads) * frames, joints)
        mixed = torch.matmul(grouped, gconv.transpose(1, 2)).reshape(batch, channels, frames, joints)
        # Back to the memory layout of the other branches: one tensor in another, and all that meets it is slow.
        return mixed.contiguous(memory_format=torch.channels_last)


class Block(nn.Module):
    """Motion-guided skeletal-temporal former block (section 3.2 of the paper)."""

    def __init__(self, arch: Architecture, drop_path: float) -> None:
        super().__init__()
        width, joints, heads = arch.width, arch.graph_joints, arch.num_heads
        half, quarter = width // 2, width // 4
        self.split = (quarter, quarter, half)
        self.norm_1 = nn.LayerNorm(width)
        self.mapping = nn.Linear(width, width)
        self.gconv = nn.Parameter(_identity(joints, heads))
        self.joint_mixing = JointMixing(heads)
        self.tconv = nn.Conv2d(quarter, quarter, (3, 1), padding=(1, 0), groups=heads)
        self.Motion = nn.Sequential(
            nn.Conv2d(half, half, (3, 1), padding=(1, 0), groups=half, bias=False),
            nn.BatchNorm2d(half),
            nn.GELU(),
        )
        self.MSM = MSM(half, joints)
        self.MTM = nn.Sequential(nn.Conv2d(half, half, (3, 1), padding=(1, 0)), nn.Tanh(), nn.BatchNorm2d(half))
        self.aggregation_gate = nn.Sequential(
            nn.Conv2d(width, quarter, 1, bias=False),
            nn.BatchNorm2d(quarter),
            nn.ReLU(),
            nn.Conv2d(quarter, 3, 1, bias=False),
            nn.Sigmoid(),
        )
        self.aggregation = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.GELU())
        self.proj = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = MLP(width, arch.mlp_width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T, V)`` to ``(N, C, T, V)``."""
        # Channels last for the norms and linear layers, and for slices: the gradient of a slice is contiguous in the
        # order of the dimensions, and if that is not the memory's order, all before it runs several times slower.
        x = x.permute(0, 2, 3, 1)
        x = x + self.drop_path(self.mix(x))
        x = x + self.drop_path(self.mlp(self.norm_2(x)))
        return x.permute(0, 3, 1, 2)

    def mix(self, x: Tensor) -> Tensor:
        """The three branches, modulated, gated and aggregated: ``(N, T, V, C)`` to what is added to it."""
        mapped = self.mapping(self.norm_1(x))
        skeleton_in, temporal_in, motion_in = mapped.split(self.split, dim=-1)

        skeleton = self.joint_mixing(skeleton_in.permute(0, 3, 1, 2), self.gconv)
        temporal = self.tconv(temporal_in.permute(0, 3, 1, 2))
        motion = self.Motion(_forward_difference(motion_in).permute(0, 3, 1, 2))

        # The modulated features reach the output only through the gate: what is aggregated is un-modulated.
        # The paper's figure suggests otherwise; the published weights were trained like this.
        gate = self.aggregation_gate(
            torch.cat([_modulate(temporal, self.MTM(motion)), _modulate(skeleton, self.MSM(motion)), motion], dim=1)
        )
        gates = gate.split(1, dim=1)
        gated = torch.cat([gates[0] * temporal, gates[1] * skeleton, gates[2] * motion], dim=1)
        mixed: Tensor = self.proj(self.aggregation(gated).permute(0, 2, 3, 1))
        return mixed


class Scale(nn.Module):
    """The blocks of one temporal scale."""

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T, V)`` to ``(N, C, T, V)``."""
        for block in self.blocks:
            x = block(x)
        return x


class Downsample(nn.Module):
    """Halve the frames: a strided (3, 1) convolution with replicated edges, then BatchNorm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Conv2d(width, width, (3, 1), stride=(2, 1))
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T, V)`` to ``(N, C, T/2, V)``."""
        # T is even, so the stride never reaches the padding after the last frame. By hand, because torch.compile
        # gets the strides of replication padding's gradient wrong (torch 2.13).
        out: Tensor = self.bn(self.reduction(torch.cat([x[:, :, :1], x], dim=2)))
        return out


class Fusion(nn.Module):
    """Motion consistency learning (section 3.3): a softmax over scales weighs their maps at T/8."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def down(factor: int) -> nn.Sequential:
            conv = nn.Conv2d(width, width, (factor, 1), stride=(factor, 1))
            return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())

        self.down1, self.down2, self.down3 = down(8), down(4), down(2)
        self.f4_proc = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.gate_conv = nn.Sequential(
            nn.Conv2d(NUM_SCALES * width, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, NUM_SCALES, 1),
        )
        self.res_conv = nn.Conv2d(width, width, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, scales: list[Tensor]) -> Tensor:
        """Map four ``(N, C, T / 2**s, V)`` to ``(N, C, T/8, V)``."""
        maps = [
            self.down1(scales[0]),
            self.down2(scales[1]),
            self.down3(scales[2]),
            self.f4_proc(scales[3]),
        ]
        weights = torch.softmax(self.gate_conv(torch.cat(maps, dim=1)), dim=1)
        fused = sum((weights[:, s : s + 1] * maps[s] for s in range(1, NUM_SCALES)), weights[:, 0:1] * maps[0])
        out: Tensor = self.dropout(fused) + self.res_conv(maps[3])
        return out


class MMN(nn.Module):
    """The whole network.

    Args:
        arch: Its options.
        drop_path: Stochastic depth of the last block; it rises linearly from 0 over the blocks.
        head_drop: Dropout before the head.
    """

    def __init__(self, arch: Architecture, *, drop_path: float = 0.0, head_drop: float = 0.0) -> None:
        super().__init__()
        self.arch = arch
        c_in, width = arch.in_channels, arch.width
        if arch.index_t:
            self.STPE = nn.Parameter(torch.empty(width, arch.graph_joints))
        else:
            self.STPE_ = nn.Parameter(torch.empty(1, width, arch.num_frames, arch.graph_joints))
        self.projection = nn.Sequential(
            nn.Conv2d(c_in, 2 * c_in, 1),
            nn.GELU(),
            nn.Conv2d(2 * c_in, 3 * c_in, 1),
            nn.GELU(),
            nn.Conv2d(3 * c_in, width, 1),
        )
        count = NUM_SCALES * arch.depth
        rates = [drop_path * i / max(count - 1, 1) for i in range(count)]
        self.MFM = nn.ModuleList(
            Scale([Block(arch, rates[s * arch.depth + b]) for b in range(arch.depth)]) for s in range(NUM_SCALES)
        )
        self.DSs = nn.ModuleList(Downsample(width) for _ in range(NUM_SCALES - 1))
        self.fusion = Fusion(width)
        self.head_drop = nn.Dropout(head_drop)
        self.head = nn.Linear(width, arch.num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                # Keeps the size of what passes (LeCun et al., 1998); transformers' 0.02 starts slowly.
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.STPE if self.arch.index_t else self.STPE_, std=0.02)

    def forward(self, x: Tensor, index_t: Tensor) -> Tensor:
        """Classify windows.

        Args:
            x: Features ``(N, C_in, T, V, M)``, preprocessed, joints in the network's order.
            index_t: Time index ``(N, T)`` in [-1, 1); ignored when ``arch.index_t`` is False.

        Returns:
            Logits ``(N, K)``.
        """
        return self.classify(self.fuse(self.embed(x, index_t)))

    def embed(self, x: Tensor, index_t: Tensor) -> Tensor:
        """Embed features ``(N, C_in, T, V, M)`` as ``(N, C, T, M * V)``, people-major."""
        x = x.permute(0, 1, 2, 4, 3).flatten(3)
        embedded: Tensor = self.projection(x) + self.positional(index_t)
        # Joints and frames together, channels last, is how the blocks' norms and linear layers read their input.
        return embedded.contiguous(memory_format=torch.channels_last)

    def positional(self, index_t: Tensor) -> Tensor:
        """The positional term ``(N or 1, C, T, V)``: time code times ``STPE`` (a product, as published)."""
        if not self.arch.index_t:
            return self.STPE_
        return time_code(index_t, self.arch.width).transpose(1, 2).unsqueeze(-1) * self.STPE.unsqueeze(1)

    def fuse(self, x: Tensor) -> Tensor:
        """Run the four scales on the embedding and fuse them to ``(N, C, T/8, V)``."""
        outputs = []
        for s, scale in enumerate(self.MFM):
            # Each scale starts from the previous scale's input, not from its output.
            x = x if s == 0 else self.DSs[s - 1](x)
            outputs.append(scale(x))
        fused: Tensor = self.fusion(outputs)
        return fused

    def classify(self, fused: Tensor) -> Tensor:
        """Pool ``(N, C, T/8, V)`` over frames and joints, and give logits ``(N, K)``."""
        pooled = fused.mean((2, 3)) if self.arch.global_pool == "avg" else fused.amax((2, 3))
        logits: Tensor = self.head(self.head_drop(pooled))
        return logits


def time_code(index_t: Tensor, width: int) -> Tensor:
    """Sinusoidal code ``(N, T, C)`` of a time index ``(N, T)``: sine on even channels, cosine on odd ones."""
    pairs = torch.arange(0, width, 2, dtype=index_t.dtype, device=index_t.device)
    angles = index_t.unsqueeze(-1) * torch.exp(pairs * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(angles), torch.cos(angles)], dim=-1).flatten(-2)


def _identity(size: int, *copies: int) -> Tensor:
    """Identity matrices ``(*copies, size, size)``; on the meta device, which holds no numbers, their shape alone.

    ``torch.eye`` is written in Python there, and the first call of such an operator loads the compiler: a second.
    """
    if torch.get_default_device().type == "meta":
        return torch.empty(*copies, size, size)
    return torch.eye(size).repeat(*copies, 1, 1)


def _forward_difference(x: Tensor) -> Tensor:
    """``x[t+1] - x[t]`` along T of ``(N, T, V, C)``, the last difference repeated.

    Slices rather than ``torch.diff``, which has no counterpart in ONNX.
    """
    difference = x[:, 1:] - x[:, :-1]
    return torch.cat([difference, difference[:, -1:]], dim=1)


def _modulate(x: Tensor, gamma_beta: Tensor) -> Tensor:
    """Normalise ``(N, C, T, V)`` over (T, V) with the unbiased deviation, then scale and shift.

    The statistics are taken in float32 at least: sums of squares come near the end of half precision's range.
    """
    gamma, beta = gamma_beta.chunk(2, dim=1)
    count = x.shape[2] * x.shape[3]
    exact = x if x.dtype == torch.float64 else x.float()
    centred = exact - exact.mean((2, 3), keepdim=True)
    deviation = (centred.square().mean((2, 3), keepdim=True) * (count / (count - 1))).sqrt()
    modulated: Tensor = (centred / (deviation + STATISTICS_EPS)).to(x.dtype) * (1 + gamma) + beta
    return modulated
