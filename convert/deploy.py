"""MMN rewritten for inference: the same function of the same weights, with less to do and less to move.

Built from a trained network, in float64, and equal to it; ``docs/deploy.md`` says what was folded into what and what
each step was worth. Between blocks the features are rows, ``(N * T * V, C)``: layer norms and linear layers, four
fifths of the arithmetic, then need no transposition. Within a block, between the first linear layer and the last but
one, they are channels-first maps ``(N, C, T, V)``: convolutions along time, products along joints and statistics over
both are cheapest there.

Modules have the names of the layers that they stand for, so that nodes of the exported graph do too.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmn_edge.convert.pyramid import ComposedPyramid, Pyramid
from mmn_edge.convert.folding import conv, exact, folded, linear, scale_and_shift
from mmn_edge.network import MMN
from mmn_edge.network.mmn import MLP, STATISTICS_EPS, Block, Fusion

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
        self.MFM = nn.ModuleList(
            nn.ModuleDict(
                {"blocks": nn.ModuleList(DeployBlock(block, arch.num_frames >> s, arch.graph_joints) for block in scale.blocks)}
            )
            for s, scale in enumerate(network.MFM)
        )
        self.fusion = DeployFusion(network.fusion)
        self.head = linear(network.head.weight, network.head.bias)

    def forward(self, x: Tensor, index_t: Tensor | None = None) -> Tensor:
        """Classify windows.

        Args:
            x: Features ``(N, T, V, C_in)``, people-major where there are several.
            index_t: Time index ``(N, T)``, where it is no constant.

        Returns:
            Logits ``(N, K)``, in the dtype of the weights.
        """
        arch = self.arch
        outputs = []
        for s, (x, scale) in enumerate(zip(self.DSs(self.projection(x), index_t), self.MFM, strict=True)):
            for block in scale["blocks"]:
                x = block(x)
            outputs.append(x.reshape(-1, arch.num_frames >> s, arch.graph_joints, arch.width).permute(0, 3, 1, 2))
        fused = self.fusion(outputs)
        pooled = fused.mean((2, 3)) if arch.global_pool == "avg" else fused.amax((2, 3))
        logits: Tensor = self.head(pooled)
        return logits


class Projection(nn.Module):
    """The embedding up to its last hidden layer; the last layer is affine and goes into the pyramid of scales."""

    def __init__(self, projection: nn.Sequential) -> None:
        super().__init__()
        first, second = projection.get_submodule("0"), projection.get_submodule("2")
        self.first = linear(first.weight.flatten(1), first.bias)
        self.second = linear(second.weight.flatten(1), second.bias)

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
        self.frames, self.joints = frames, joints
        self.norm_1 = Norm(block.norm_1)
        self.mapping = Mapping(block)
        self.joint_mixing = JointProducts(block.gconv)
        self.tconv = conv(block.tconv.weight, block.tconv.bias, padding=(1, 0), groups=block.tconv.groups)
        self.Motion = Motion(block.Motion)
        self.modulation = Modulation(block, frames * joints)
        self.aggregation_gate = Gate(block)
        self.aggregation = conv(*folded(block.aggregation[0], block.aggregation[1]))
        self.proj = linear(block.proj.weight, block.proj.bias)
        self.norm_2 = Norm(block.norm_2)
        self.mlp = Feedforward(block.mlp, block.norm_2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N * T * V, C)`` to the same."""
        shape = (-1, self.frames, self.joints, x.shape[1])
        skeleton, temporal, motion = self.mapping(self.norm_1(x).reshape(shape).permute(0, 3, 1, 2))
        skeleton = self.joint_mixing(skeleton)
        temporal = self.tconv(temporal)
        motion = self.Motion(motion)
        gates = self.aggregation_gate(*self.modulation(temporal, skeleton, motion), motion)
        gated = torch.cat([temporal * gates[:, 0:1], skeleton * gates[:, 1:2], motion * gates[:, 2:3]], dim=1)
        aggregated = F.gelu(self.aggregation(gated)).permute(0, 2, 3, 1).reshape(x.shape)
        x = x + self.proj(aggregated)
        return x + self.mlp(self.norm_2(x))


class Mapping(nn.Module):
    """The linear layer before the branches, one for each, so that nothing has to be split.

    The motion branch's bias is left out: it cancels in the temporal difference.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        weight, bias = after_norm(block.mapping, block.norm_1)
        skeleton, temporal, motion = weight[:, :, None, None].split(block.split)
        skeleton_bias, temporal_bias, _ = bias.split(block.split)
        self.skeleton = conv(skeleton, skeleton_bias)
        self.temporal = conv(temporal, temporal_bias)
        self.motion = conv(motion, None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(N, C, T, V)`` to ``C/4``, ``C/4`` and ``C/2`` channels: skeleton, temporal and motion branch."""
        return self.skeleton(x), self.temporal(x), self.motion(x)


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

    With taps ``w0, w1, w2`` on differences, the taps on positions are ``-w0, w0 - w1, w1 - w2, w2``. The edges are exact
    if the first frame is repeated before it, and ``2 x[T-1] - x[T-2]`` follows the last one twice: differences outside
    are then zero, and the last one is repeated.
    """

    def __init__(self, motion: nn.Sequential) -> None:
        super().__init__()
        depthwise = motion.get_submodule("0")
        weight, bias = folded(depthwise, motion.get_submodule("1"))
        w0, w1, w2 = weight.unbind(2)
        taps = torch.stack([-w0, w0 - w1, w1 - w2, w2], dim=2)
        self.depthwise = conv(taps, bias, groups=depthwise.groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C/2, T, V)`` to the same."""
        last = x[:, :, -1:]
        following = last + last - x[:, :, -2:-1]
        out: Tensor = self.depthwise(torch.cat([x[:, :, :1], x, following, following], dim=2))
        return F.gelu(out)


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
        half = block.split[0]
        self.half = half
        self.MTM = conv(block.MTM[0].weight, block.MTM[0].bias, padding=(1, 0))
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
        temporal_maps = torch.tanh(self.MTM(motion)).split(self.half, dim=1)
        skeleton_maps = torch.tanh(self.MSM(motion * self.joint_scale)).split(self.half, dim=1)
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
        temporal, skeleton, motion = weight[:, :, 0, 0].split(block.split, dim=1)
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
        self.fc2 = linear(mlp.fc2.weight, mlp.fc2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows ``(M, C)`` to ``(M, C)``."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class DeployFusion(nn.Module):
    """Motion consistency learning, batch norms folded."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()

        def down(layers: nn.Sequential) -> nn.Conv2d:
            convolution = layers.get_submodule("0")
            return conv(*folded(convolution, layers.get_submodule("1")), stride=convolution.stride)

        self.down1, self.down2, self.down3 = down(fusion.down1), down(fusion.down2), down(fusion.down3)
        self.f4_proc = Affine(fusion.f4_proc[0])
        self.gate_conv = nn.Sequential(
            conv(*folded(fusion.gate_conv[0], fusion.gate_conv[1])),
            nn.ReLU(),
            conv(fusion.gate_conv[3].weight, fusion.gate_conv[3].bias),
        )
        self.res_conv = conv(fusion.res_conv.weight, fusion.res_conv.bias)

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

    def __init__(self, norm: nn.BatchNorm2d) -> None:
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
