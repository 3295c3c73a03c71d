"""The deploy network as an ONNX graph: what its modules compute in PyTorch, operator by operator.

Each function writes what one module's ``forward`` computes. ``tests/convert/deploy/test_onnx_graph.py`` holds the
result against the graph that PyTorch's exporter makes of the same modules.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import onnx
import torch
from torch import Tensor, nn

from mmn_edge.convert.deploy.deploy import (
    Affine,
    ChannelProduct,
    DeployBlock,
    DeployFusion,
    DeployNetwork,
    DeployScale,
    Gate,
    JointModulation,
    JointProducts,
    Mapping,
    Modulation,
)
from mmn_edge.convert.deploy.interfaces import FeaturesGraph, KeypointsGraph, Stream, StreamNetwork, StreamsGraph
from mmn_edge.convert.deploy.pyramid import Composed, Reduction
from mmn_edge.convert.graph.writer import GraphWriter
from mmn_edge.model.task import DETECT
from mmn_edge.skeleton.preprocess import NORMALISE_EPS

__all__ = ["onnx_graph"]

ACTIVATIONS: dict[type[nn.Module], str] = {nn.GELU: "Gelu", nn.ReLU: "Relu", nn.Sigmoid: "Sigmoid", nn.Tanh: "Tanh"}


class _Member(NamedTuple):
    """A network that takes keypoints, the stream that it takes of them, and the weight of its logits."""

    name: str
    stream: Stream
    network: DeployNetwork
    weight: float


def onnx_graph(graph: FeaturesGraph | KeypointsGraph | StreamsGraph) -> onnx.ModelProto:
    """An interface with deploy networks behind it, as ONNX.

    Axis 0 of every input and output is the batch ``N``, of any size. Nodes are named ``<site>/<operator>``, and weights
    are inside.
    """
    g = GraphWriter()
    if isinstance(graph, FeaturesGraph):
        network = _deployed(graph.network)
        arch = network.arch
        shapes = {
            "features": (arch.in_channels, arch.num_frames, arch.num_joints, arch.num_people),
            "index_t": (arch.num_frames,),
        }
        x = g("Transpose", "features", perm=[0, 2, 4, 3, 1])
        x = g.reshape(x, -1, arch.num_frames, arch.graph_joints, arch.in_channels)
        logits = _network(g, network, x, "index_t")
    else:
        members = _members(graph)
        arch = members[0].network.arch
        shapes = {"keypoints": (arch.num_frames, arch.graph_joints, arch.in_channels)}
        x = _normalised(g, "keypoints")
        logits = _sum(g, [_weighted_logits(g, member, x) for member in members])
    scaled = logits if graph.temperature == 1.0 else g("Div", logits, g.number(graph.temperature))
    probabilities = g("Sigmoid", scaled) if graph.task == DETECT else g("Softmax", scaled, axis=-1)
    return g.model(shapes, {"logits": logits, "probabilities": probabilities})


def _normalised(g: GraphWriter, keypoints: str) -> str:
    axes = g.integers([1, 2])
    low = g("ReduceMin", keypoints, axes, keepdims=1)
    span = g("Sub", g("ReduceMax", keypoints, axes, keepdims=1), low)
    doubled = g("Mul", g("Sub", keypoints, low), g.number(2.0))
    return g("Sub", g("Div", doubled, g("Add", span, g.number(NORMALISE_EPS))), g.number(1.0))


def _weighted_logits(g: GraphWriter, member: _Member, x: str) -> str:
    at = g.at(member.name) if member.name else g
    features = _stream(at.at("stream"), member.stream, x, member.network.arch.num_frames)
    logits = _network(at, member.network, features, None)
    return logits if member.weight == 1.0 else g("Mul", logits, g.number(member.weight))


def _sum(g: GraphWriter, values: list[str]) -> str:
    total = values[0]
    for value in values[1:]:
        total = g("Add", total, value)
    return total


def _stream(g: GraphWriter, stream: Stream, x: str, frames: int) -> str:
    joints = g("Gather", x, g.integers(stream.order), axis=2)
    if stream.bone:
        joints = g("Sub", joints, g("Gather", x, g.integers(stream.bone_ends), axis=2))
    if stream.motion:
        # The last frame is followed by itself, which makes its difference the zero that it is.
        following = g.integers([*range(1, frames), frames - 1])
        joints = g("Sub", g("Gather", joints, following, axis=1), joints)
    return joints


def _network(g: GraphWriter, network: DeployNetwork, x: str, index_t: str | None) -> str:
    arch = network.arch
    maps = []
    inputs = _inputs(g, network, x, index_t)
    for s, (scale, rows) in enumerate(zip(network.MFM, inputs, strict=True)):
        assert isinstance(scale, DeployScale)
        maps.append(_scale(g.at(f"MFM.{s}"), scale, rows))
    fused = _fusion(g.at("fusion"), network.fusion, maps, arch.num_frames >> 3, arch.graph_joints)
    pool = "ReduceMean" if arch.global_pool == "avg" else "ReduceMax"
    return _layer(g.at("head"), network.head, g(pool, fused, g.integers([2, 3]), keepdims=0))


def _inputs(g: GraphWriter, network: DeployNetwork, x: str, index_t: str | None) -> list[str]:
    """The inputs of the four scales, ``(N, T / 2**s, V, C)``."""
    first, gelu, second, gelu_2, last = network.projection
    hidden = x
    for number, layer in enumerate((first, gelu, second, gelu_2)):
        at = g.at(f"projection.{number}")
        hidden = _linear(at, layer, hidden) if isinstance(layer, nn.Linear) else _layer(at, layer, hidden)
    reductions = [layer.get_submodule("reduction") for layer in network.DSs]
    if network.composed:
        composed = {"projection.4": last} | {f"DSs.{s}.reduction": layer for s, layer in enumerate(reductions)}
        return [_composed(g.at(site), layer, hidden) for site, layer in composed.items()]
    assert index_t is not None
    assert isinstance(last, nn.Linear)
    positional = _positional(g, network, index_t)
    scales = [g("Add", _linear(g.at("projection.4"), last, hidden), positional)]
    for s, layer in enumerate(reductions):
        scales.append(_reduction(g.at(f"DSs.{s}.reduction"), layer, scales[-1]))
    return scales


def _positional(g: GraphWriter, network: DeployNetwork, index_t: str) -> str:
    """The time code of :func:`mmn_edge.network.mmn.time_code` times ``STPE``, ``(N, T, V, C)``."""
    arch = network.arch
    rates = torch.exp(torch.arange(0, arch.width, 2) * (-math.log(10000.0) / arch.width))
    angles = g("Mul", g("Unsqueeze", index_t, g.integers([2, 3])), g.weights("rates", rates[:, None]))
    code = g("Concat", g("Sin", angles), g("Cos", angles), axis=3)
    code = g.reshape(code, -1, arch.num_frames, 1, arch.width)
    return g("Mul", code, g.weights("STPE", network.get_buffer("STPE")))


def _composed(g: GraphWriter, module: nn.Module, hidden: str) -> str:
    assert isinstance(module, Composed)
    _, frames, taps = module.windows
    if taps > 1:
        joints = module.constant.shape[2]
        channels = len(module.weight) // taps
        windows = g("Gather", hidden, g.integers(module.frames), axis=1)
        windows = g("Transpose", g.reshape(windows, -1, frames, taps, joints, channels), perm=[0, 1, 3, 2, 4])
        hidden = g.reshape(windows, -1, frames, joints, taps * channels)
    product = g("MatMul", hidden, g.weights("weight", module.weight))
    return g("Add", product, g.weights("constant", module.constant))


def _reduction(g: GraphWriter, module: nn.Module, x: str) -> str:
    assert isinstance(module, Reduction)
    padded = g("Concat", g.slice(x, 0, 1, axis=1), x, axis=1)
    out = _layer(g.at("conv"), module.conv, g("Transpose", padded, perm=[0, 3, 1, 2]))
    return g("Transpose", out, perm=[0, 2, 3, 1])


def _scale(g: GraphWriter, scale: DeployScale, x: str) -> str:
    rows = g.reshape(x, -1, scale.maps[3])
    for b, block in enumerate(scale.blocks):
        assert isinstance(block, DeployBlock)
        rows = _block(g.at(f"blocks.{b}"), block, rows)
    return g("Transpose", g.reshape(rows, *scale.maps), perm=[0, 3, 1, 2])


def _block(g: GraphWriter, block: DeployBlock, x: str) -> str:
    _, frames, joints, half = block.mapping.maps
    skeleton, temporal, motion = _mapping(g.at("mapping"), block.mapping, _layer(g.at("norm_1"), block.norm_1, x))
    skeleton = _joint_products(g.at("joint_mixing"), block.joint_mixing, skeleton, (half // 2, frames, joints))
    temporal = _layer(g.at("tconv"), block.tconv, temporal)
    motion = _layer(g.at("Motion"), block.Motion, motion)
    branches = g("Concat", temporal, skeleton, axis=1)
    tanh_maps = _layer(g.at("MTM"), block.MTM, motion), _joint_modulation(g.at("MSM"), block.MSM, motion)
    parts = _modulation(g.at("modulation"), block.modulation, branches, *tanh_maps)
    gates = _gate(g.at("aggregation_gate"), block.aggregation_gate, *parts, motion, positions=frames * joints)
    joined = g.reshape(g("Concat", branches, motion, axis=1), *block.quarters)
    gated = g.reshape(g("Mul", joined, gates), -1, 2 * half, frames, joints)
    aggregated = g("Transpose", _layer(g.at("aggregation"), block.aggregation, gated), perm=[0, 2, 3, 1])
    x = g("Add", x, _layer(g.at("proj"), block.proj, g.reshape(aggregated, -1, 2 * half)))
    mlp = g.at("mlp")
    hidden = _layer(mlp.at("fc1"), block.mlp.fc1, _layer(g.at("norm_2"), block.norm_2, x))
    return g("Add", x, _layer(mlp.at("fc2"), block.mlp.fc2, mlp("Gelu", hidden)))


def _mapping(g: GraphWriter, mapping: Mapping, x: str) -> tuple[str, str, str]:
    positions = g.reshape(_layer(g.at("positions"), mapping.positions, x), *mapping.maps)
    skeleton, temporal = g.halves(g("Transpose", positions, perm=[0, 3, 1, 2]), axis=1)
    motion = g.reshape(_layer(g.at("motion"), mapping.motion, x), *mapping.maps)
    last = g.slice(motion, -1, None, axis=1)
    following = g("Sub", g("Add", last, last), g.slice(motion, -2, -1, axis=1))
    padded = g("Concat", g.slice(motion, 0, 1, axis=1), motion, following, following, axis=1)
    return skeleton, temporal, g("Transpose", padded, perm=[0, 3, 1, 2])


def _joint_products(g: GraphWriter, products: JointProducts, x: str, maps: tuple[int, int, int]) -> str:
    channels, frames, joints = maps
    heads = len(products.matrices)
    matrices = g.weights("matrices", products.matrices)
    if channels == heads:
        return g("MatMul", x, matrices)
    grouped = g.reshape(x, -1, heads, channels // heads * frames, joints)
    return g.reshape(g("MatMul", grouped, matrices), -1, channels, frames, joints)


def _joint_modulation(g: GraphWriter, modulation: JointModulation, motion: str) -> str:
    scaled = g("Mul", motion, g.weights("joint_scale", modulation.joint_scale))
    return g("Tanh", _layer(g.at("fc"), modulation.fc, scaled))


def _modulation(g: GraphWriter, modulation: Modulation, x: str, temporal: str, skeleton: str) -> tuple[str, str, str]:
    temporal_gamma, temporal_beta = g.halves(temporal, axis=1)
    skeleton_gamma, skeleton_beta = g.halves(skeleton, axis=1)
    axes = g.integers([2, 3])
    centred = g("Sub", x, g("ReduceMean", x, axes, keepdims=1))
    norm = g("Sqrt", g("ReduceSum", g("Mul", centred, centred), axes, keepdims=1))
    norm = g("Add", norm, g.number(modulation.eps))
    gamma = g("Concat", temporal_gamma, skeleton_gamma, axis=1)
    scale = g("Div", g.weights("scale", modulation.scale), norm)
    scaled = g("Mul", gamma, scale)
    offset = g("Div", g.weights("offset", modulation.offset), norm)
    return g("Mul", centred, g("Add", scaled, offset)), temporal_beta, skeleton_beta


def _gate(g: GraphWriter, gate: Gate, *parts: str, positions: int) -> str:
    layers = dict(gate.named_children())
    first = layers["0"]
    assert isinstance(first, ChannelProduct)
    x = g.reshape(g("Concat", *parts, axis=1), -1, first.weight.shape[1], positions)
    for name, layer in layers.items():
        x = _layer(g.at(name), layer, x)
    return g("Unsqueeze", x, g.integers([2]))


def _fusion(g: GraphWriter, fusion: DeployFusion, scales: list[str], frames: int, joints: int) -> str:
    names = ("down1", "down2", "down3", "f4_proc")
    maps = [_layer(g.at(name), fusion.get_submodule(name), x) for name, x in zip(names, scales, strict=True)]
    width = fusion.res_conv.in_channels
    joined = g.reshape(g("Concat", *maps, axis=1), -1, len(maps) * width, frames * joints)
    gates = _layer(g.at("gate_conv"), fusion.gate_conv, g("Unsqueeze", joined, g.integers([3])))
    shares = g.reshape(g("Softmax", gates, axis=1), -1, len(maps), frames, joints)
    out = _layer(g.at("res_conv"), fusion.res_conv, maps[3])
    for s, scale in enumerate(maps):
        out = g("Add", out, g("Mul", g.slice(shares, s, s + 1, axis=1), scale))
    return out


def _layer(g: GraphWriter, layer: nn.Module, x: str) -> str:
    """A layer of one input, or several after one another; linear layers are on rows."""
    if isinstance(layer, nn.Sequential):
        for name, part in layer.named_children():
            x = _layer(g.at(name), part, x)
        return x
    if isinstance(layer, nn.Conv2d):
        return _convolution(g, layer, x)
    if isinstance(layer, nn.Linear):
        return g("Gemm", x, *_weight_and_bias(g, layer.weight, layer.bias), transB=1)
    if isinstance(layer, nn.LayerNorm):
        return g("LayerNormalization", x, *_weight_and_bias(g, layer.weight, layer.bias), axis=-1, epsilon=layer.eps)
    if isinstance(layer, ChannelProduct):
        product = g("MatMul", g.weights("weight", layer.weight), x)
        return product if layer.bias is None else g("Add", product, g.weights("bias", layer.bias))
    if isinstance(layer, Affine):
        scaled = g("Mul", x, g.weights("factor", layer.factor))
        return g("Add", scaled, g.weights("summand", layer.summand))
    return g(ACTIVATIONS[type(layer)], x)


def _convolution(g: GraphWriter, layer: nn.Conv2d, x: str) -> str:
    assert isinstance(layer.padding, tuple)
    return g(
        "Conv",
        x,
        *_weight_and_bias(g, layer.weight, layer.bias),
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=[*layer.padding, *layer.padding],
        group=layer.groups,
    )


def _linear(g: GraphWriter, layer: nn.Linear, x: str) -> str:
    """A linear layer on the last of several axes."""
    product = g("MatMul", x, g.weights("weight", layer.weight.T))
    return g("Add", product, g.weights("bias", layer.bias))


def _weight_and_bias(g: GraphWriter, weight: Tensor, bias: Tensor | None) -> list[str]:
    return [g.weights("weight", weight)] + ([] if bias is None else [g.weights("bias", bias)])


def _members(graph: KeypointsGraph | StreamsGraph) -> list[_Member]:
    if isinstance(graph, KeypointsGraph):
        return [_Member("", graph.stream, _deployed(graph.network), 1.0)]
    members = []
    for (name, part), weight in zip(graph.named_children(), graph.weights, strict=True):
        assert isinstance(part, StreamNetwork)
        members.append(_Member(name, part.stream, _deployed(part.network), weight))
    return members


def _deployed(network: nn.Module) -> DeployNetwork:
    assert isinstance(network, DeployNetwork), "the network as it was trained has no graph: see deployed()"
    return network
