"""Proof that a conversion lost nothing: the exported graph against PyTorch, on windows of moving skeletons."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmn_edge import layouts, synthetic
from mmn_edge.architecture import Architecture
from mmn_edge.errors import VerificationError
from mmn_edge.extras import load_onnxruntime
from mmn_edge.preprocess import (
    Preprocessing,
    fill_missing,
    make_stream,
    normalise,
    time_index,
    uniform_indices,
)
from mmn_edge.skeleton import FloatArray

__all__ = ["TOLERANCE", "Verification", "as_features", "compare", "sample_windows", "window_of"]

TOLERANCE = 5e-4
"""Largest logit difference accepted between ONNX Runtime and PyTorch, float32."""


@dataclass(frozen=True)
class Verification:
    """What was compared and how far apart it was."""

    windows: int
    data: str
    max_logit_difference: float
    mean_logit_difference: float
    max_probability_difference: float
    top1_agreement: float
    tolerance: float = TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def compare(graph: nn.Module, model: Path, inputs: dict[str, FloatArray], *, data: str) -> Verification:
    """Run PyTorch and ONNX Runtime on the same inputs, one window at a time and all at once.

    Raises:
        VerificationError: They differ by more than :data:`TOLERANCE`, or a value is not finite.
    """
    count = len(next(iter(inputs.values())))
    with torch.inference_mode():
        expected = [out.numpy() for out in graph(*(torch.from_numpy(x) for x in inputs.values()))]
    session = load_onnxruntime().InferenceSession(str(model), providers=["CPUExecutionProvider"])
    batched = session.run(None, inputs)
    single = session.run(None, {name: x[:1] for name, x in inputs.items()})
    difference = np.abs(batched[0] - expected[0])
    worst = float(np.max([difference.max(), np.abs(single[0] - expected[0][:1]).max()]))  # NaN stays NaN
    result = Verification(
        windows=count,
        data=data,
        max_logit_difference=worst,
        mean_logit_difference=float(difference.mean()),
        max_probability_difference=float(np.abs(batched[1] - expected[1]).max()),
        top1_agreement=float((batched[0].argmax(1) == expected[0].argmax(1)).mean()),
    )
    if not worst <= TOLERANCE or not np.isfinite([*batched[1].ravel(), *single[1].ravel()]).all():
        raise VerificationError(
            f"the converted model differs from the checkpoint: logits by up to {worst:.2g} on {count} windows "
            f"({data}), and {TOLERANCE:g} is allowed; nothing was written"
        )
    return result


def sample_windows(arch: Architecture, *, count: int = 16) -> FloatArray:
    """Windows of a moving synthetic body as raw keypoints ``(count, T, M * V, C)``.

    The body has MA-52's joints. Another layout takes them in turn, which is enough to compare two implementations: what
    matters is that joints move as bodies do, a little, in pixels.
    """
    rng = np.random.default_rng(0)
    source = layouts.get("ma52")
    bones = source.bones
    picks = np.arange(arch.graph_joints) % source.num_joints
    windows = []
    for index in range(count):
        label = synthetic.CLASSES[index % len(synthetic.CLASSES)]
        keypoints, _ = synthetic.clip(label, rng)
        window = window_of(fill_missing(keypoints, bones), arch.num_frames)[:, picks]
        if arch.in_channels > 2:
            depth = np.stack([window[..., 0] * 0.1 + 2.0] * (arch.in_channels - 2), axis=-1)
            window = np.concatenate([window, depth], axis=-1)
        windows.append(window)
    return np.asarray(np.stack(windows), dtype=np.float32)


def window_of(keypoints: FloatArray, frames: int) -> FloatArray:
    """A whole clip ``(L, V, C)`` as one window ``(frames, V, C)``."""
    window: FloatArray = keypoints[uniform_indices(len(keypoints), frames)]
    return window


def as_features(keypoints: FloatArray, preprocessing: Preprocessing, people: int) -> dict[str, FloatArray]:
    """Keypoint windows ``(N, T, M * V, C)`` as the inputs of the features interface."""
    count, frames, _, channels = keypoints.shape
    x = normalise(keypoints).reshape(count, frames, people, -1, channels).transpose(0, 2, 1, 3, 4)
    x = make_stream(x, preprocessing)[..., list(preprocessing.order), :]
    index_t = time_index(uniform_indices(frames, frames), frames)
    return {
        "features": np.ascontiguousarray(x.transpose(0, 4, 2, 3, 1)),
        "index_t": np.tile(index_t, (count, 1)),
    }
