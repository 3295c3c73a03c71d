"""What is exported: MMN behind one of its two interfaces, as a torch module with tensors in and tensors out.

``temperature`` divides the logits before the softmax (Guo et al., ICML 2017), and the logits that come out are those
before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmn_edge.network import MMN
from mmn_edge.preprocess import NORMALISE_EPS, Preprocessing, time_index, uniform_indices

__all__ = ["FeaturesGraph", "KeypointsGraph"]


class FeaturesGraph(nn.Module):
    """The authors' own interface: preprocessed features and a time index."""

    input_names = ("features", "index_t")

    def __init__(self, network: MMN, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, features: Tensor, index_t: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(N, C, T, V, M)`` and time index ``(N, T)`` to logits and probabilities ``(N, K)``."""
        return _outputs(self.network, self.network.embed(features, index_t), self.temperature)


class KeypointsGraph(nn.Module):
    """Raw keypoints in, with :mod:`mmn_edge.preprocess` inside the graph.

    The positional term is a constant: for a window of ``T`` resampled frames the time index is always the same.
    """

    input_names = ("keypoints",)

    def __init__(self, network: MMN, preprocessing: Preprocessing, *, temperature: float = 1.0) -> None:
        super().__init__()
        arch = network.arch
        self.network = network
        self.temperature = temperature
        self.bone = preprocessing.stream.startswith("bone")
        self.motion = preprocessing.stream.endswith("motion")
        self.order: Tensor
        self.bone_ends: Tensor
        self.positional: Tensor
        self.register_buffer("order", _per_person(preprocessing.order, arch.num_people))
        self.register_buffer("bone_ends", _per_person(preprocessing.bone_ends, arch.num_people))
        frames = arch.num_frames
        index_t = torch.from_numpy(time_index(uniform_indices(frames, frames), frames))
        with torch.no_grad():
            self.register_buffer("positional", network.positional(index_t.unsqueeze(0)))

    def forward(self, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints ``(N, T, M * V, C)``, people-major, in layout order, to logits and probabilities ``(N, K)``."""
        low = keypoints.amin((1, 2), keepdim=True)
        span = keypoints.amax((1, 2), keepdim=True) - low
        x = 2.0 * (keypoints - low) / (span + NORMALISE_EPS) - 1.0
        if self.bone:
            x = x - x.index_select(2, self.bone_ends)
        if self.motion:
            x = torch.cat([x[:, 1:] - x[:, :-1], torch.zeros_like(x[:, :1])], dim=1)
        x = x.index_select(2, self.order).permute(0, 3, 1, 2)
        return _outputs(self.network, self.network.projection(x) + self.positional, self.temperature)


def _outputs(network: MMN, embedded: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logits = network.classify(network.fuse(embedded))
    scaled = logits if temperature == 1.0 else logits / temperature
    return logits, torch.softmax(scaled, dim=-1)


def _per_person(indices: Sequence[int], people: int) -> Tensor:
    """Indices into V joints, repeated for each person of a people-major ``M * V`` axis."""
    joints = len(indices)
    return torch.tensor([person * joints + index for person in range(people) for index in indices])
