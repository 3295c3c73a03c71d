"""What is converted: MMN behind one of its two interfaces, as a torch module with tensors in and tensors out.

Each takes networks as they were trained, or in their deploy form; what they compute is the same. ``temperature``
divides the logits before the softmax (Guo et al., ICML 2017), or before the sigmoids of the task ``detect``; the
logits that come out are those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmn_edge.convert.deploy.deploy import DeployNetwork
from mmn_edge.model.task import CLASSIFY, DETECT
from mmn_edge.network import MMN
from mmn_edge.skeleton.preprocess import NORMALISE_EPS, Preprocessing, time_index, uniform_indices

__all__ = ["FeaturesGraph", "KeypointsGraph", "Stream", "StreamNetwork", "StreamsGraph", "window_index"]

Network = MMN | DeployNetwork


class FeaturesGraph(nn.Module):
    """The authors' own interface: preprocessed features and a time index."""

    input_names = ("features", "index_t")

    def __init__(self, network: Network, *, temperature: float = 1.0, task: str = CLASSIFY) -> None:
        super().__init__()
        self.task = task
        self.network = network
        self.temperature = temperature

    def forward(self, features: Tensor, index_t: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(N, C, T, V, M)`` and time index ``(N, T)`` to logits and probabilities ``(N, K)``."""
        if isinstance(self.network, DeployNetwork):
            features = features.permute(0, 2, 4, 3, 1).flatten(2, 3)
        return _outputs(self.network(features, index_t), self.temperature, self.task)


class KeypointsGraph(nn.Module):
    """Raw keypoints in, with :mod:`mmn_edge.skeleton.preprocess` inside the graph.

    The positional term is a constant: for a window of ``T`` resampled frames the time index is always the same.
    """

    input_names = ("keypoints",)

    def __init__(
        self, network: Network, preprocessing: Preprocessing, *, temperature: float = 1.0, task: str = CLASSIFY
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.task = task
        self.stream = Stream(preprocessing, network.arch.num_people)
        self.network = _of_window(network)

    def forward(self, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints ``(N, T, M * V, C)``, people-major, in layout order, to logits and probabilities ``(N, K)``."""
        return _outputs(self.network(self.stream(_normalised(keypoints))), self.temperature, self.task)


class StreamsGraph(nn.Module):
    """Raw keypoints in, several networks on streams of their own, and the weighted sum of their logits out.

    Args:
        members: Network, preprocessing and weight by stream; streams are prefixes of the nodes' names.
        temperature: Of the sum.
    """

    input_names = ("keypoints",)

    def __init__(
        self,
        members: Mapping[str, tuple[Network, Preprocessing, float]],
        *,
        temperature: float = 1.0,
        task: str = CLASSIFY,
    ) -> None:
        super().__init__()
        self.task = task
        self.temperature = temperature
        self.weights = [weight for _, _, weight in members.values()]
        for name, (network, preprocessing, _) in members.items():
            self.add_module(name, StreamNetwork(network, preprocessing))

    def forward(self, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """As :class:`KeypointsGraph`."""
        x = _normalised(keypoints)
        parts = [weight * member(x) for weight, member in zip(self.weights, self.children(), strict=True)]
        logits = parts[0]
        for part in parts[1:]:
            logits = logits + part
        return _outputs(logits, self.temperature, self.task)


def window_index(frames: int) -> Tensor:
    """The time index ``(T,)`` of a window of ``T`` resampled frames, which is always the same."""
    return torch.from_numpy(time_index(uniform_indices(frames, frames), frames))


class StreamNetwork(nn.Module):
    """One stream, of keypoints that are normalised already, and its network."""

    def __init__(self, network: Network, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.stream = Stream(preprocessing, network.arch.num_people)
        self.network = _of_window(network)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised keypoints ``(N, T, M * V, C)`` to logits ``(N, K)``."""
        logits: Tensor = self.network(self.stream(x))
        return logits


class Stream(nn.Module):
    """From normalised keypoints to a network's features."""

    order: Tensor
    bone_ends: Tensor

    def __init__(self, preprocessing: Preprocessing, people: int) -> None:
        super().__init__()
        self.bone = preprocessing.stream.startswith("bone")
        self.motion = preprocessing.stream.endswith("motion")
        ends = [preprocessing.bone_ends[joint] for joint in preprocessing.order]
        self.register_buffer("order", _per_person(preprocessing.order, people))
        self.register_buffer("bone_ends", _per_person(ends, people))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, M * V, C)`` to the same, joints in the network's order."""
        joints = x.index_select(2, self.order)
        if self.bone:
            joints = joints - x.index_select(2, self.bone_ends)
        if self.motion:
            joints = torch.cat([joints[:, 1:] - joints[:, :-1], torch.zeros_like(joints[:, :1])], dim=1)
        return joints


class _Published(nn.Module):
    """A network as it was trained, on ``(N, T, M * V, C)``, its positional term a constant."""

    positional: Tensor

    def __init__(self, network: MMN) -> None:
        super().__init__()
        self.network = network
        with torch.no_grad():
            index_t = window_index(network.arch.num_frames).to(network.head.weight.dtype)
            self.register_buffer("positional", network.positional(index_t.unsqueeze(0)))

    def forward(self, x: Tensor) -> Tensor:
        embedded = self.network.projection(x.permute(0, 3, 1, 2)) + self.positional
        return self.network.classify(self.network.fuse(embedded))


def _of_window(network: Network) -> nn.Module:
    return network if isinstance(network, DeployNetwork) else _Published(network)


def _normalised(keypoints: Tensor) -> Tensor:
    low = keypoints.amin((1, 2), keepdim=True)
    span = keypoints.amax((1, 2), keepdim=True) - low
    return 2.0 * (keypoints - low) / (span + NORMALISE_EPS) - 1.0


def _outputs(logits: Tensor, temperature: float, task: str) -> tuple[Tensor, Tensor]:
    scaled = logits if temperature == 1.0 else logits / temperature
    return logits, torch.sigmoid(scaled) if task == DETECT else torch.softmax(scaled, dim=-1)


def _per_person(indices: Sequence[int], people: int) -> Tensor:
    """Indices into V joints, repeated for each person of a people-major ``M * V`` axis."""
    joints = len(indices)
    return torch.tensor([person * joints + index for person in range(people) for index in indices])
