"""Fake quantization of MMN, placed where TensorRT's explicit quantization wants it.

Symmetric int8: one scale for the input of every quantized layer, one for each output channel of its weights, nothing
on biases, norms, statistics, softmax, sigmoid and pooling ("Working with Quantized Types", TensorRT documentation).
Gradients go straight through (Bengio et al., 2013, arXiv 1308.3432), so that one network serves calibration,
quantization-aware training and the reference of what an INT8 graph must compute.

A quantized network is an :class:`mmn_edge.network.MMN` whose layers were exchanged in place. Its state dict is that of
the plain network, unchanged, and ``<site>.quantizer.amax`` for every quantized site: the largest input that int8
represents there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmn_edge.errors import CheckpointError, UsageError
from mmn_edge.network.mmn import MMN, JointMixing

__all__ = [
    "METHODS",
    "Quantizer",
    "calibrate",
    "default_kept",
    "disable",
    "enable",
    "kept_sites",
    "quantize",
    "quantized_sites",
    "range_key",
    "select_sites",
    "sites",
    "split_state",
]

LEVELS = 127
"""The largest int8 magnitude in use: symmetric, so that a zero point is 0."""

METHODS = ("amax", "mse")
"""How a range is chosen: the largest input seen, or the clipping that makes the squared error smallest."""

SENSITIVE = ("projection.*", "*.mapping", "DSs.*.reduction")
"""Inputs of these are upstream of a temporal difference, and an int8 step there is as large as a micro-action."""

_SUFFIX = ".quantizer.amax"
_SMALLEST = 1e-8


class Quantizer(nn.Module):
    """Fake quantization of one layer: its input by a calibrated range, its weights by their own.

    Args:
        axis: The output channels' axis of the weights; None for one scale in all.
    """

    amax: Tensor
    zero_point: Tensor

    def __init__(self, axis: int | None) -> None:
        super().__init__()
        self.axis = axis
        self.enabled = True
        self.observer: _Observer | None = None
        # NaN until it is known: a network that was neither calibrated nor loaded gives NaN, not wrong logits.
        self.register_buffer("amax", torch.full((), torch.nan))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int32), persistent=False)

    def forward(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Fake-quantize the input and the weights of a layer, in float32 also under autocast."""
        if self.observer is not None:
            self.observer.see(x)
        if not self.enabled:
            return x, weight
        quantized: Tensor = torch.fake_quantize_per_tensor_affine(
            x.float(), self.input_scale(), self.zero_point, -LEVELS - 1, LEVELS
        )
        scale = self.weight_scale(weight)
        if self.axis is None:
            return quantized, torch.fake_quantize_per_tensor_affine(
                weight.float(), scale, self.zero_point, -LEVELS - 1, LEVELS
            )
        return quantized, torch.fake_quantize_per_channel_affine(
            weight.float(), scale, torch.zeros_like(scale, dtype=torch.int32), self.axis, -LEVELS - 1, LEVELS
        )

    def input_scale(self) -> Tensor:
        """The step of the input's int8 values, a scalar."""
        return self.amax / LEVELS

    def weight_scale(self, weight: Tensor) -> Tensor:
        """The step of the weights' int8 values: a scalar, or one an output channel."""
        magnitude = weight.detach().float().abs()
        if self.axis is None:
            return magnitude.amax().clamp_min(_SMALLEST) / LEVELS
        return magnitude.transpose(0, self.axis).flatten(1).amax(1).clamp_min(_SMALLEST) / LEVELS


class QuantizedConv2d(nn.Conv2d):
    """A convolution with fake-quantized input and weights."""

    quantizer: Quantizer

    def forward(self, input: Tensor) -> Tensor:
        """As :class:`torch.nn.Conv2d`."""
        x, weight = self.quantizer(input, self.weight)
        out: Tensor = self._conv_forward(x, weight, self.bias)
        return out


class QuantizedLinear(nn.Linear):
    """A linear layer with fake-quantized input and weights."""

    quantizer: Quantizer

    def forward(self, input: Tensor) -> Tensor:
        """As :class:`torch.nn.Linear`."""
        x, weight = self.quantizer(input, self.weight)
        return F.linear(x, weight, self.bias)


class QuantizedJointMixing(JointMixing):
    """The blocks' product with ``gconv``, both factors fake-quantized; one scale for all heads' matrices."""

    quantizer: Quantizer

    def forward(self, x: Tensor, gconv: Tensor) -> Tensor:
        """As :class:`mmn_edge.network.mmn.JointMixing`."""
        x, gconv = self.quantizer(x, gconv)
        return super().forward(x, gconv)


_Quantized = (QuantizedConv2d, QuantizedLinear, QuantizedJointMixing)
_Plain = (nn.Conv2d, nn.Linear, JointMixing)


def sites(network: nn.Module) -> tuple[str, ...]:
    """Every layer that can be quantized, by module path: convolutions, linear layers and the joint mixing."""
    return tuple(name for name, module in network.named_modules() if isinstance(module, _Plain))


def quantized_sites(network: nn.Module) -> tuple[str, ...]:
    """The layers that are quantized, by module path, whether their fake quantization is on or off."""
    return tuple(name for name, module in network.named_modules() if isinstance(module, _Quantized))


def select_sites(network: nn.Module, patterns: Iterable[str]) -> tuple[str, ...]:
    """The sites that match any of some shell patterns (``*`` also crosses dots), in network order.

    Raises:
        UsageError: A pattern matches none.
    """
    names = sites(network)
    chosen: set[str] = set()
    for pattern in patterns:
        matches = {name for name in names if fnmatchcase(name, pattern)}
        if not matches:
            raise UsageError(f"no layer matches {pattern!r}: layers are named such as {', '.join(names[3:15:4])}")
        chosen |= matches
    return tuple(name for name in names if name in chosen)


def default_kept(network: nn.Module) -> tuple[str, ...]:
    """The layers that are best left in higher precision: input projection, blocks' ``mapping``, downsampling.

    Quantizing them takes most of the accuracy on small motions, and leaving them is 16 % of the multiplications
    (``docs/guides/quantization.md``).
    """
    return select_sites(network, SENSITIVE)


def kept_sites(network: nn.Module, word: str) -> tuple[str, ...]:
    """The layers to keep in higher precision, from a user's word for them.

    Args:
        network: The network.
        word: ``sensitive`` (:func:`default_kept`), ``none``, ``all``, or shell patterns with commas between.

    Raises:
        UsageError: A pattern matches none.
    """
    if word in ("none", "all"):
        return sites(network) if word == "all" else ()
    if word == "sensitive":
        return default_kept(network)
    return select_sites(network, [pattern.strip() for pattern in word.split(",")])


def quantize(network: MMN, kept: Collection[str]) -> MMN:
    """Put fake quantization around every layer of ``network`` but the ``kept`` ones, in place.

    Parameters stay the same objects, so that optimizers made before go on working. Ranges of layers that are quantized
    already are kept; those of others await :func:`calibrate` or ``load_state_dict``.

    Raises:
        UsageError: ``kept`` names something that is no site.
    """
    names = sites(network)
    if unknown := sorted(set(kept) - set(names)):
        raise UsageError(f"{unknown[0]!r} is no layer of this network: layers are named such as {', '.join(names[:3])}")
    for name in names:
        layer = network.get_submodule(name)
        if isinstance(layer, _Quantized) == (name not in kept):
            continue
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, _plain(layer) if name in kept else _quantized(layer))
    return network


def enable(network: nn.Module, names: Collection[str] | None = None) -> None:
    """Switch fake quantization on for the layers ``names``, all quantized ones where None, and off for the others.

    Raises:
        UsageError: One of ``names`` is not quantized.
        CheckpointError: A layer's range was never calibrated.
    """
    quantizers = _quantizers(network)
    wanted = set(quantizers) if names is None else set(names)
    if absent := sorted(wanted - set(quantizers)):
        raise UsageError(f"{absent[0]} is not quantized in this network")
    if missing := [name for name in wanted if not quantizers[name].amax > 0]:
        raise CheckpointError(
            f"the int8 range of {min(missing)} is not calibrated: call calibrate, or load a checkpoint"
        )
    for name, quantizer in quantizers.items():
        quantizer.enabled = name in wanted


def disable(network: nn.Module) -> None:
    """Switch all fake quantization off: the same weights in floating point."""
    enable(network, ())


def calibrate(network: nn.Module, batches: Iterable[Sequence[Tensor]], *, method: str = "mse") -> None:
    """Set the input ranges from what the floating-point network sees, then switch fake quantization on.

    The network runs in evaluation mode, and goes back to the mode that each of its modules had.

    Args:
        network: What :func:`quantize` returned.
        batches: Each begins with features ``(N, C_in, T, V, M)`` and a time index ``(N, T)``; labels may follow.
        method: One of :data:`METHODS`; ``"mse"`` runs the batches twice.

    Raises:
        UsageError: No batches, or an unknown method.
    """
    if method not in METHODS:
        raise UsageError(f"unknown calibration {method!r}: choose one of {', '.join(METHODS)}")
    quantizers = _quantizers(network)
    kept_batches = [(batch[0], batch[1]) for batch in batches]
    if not kept_batches:
        raise UsageError("calibration needs at least one batch of windows")
    training = {module: module.training for module in network.modules()}
    enabled = {quantizer: quantizer.enabled for quantizer in quantizers.values()}
    network.eval()
    try:
        for quantizer in quantizers.values():
            quantizer.enabled, quantizer.observer = False, _Observer()
        _run(network, kept_batches)
        if method == "mse":
            for quantizer in quantizers.values():
                if quantizer.observer is not None:
                    quantizer.observer.count_up_to_amax()
            _run(network, kept_batches)
        for quantizer in quantizers.values():
            if quantizer.observer is not None:
                quantizer.amax.fill_(max(quantizer.observer.range(), _SMALLEST))
    except BaseException:
        for quantizer, was in enabled.items():
            quantizer.enabled = was
        raise
    finally:
        for quantizer in quantizers.values():
            quantizer.observer = None
        for module, was in training.items():
            module.training = was
    enable(network)


def split_state(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Part a state dict into the plain network's and the ranges by site; the latter is empty if not quantized."""
    plain = {key: value for key, value in state.items() if not key.endswith(_SUFFIX)}
    ranges = {key.removesuffix(_SUFFIX): value for key, value in state.items() if key.endswith(_SUFFIX)}
    return plain, ranges


def range_key(site: str) -> str:
    """The key of a site's range in the state dict."""
    return site + _SUFFIX


class _Observer:
    """Watches the inputs of one layer: the largest magnitude, then a histogram of magnitudes."""

    BINS = 2048
    SAMPLES = 1 << 16
    CANDIDATES = 96

    def __init__(self) -> None:
        self.amax = 0.0
        self.counts: Tensor | None = None

    def see(self, x: Tensor) -> None:
        """Take note of one batch."""
        magnitude = x.detach().float().abs()
        if self.counts is None:
            self.amax = max(self.amax, float(magnitude.amax()))
        else:
            # An odd stride, so that the samples do not all lie in one channel or joint.
            stride = (magnitude.numel() // self.SAMPLES) | 1
            self.counts += torch.histc(magnitude.flatten()[::stride], self.BINS, 0.0, max(self.amax, _SMALLEST)).cpu()

    def count_up_to_amax(self) -> None:
        """From now on fill the histogram."""
        self.counts = torch.zeros(self.BINS)

    def range(self) -> float:
        """The range to use: of the candidates, the one with the smallest squared error of rounding and clipping."""
        if self.counts is None:
            return self.amax
        values = (torch.arange(self.BINS) + 0.5) * (self.amax / self.BINS)
        candidates = torch.linspace(0.25, 1.0, self.CANDIDATES).unsqueeze(1) * self.amax
        steps = (candidates / LEVELS).clamp_min(_SMALLEST)
        error = ((values / steps).round().clamp(max=LEVELS) * steps - values).square() @ self.counts
        return float(candidates[error.argmin()])


def _run(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    device = next(network.parameters()).device
    with torch.no_grad():
        for x, index_t in batches:
            network(x.to(device), index_t.to(device))


def _quantizers(network: nn.Module) -> dict[str, Quantizer]:
    return {name: module.quantizer for name, module in network.named_modules() if isinstance(module, _Quantized)}


def _quantized(layer: nn.Module) -> nn.Module:
    new = _like(layer, QuantizedConv2d, QuantizedLinear, QuantizedJointMixing)
    axis = None if isinstance(layer, JointMixing) else 0
    reference = next(layer.parameters(), None)
    new.quantizer = Quantizer(axis).to(reference.device if reference is not None else None)
    return new


def _plain(layer: nn.Module) -> nn.Module:
    return _like(layer, nn.Conv2d, nn.Linear, JointMixing)


def _like(
    layer: nn.Module, convolution: type[nn.Conv2d], linear: type[nn.Linear], mixing: type[JointMixing]
) -> nn.Module:
    """A layer of another class with the same options and the very same parameters."""
    new: nn.Module
    with torch.device("meta"):
        if isinstance(layer, nn.Conv2d):
            new = convolution(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                layer.dilation,  # type: ignore[arg-type]
                layer.groups,
                layer.bias is not None,
            )
        elif isinstance(layer, nn.Linear):
            new = linear(layer.in_features, layer.out_features, layer.bias is not None)
        else:
            assert isinstance(layer, JointMixing)
            new = mixing(layer.heads)
    for name, parameter in layer.named_parameters(recurse=False):
        setattr(new, name, parameter)
    return new.train(layer.training)
