"""MMN rewritten for inference: the same function of the same weights, with less to do and less to move.

Built from a trained network, in float64, and equal to it; ``docs/deploy.md`` says what was folded into what and what
each step was worth. Between blocks the features are rows, ``(N * T * V, C)``: layer norms and linear layers, three
quarters of the arithmetic, then need no transposition. Inside a block, up to the aggregation, they are channels-first
maps ``(N, C, T, V)``: convolutions along time, products along joints and statistics over both are cheapest there.

Modules have the names of the layers that they stand for, so that nodes of the exported graph do too.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmn_edge.convert.folding import conv, exact, folded, linear, scale_and_shift, weights
from mmn_edge.convert.pyramid import ComposedPyramid, Pyramid
from mmn_edge.network import MMN
from mmn_edge.network.mmn import MLP, STATISTICS_EPS, Block, Fusion, Scale

__all__ = ["DeployNetwork", "deployed"]


def deployed(network: MMN, index_t: Tensor | None = None) -> DeployNetwork:
    """The deploy form of a trained network.

    Args:
        network: In evaluation mode; it is left as it is.
        index_t: The time index ``(T,)`` of every window, where it is always the same; the positional term is then a
            constant. None leaves it an input, where the network has one.
    """
    parameter = next(network.parameters())
    double = copy.deepcopy(network).double().eval().requires_grad_(False)
    if index_t is None and network.arch.index_t:
        positional = None
    else:
        positional = double.positional(torch.zeros(1, 1) if index_t is None else index_t.unsqueeze(0))
    return DeployNetwork(double, positional).to(parameter.dtype).eval().requires_grad_(False)


class DeployNetwork(nn.Module):
    """The whole network; use :func:`deployed`.

    Args:
        network: The trained one, in float64.
        positional: The positional term ``(1, C, T, V)`` where it is constant.
    """

    def __init__(self, network: MMN, positional: Tensor | None) -> None:
        super().__init__()
        arch = self.arch = network.arch
        self.projection = Projection(network.projection)
        self.DSs: Pyramid | ComposedPyramid
        if positional is None:
            self.DSs = Pyramid(network)
        else:
            self.DSs = ComposedPyramid(network, positional)
        self.MFM = nn.ModuleList(DeployScale(scale, arch.num_frames >> s) for s, scale in enumerate(network.MFM))
        self.fusion = DeployFusion(network.fusion)
        self.head = linear(*weights(network.head))

    def forward(self, x: Tensor, index_t: Tensor | None = None) -> Tensor:
        """Classify windows.

        Args:
            x: Features ``(N, T, V, C_in)``, people-major where there are several.
            index_t: Time index ``(N, T)``, where it is no constant.

        Returns:
            Logits ``(N, K)``, in the dtype of the weights.
        """
        inputs = self.DSs(self.projection(x), index_t)
        fused = self.fusion([scale(rows) for scale, rows in zip(self.MFM, inputs, strict=True)])
        pooled = fused.mean((2, 3)) if self.arch.global_pool == "avg" else fused.amax((2, 3))
        logits: Tensor = self.head(pooled)
        return logits


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
        """Map rows ``(N * T * V, C)`` to a map ``(N, C, T, V)``."""
        for block in self.blocks:
            x = block(x)
        return x.reshape(self.maps).permute(0, 3, 1, 2)


class Projection(nn.Module):
    """The embedding up to its last hidden layer; the last layer is affine and goes into the pyramid of scales."""

    def __init__(self, projection: nn.Sequential) -> None:
        super().__init__()
        (first, first_bias), (second, second_bias) = weights(projection[0]), weights(projection[2])
        self.first = linear(first.flatten(1), first_bias)
        self.second = linear(second.flatten(1), second_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, V, C_in)`` to ``(N, T, V, 3 * C_in)``."""
        rows = x.reshape(-1, x.shape[3]).to(self.first.weight.dtype)
        hidden = F.gelu(self.second(F.gelu(self.first(rows))))
        return hidden.reshape(-1, x.shape[1], x.shape[2], hidden.shape[1])


class Norm(nn.Module):
    """A layer norm without its scale and shift, which the next layer has taken over; in float32 at least."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise rows ``(M, C)``."""
        return F.layer_norm(exact(x), (x.shape[1],), eps=self.eps).to(x.dtype)


class DeployBlock(nn.Module):
    """One block on rows ``(N * T * V, C)``.

    Args:
        block: The trained one, in float64.
        frames: T at its scale.
        joints: V.
    """

    def __init__(self, block: Block, frames: int, joints: int) -> None:
        super().__init__()
        self.norm_1 = Norm(block.norm_1)
        self.mapping = Mapping(block, frames, joints)
        self.joint_mixing = JointProducts(block.gconv)
        self.tconv = conv(*weights(block.tconv), padding=(1, 0), groups=block.tconv.groups)
        self.Motion = Motion(block.Motion)
        self.modulation = Modulation(block, frames * joints)
        self.aggregation_gate = Gate(block)
        self.aggregation = conv(*folded(block.aggregation[0], block.aggregation[1]))
        self.proj = linear(*weights(block.proj))
        self.norm_2 = Norm(block.norm_2)
        self.mlp = Feedforward(block.mlp, block.norm_2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N * T * V, C)`` to the same."""
        skeleton, temporal, motion = self.mapping(self.norm_1(x))
        skeleton = self.joint_mixing(skeleton)
        temporal = self.tconv(temporal)
        motion = self.Motion(motion)
        gates = self.aggregation_gate(*self.modulation(temporal, skeleton, motion), motion)
        gated = torch.cat([temporal * gates[:, 0:1], skeleton * gates[:, 1:2], motion * gates[:, 2:3]], dim=1)
        aggregated = F.gelu(self.aggregation(gated)).permute(0, 2, 3, 1).reshape(x.shape)
        x = x + self.proj(aggregated)
        return x + self.mlp(self.norm_2(x))


class Mapping(nn.Module):
    """The linear layer before the branches, in two parts: what stays positions, and what becomes motion.

    The motion branch's bias is left out, because it cancels in the temporal difference. Its edges are added here, where
    frames are contiguous: see :class:`Motion`.
    """

    def __init__(self, block: Block, frames: int, joints: int) -> None:
        super().__init__()
        weight, bias = after_norm(block.mapping, block.norm_1)
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


class Motion(nn.Module):
    """Temporal difference, depthwise convolution and batch norm as one depthwise convolution of four taps, then GELU.

    With taps ``w0, w1, w2`` on differences, the taps on positions are ``-w0, w0 - w1, w1 - w2, w2``. The edges are
    exact where the first frame is repeated before it, and ``2 x[T-1] - x[T-2]`` follows the last one twice: the last
    difference is then repeated, and those further out are zero.
    """

    def __init__(self, motion: nn.Sequential) -> None:
        super().__init__()
        weight, bias = folded(motion[0], motion[1])
        w0, w1, w2 = weight.unbind(2)
        taps = torch.stack([-w0, w0 - w1, w1 - w2, w2], dim=2)
        self.depthwise = conv(taps, bias, groups=len(taps))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C/2, T + 3, V)`` to ``(N, C/2, T, V)``."""
        out: Tensor = F.gelu(self.depthwise(x))
        return out


class Modulation(nn.Module):
    """MTM, MSM, the statistics of both branches, and what of the modulated features is left to add.

    Modulated features reach the output only through the gate's first convolution, which is linear. So the shifts
    ``beta`` are not added here: the gate takes the tanh maps that they come from, with weights that include the batch
    norm between. That batch norm's part in ``1 + gamma`` is joined with the division by the deviation.
    """

    joint_scale: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, block: Block, count: int) -> None:
        super().__init__()
        half = block.split[0]  # of the channels of MTM's and MSM's maps: gamma, then beta
        self.MTM = conv(*weights(block.MTM[0]), padding=(1, 0))
        self.MSM = conv(block.MSM.fc.weight[:, :, None, None], block.MSM.fc.bias)
        # A whole map and not one row of it: broadcasting along 44 joints is slower than reading 3000 numbers.
        self.register_buffer("joint_scale", block.MSM.adj.sum(0).expand(count // block.MSM.adj.shape[0], -1).clone())
        temporal_scale, temporal_shift = scale_and_shift(block.MTM[2])
        skeleton_scale, skeleton_shift = scale_and_shift(block.MSM.bn)
        # std = norm / sqrt(count - 1); both numerators and the epsilon are multiplied by the root instead.
        root = (count - 1) ** 0.5
        self.eps = STATISTICS_EPS * root
        scale = torch.cat([temporal_scale[:half], skeleton_scale[:half]])
        offset = 1 + torch.cat([temporal_shift[:half], skeleton_shift[:half]])
        self.register_buffer("scale", (root * scale)[:, None, None])
        self.register_buffer("offset", (root * offset)[:, None, None])

    def forward(self, temporal: Tensor, skeleton: Tensor, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(N, C/4, T, V)`` twice and ``(N, C/2, T, V)`` to the parts of the gate's input.

        Returns:
            ``(X - mean) / std * (1 + gamma)`` of both branches, ``(N, C/2, T, V)``, and the tanh maps of both ``beta``.
        """
        temporal_maps = torch.tanh(self.MTM(motion)).chunk(2, dim=1)
        skeleton_maps = torch.tanh(self.MSM(motion * self.joint_scale)).chunk(2, dim=1)
        x = exact(torch.cat([temporal, skeleton], dim=1))
        centred = x - x.mean((2, 3), keepdim=True)
        norm = (centred * centred).sum((2, 3), keepdim=True).sqrt() + self.eps
        gamma = torch.cat([temporal_maps[0], skeleton_maps[0]], dim=1).to(x.dtype)
        scaled = centred * (gamma * (self.scale.to(x.dtype) / norm) + self.offset.to(x.dtype) / norm)
        return scaled.to(motion.dtype), temporal_maps[1], skeleton_maps[1]


class Gate(nn.Module):
    """The aggregation gate, as products with channels-first matrices: faster here than convolutions.

    Its first layer takes the modulated features without their shifts, the tanh maps of the shifts, and the motion.
    """

    weight: Tensor
    bias: Tensor
    weight_2: Tensor

    def __init__(self, block: Block) -> None:
        super().__init__()
        half = block.split[0]
        gate = block.aggregation_gate
        weight, bias = folded(gate[0], gate[1])
        temporal, skeleton, motion = torch.tensor_split(weight[:, :, 0, 0], (half, 2 * half), dim=1)
        temporal_scale, temporal_shift = scale_and_shift(block.MTM[2])
        skeleton_scale, skeleton_shift = scale_and_shift(block.MSM.bn)
        shifts = [temporal * temporal_scale[half:], skeleton * skeleton_scale[half:]]
        bias = bias + temporal @ temporal_shift[half:] + skeleton @ skeleton_shift[half:]
        self.register_buffer("weight", torch.cat([temporal, skeleton, *shifts, motion], dim=1))
        self.register_buffer("bias", bias[:, None])
        self.register_buffer("weight_2", gate[3].weight[:, :, 0, 0].clone())

    def forward(self, scaled: Tensor, temporal_shift: Tensor, skeleton_shift: Tensor, motion: Tensor) -> Tensor:
        """Map the parts, each ``(N, ., T, V)``, to gates ``(N, 3, T, V)``: temporal, skeleton, motion."""
        frames, joints = motion.shape[2:]
        x = torch.cat([scaled, temporal_shift, skeleton_shift, motion], dim=1)
        x = x.reshape(-1, x.shape[1], frames * joints)
        hidden = torch.relu(torch.matmul(self.weight, x) + self.bias)
        return torch.sigmoid(torch.matmul(self.weight_2, hidden)).reshape(-1, 3, frames, joints)


class Feedforward(nn.Module):
    """The MLP, with the scale and shift of the norm before it."""

    def __init__(self, mlp: MLP, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.fc1 = linear(*after_norm(mlp.fc1, norm))
        self.fc2 = linear(*weights(mlp.fc2))

    def forward(self, x: Tensor) -> Tensor:
        """Map rows ``(M, C)`` to ``(M, C)``."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class DeployFusion(nn.Module):
    """Motion consistency learning, batch norms folded."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()

        def down(layers: nn.Sequential) -> nn.Conv2d:
            weight, bias = folded(layers[0], layers[1])
            return conv(weight, bias, stride=weight.shape[2:])

        self.down1, self.down2, self.down3 = down(fusion.down1), down(fusion.down2), down(fusion.down3)
        self.f4_proc = Affine(fusion.f4_proc[0])
        self.gate_conv = nn.Sequential(
            conv(*folded(fusion.gate_conv[0], fusion.gate_conv[1])),
            nn.ReLU(),
            conv(*weights(fusion.gate_conv[3])),
        )
        self.res_conv = conv(*weights(fusion.res_conv))

    def forward(self, scales: list[Tensor]) -> Tensor:
        """Map four ``(N, C, T / 2**s, V)`` to ``(N, C, T/8, V)``."""
        maps = [
            torch.relu(layer(x))
            for layer, x in zip((self.down1, self.down2, self.down3, self.f4_proc), scales, strict=True)
        ]
        weights = torch.softmax(exact(self.gate_conv(torch.cat(maps, dim=1))), dim=1).to(maps[0].dtype)
        out: Tensor = self.res_conv(maps[3])
        for s, scale in enumerate(maps):
            out = out + weights[:, s : s + 1] * scale
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


def after_norm(layer: nn.Linear, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Weights and bias of a linear layer that takes over the scale and shift of the norm before it."""
    return layer.weight * norm.weight, layer.bias + layer.weight @ norm.bias
