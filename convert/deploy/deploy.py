"""MMN rewritten for inference: the same function of the same weights, with less to do and less to move.

Built from a trained network, in float64, and equal to it; ``docs/explanation/deploy-graph.md`` says what was folded
into what and what each step was worth. Between blocks the features are rows, ``(N * T * V, C)``: layer norms and
linear layers, three
quarters of the arithmetic, then need no transposition. Inside a block, up to the aggregation, they are channels-first
maps ``(N, C, T, V)``: convolutions along time, products along joints and statistics over both are cheapest there.

Modules have the names of the layers that they stand for, so that nodes of the ONNX graph do too.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmn_edge.convert.deploy.folding import conv, folded, linear, scale_and_shift, weights
from mmn_edge.convert.deploy.pyramid import Reduction, composed
from mmn_edge.network import MMN
from mmn_edge.network.mmn import STATISTICS_EPS, Block, Fusion, Scale, time_code
from mmn_edge.network.quantization import select_sites

__all__ = ["DeployNetwork", "deployed", "merged_sites"]

# The embedding's last layer too: the later scales have it composed with their convolutions, in floating point.
MERGED = ("projection.4", "DSs.*.reduction", "*.mapping", "*.Motion.0", "*.aggregation_gate.*")
"""Layers whose inputs or weights are others in the deploy form, or that it has as several products."""


def deployed(network: MMN, index_t: Tensor | None = None) -> DeployNetwork:
    """The deploy form of a trained network.

    Args:
        network: In evaluation mode, without fake quantization; it is left as it is.
        index_t: The time index ``(T,)`` of every window, where it is always the same; the positional term is then a
            constant. None leaves it an input, where the network has one.
    """
    kind = network.head.weight.dtype
    double = copy.deepcopy(network).double().eval().requires_grad_(False)
    positional = None
    if index_t is not None or not network.arch.index_t:
        positional = double.positional(torch.zeros(1, 1) if index_t is None else index_t.double().unsqueeze(0))
    return DeployNetwork(double, positional).to(kind).eval().requires_grad_(False)


def merged_sites(network: MMN) -> tuple[str, ...]:
    """The layers of a network that its deploy form does not have as they were; all others it has, by the same names."""
    return select_sites(network, MERGED)


class DeployNetwork(nn.Module):
    """The whole network; use :func:`deployed`.

    Args:
        network: The trained one, in float64.
        positional: The positional term ``(1, C, T, V)`` where it is constant.
    """

    def __init__(self, network: MMN, positional: Tensor | None) -> None:
        super().__init__()
        arch = self.arch = network.arch
        self.composed = positional is not None
        layers = network.projection
        (first, first_bias), (second, second_bias), (last, last_bias) = (weights(layers[index]) for index in (0, 2, 4))
        embedding: nn.Module
        reductions: Sequence[nn.Module]
        if positional is None:
            embedding = linear(last.flatten(1), last_bias)
            reductions = [Reduction(layer) for layer in network.DSs]
            self.register_buffer("STPE", network.STPE.detach().T.clone())
        else:
            embedding, *reductions = composed(network, positional)
        self.projection = nn.Sequential(
            linear(first.flatten(1), first_bias),
            nn.GELU(),
            linear(second.flatten(1), second_bias),
            nn.GELU(),
            embedding,
        )
        self.DSs = nn.ModuleList(nn.ModuleDict({"reduction": reduction}) for reduction in reductions)
        self.MFM = nn.ModuleList(DeployScale(scale, arch.num_frames >> s) for s, scale in enumerate(network.MFM))
        self.fusion = DeployFusion(network.fusion)
        self.head = linear(*weights(network.head))

    def forward(self, x: Tensor, index_t: Tensor | None = None) -> Tensor:
        """Classify windows.

        Args:
            x: Features ``(N, T, V, C_in)``, people-major where there are several.
            index_t: Time index ``(N, T)``, where it is no constant.

        Returns:
            Logits ``(N, K)``.
        """
        fused = self.fusion([scale(rows) for scale, rows in zip(self.MFM, self.inputs(x, index_t), strict=True)])
        pooled = fused.mean((2, 3)) if self.arch.global_pool == "avg" else fused.amax((2, 3))
        logits: Tensor = self.head(pooled)
        return logits

    def inputs(self, x: Tensor, index_t: Tensor | None) -> list[Tensor]:
        """The inputs of the four scales, ``(N, T / 2**s, V, C)``."""
        hidden = self.projection[:4](x)
        reductions = [layer.get_submodule("reduction") for layer in self.DSs]
        if self.composed:
            return [layer(hidden) for layer in (self.projection[4], *reductions)]
        assert index_t is not None
        positional = time_code(index_t, self.arch.width).unsqueeze(2) * self.get_buffer("STPE")
        scales = [self.projection[4](hidden) + positional]
        for reduction in reductions:
            scales.append(reduction(scales[-1]))
        return scales


class DeployScale(nn.Module):
    """The blocks of one temporal scale, of ``frames`` frames."""

    def __init__(self, scale: nn.Module, frames: int) -> None:
        super().__init__()
        assert isinstance(scale, Scale)
        blocks = [block for block in scale.blocks if isinstance(block, Block)]
        joints, width = blocks[0].gconv.shape[1], blocks[0].mapping.in_features
        self.maps = (-1, frames, joints, width)
        self.blocks = nn.ModuleList(DeployBlock(block, frames, joints) for block in blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, V, C)`` to ``(N, C, T, V)``."""
        x = x.reshape(-1, x.shape[3])
        for block in self.blocks:
            x = block(x)
        return x.reshape(self.maps).permute(0, 3, 1, 2)


class DeployBlock(nn.Module):
    """One block on rows ``(N * T * V, C)``.

    Args:
        block: The trained one, in float64.
        frames: T at its scale.
        joints: V.
    """

    def __init__(self, block: Block, frames: int, joints: int) -> None:
        super().__init__()
        self.norm_1 = copy.deepcopy(block.norm_1)
        self.mapping = Mapping(block, frames, joints)
        self.joint_mixing = JointProducts(block.gconv)
        self.tconv = conv(*weights(block.tconv), padding=(1, 0), groups=block.tconv.groups)
        self.Motion = motion_convolution(block.Motion)
        self.MTM = nn.Sequential(conv(*weights(block.MTM[0]), padding=(1, 0)), nn.Tanh())
        self.MSM = JointModulation(block, frames)
        self.modulation = Modulation(block, frames * joints)
        self.aggregation_gate = Gate(block)
        self.aggregation = nn.Sequential(conv(*folded(block.aggregation[0], block.aggregation[1])), nn.GELU())
        self.proj = linear(*weights(block.proj))
        self.norm_2 = copy.deepcopy(block.norm_2)
        self.mlp = copy.deepcopy(block.mlp)
        self.quarters = (-1, 4, block.split[0], frames * joints)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N * T * V, C)`` to the same."""
        skeleton, temporal, motion = self.mapping(self.norm_1(x))
        skeleton = self.joint_mixing(skeleton)
        temporal = self.tconv(temporal)
        motion = self.Motion(motion)
        branches = torch.cat([temporal, skeleton], dim=1)
        parts = self.modulation(branches, self.MTM(motion), self.MSM(motion))
        gates = self.aggregation_gate(*parts, motion)
        # Gated after they are joined: a quantizer right behind a concat is computed wrongly by OpenVINO 2026.4.
        joined = torch.cat([branches, motion], dim=1)
        gated = (joined.reshape(self.quarters) * gates).reshape(-1, *joined.shape[1:])
        aggregated = self.aggregation(gated).permute(0, 2, 3, 1).reshape(x.shape)
        x = x + self.proj(aggregated)
        out: Tensor = x + self.mlp(self.norm_2(x))
        return out


class Mapping(nn.Module):
    """The linear layer before the branches, in two parts: what stays positions, and what becomes motion.

    The motion branch's bias is left out, because it cancels in the temporal difference. Its edges are added here, where
    frames are contiguous: see :func:`motion_convolution`.
    """

    def __init__(self, block: Block, frames: int, joints: int) -> None:
        super().__init__()
        weight, bias = weights(block.mapping)
        assert bias is not None
        half = block.split[2]
        self.maps = (-1, frames, joints, half)
        self.positions = linear(weight[:half], bias[:half])
        self.motion = linear(weight[half:], None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map rows ``(N * T * V, C)`` to the branches' inputs.

        Returns:
            Skeleton and temporal branch ``(N, C/4, T, V)``, and motion branch ``(N, C/2, T + 3, V)``, edges included.
        """
        skeleton, temporal = self.positions(x).reshape(self.maps).permute(0, 3, 1, 2).chunk(2, dim=1)
        motion = self.motion(x).reshape(self.maps)
        last = motion[:, -1:]
        following = last + last - motion[:, -2:-1]
        motion = torch.cat([motion[:, :1], motion, following, following], dim=1).permute(0, 3, 1, 2)
        return skeleton, temporal, motion


class JointProducts(nn.Module):
    """``gconv`` as one batched product, its matrices stored transposed."""

    matrices: Tensor

    def __init__(self, gconv: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrices", gconv.transpose(1, 2).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C/4, T, V)`` to the same."""
        heads = self.matrices.shape[0]
        channels, frames, joints = x.shape[1:]
        grouped = x.reshape(-1, heads, channels // heads * frames, joints)
        return torch.matmul(grouped, self.matrices).reshape(-1, channels, frames, joints)


def motion_convolution(motion: nn.Sequential) -> nn.Sequential:
    """Temporal difference, depthwise convolution and batch norm as one depthwise convolution of four taps; then GELU.

    With taps ``w0, w1, w2`` on differences, the taps on positions are ``-w0, w0 - w1, w1 - w2, w2``. The edges are
    exact where the first frame is repeated before it, and ``2 x[T-1] - x[T-2]`` follows the last one twice: the last
    difference is then repeated, and those further out are zero. So ``(N, C/2, T + 3, V)`` becomes ``(N, C/2, T, V)``.
    """
    weight, bias = folded(motion[0], motion[1])
    w0, w1, w2 = weight.unbind(2)
    taps = torch.stack([-w0, w0 - w1, w1 - w2, w2], dim=2)
    return nn.Sequential(conv(taps, bias, groups=len(taps)), nn.GELU())


class JointModulation(nn.Module):
    """MSM without its batch norm, which the layers after the modulation include."""

    joint_scale: Tensor

    def __init__(self, block: Block, frames: int) -> None:
        super().__init__()
        weight, bias = weights(block.MSM.fc)
        self.fc = conv(weight[:, :, None, None], bias)
        # A whole map and not one row of it: broadcasting along 44 joints is slower than reading 3000 numbers.
        self.register_buffer("joint_scale", block.MSM.adj.detach().sum(0).expand(frames, -1).clone())

    def forward(self, motion: Tensor) -> Tensor:
        """Map ``(N, C/2, T, V)`` to the same: what gamma and beta come from."""
        return torch.tanh(self.fc(motion * self.joint_scale))


class Modulation(nn.Module):
    """The statistics of both branches, and what of the modulated features is left to add.

    Modulated features reach the output only through the gate's first convolution, which is linear. So the shifts
    ``beta`` are not added here: the gate takes the tanh maps that they come from, with weights that include the batch
    norm between. That batch norm's part in ``1 + gamma`` is joined with the division by the deviation.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, block: Block, count: int) -> None:
        super().__init__()
        (temporal, temporal_shift), (skeleton, skeleton_shift) = gamma_and_beta_norms(block)
        gammas = block.split[0]
        # std = norm / sqrt(count - 1); both numerators and the epsilon are multiplied by the root instead.
        root = (count - 1) ** 0.5
        self.eps = STATISTICS_EPS * root
        scale = torch.cat([temporal[:gammas], skeleton[:gammas]])
        offset = 1 + torch.cat([temporal_shift[:gammas], skeleton_shift[:gammas]])
        self.register_buffer("scale", (root * scale)[:, None, None])
        self.register_buffer("offset", (root * offset)[:, None, None])

    def forward(self, x: Tensor, temporal_maps: Tensor, skeleton_maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take both branches ``(N, C/2, T, V)``, temporal first, and the tanh maps ``(N, C/2, T, V)`` of MTM and MSM.

        Returns:
            ``(X - mean) / std * (1 + gamma)`` of both branches, ``(N, C/2, T, V)``, and the tanh maps of both ``beta``.
        """
        temporal_gamma, temporal_beta = temporal_maps.chunk(2, dim=1)
        skeleton_gamma, skeleton_beta = skeleton_maps.chunk(2, dim=1)
        centred = x - x.mean((2, 3), keepdim=True)
        norm = (centred * centred).sum((2, 3), keepdim=True).sqrt() + self.eps
        gamma = torch.cat([temporal_gamma, skeleton_gamma], dim=1)
        scaled = centred * (gamma * (self.scale / norm) + self.offset / norm)
        return scaled, temporal_beta, skeleton_beta


class Gate(nn.Module):
    """The aggregation gate, its layers numbered as they were.

    Its first layer takes the modulated features without their shifts, the tanh maps of the shifts, and the motion. Its
    last one gives the motion's gate twice, so that there is one gate for each quarter of the channels.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        gate, half = block.aggregation_gate, block.split[0]
        weight, bias = folded(gate[0], gate[1])
        temporal, skeleton, motion = torch.tensor_split(weight[:, :, 0, 0], (half, 2 * half), dim=1)
        (temporal_scale, temporal_shift), (skeleton_scale, skeleton_shift) = gamma_and_beta_norms(block)
        shifts = [temporal * temporal_scale[half:], skeleton * skeleton_scale[half:]]
        bias = bias + temporal @ temporal_shift[half:] + skeleton @ skeleton_shift[half:]
        first = ChannelProduct(torch.cat([temporal, skeleton, *shifts, motion], dim=1), bias)
        last = ChannelProduct(weights(gate[3])[0][[0, 1, 2, 2], :, 0, 0], None)
        for name, layer in {"0": first, "2": nn.ReLU(), "3": last, "4": nn.Sigmoid()}.items():
            self.add_module(name, layer)

    def forward(self, scaled: Tensor, temporal_shift: Tensor, skeleton_shift: Tensor, motion: Tensor) -> Tensor:
        """Map the parts, each ``(N, ., T, V)``, to gates ``(N, 4, 1, T * V)``: temporal, skeleton, motion twice."""
        x = torch.cat([scaled, temporal_shift, skeleton_shift, motion], dim=1).flatten(2)
        for layer in self.children():
            x = layer(x)
        return x.unsqueeze(2)


class ChannelProduct(nn.Module):
    """A 1x1 convolution as a product of matrices, which is faster where channels are few."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.clone())
        self.register_buffer("bias", None if bias is None else bias[:, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T * V)`` to ``(N, C', T * V)``."""
        product = torch.matmul(self.weight, x)
        return product if self.bias is None else product + self.bias


def gamma_and_beta_norms(block: Block) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Scale and shift of the batch norms that give gamma and beta, of MTM and of MSM."""
    return scale_and_shift(block.MTM[2]), scale_and_shift(block.MSM.bn)


class DeployFusion(nn.Module):
    """Motion consistency learning, batch norms folded."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()

        def down(layers: nn.Sequential) -> nn.Sequential:
            weight, bias = folded(layers[0], layers[1])
            return nn.Sequential(conv(weight, bias, stride=weight.shape[2:]), nn.ReLU())

        self.down1, self.down2, self.down3 = down(fusion.down1), down(fusion.down2), down(fusion.down3)
        self.f4_proc = nn.Sequential(Affine(fusion.f4_proc[0]), nn.ReLU())
        first, last = conv(*folded(fusion.gate_conv[0], fusion.gate_conv[1])), conv(*weights(fusion.gate_conv[3]))
        # Layers keep their numbers: those of batch norms are left out.
        self.gate_conv = nn.Sequential(OrderedDict({"0": first, "2": nn.ReLU(), "3": last}))
        self.res_conv = conv(*weights(fusion.res_conv))

    def forward(self, scales: list[Tensor]) -> Tensor:
        """Map four ``(N, C, T / 2**s, V)`` to ``(N, C, T/8, V)``."""
        layers = (self.down1, self.down2, self.down3, self.f4_proc)
        maps = [layer(x) for layer, x in zip(layers, scales, strict=True)]
        # Flattened for the same reason as in the blocks: no quantizer may follow a concat directly.
        shares = torch.softmax(self.gate_conv(torch.cat(maps, dim=1).flatten(2).unsqueeze(3)), dim=1)
        shares = shares.reshape(-1, len(maps), *maps[3].shape[2:])
        out: Tensor = self.res_conv(maps[3])
        for s, scale in enumerate(maps):
            out = out + shares[:, s : s + 1] * scale
        return out


class Affine(nn.Module):
    """A batch norm that has no neighbour to be folded into: one factor and one summand a channel."""

    factor: Tensor
    summand: Tensor

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        factor, summand = scale_and_shift(norm)
        self.register_buffer("factor", factor[:, None, None])
        self.register_buffer("summand", summand[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T, V)`` to the same."""
        return x * self.factor + self.summand
