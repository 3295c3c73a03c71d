"""The one preprocessing: from raw keypoints to what MMN is fed, in NumPy.

Training, evaluation and the runtime all call this module, and the ONNX graph repeats it operator by operator
(tests hold them equal). The steps are those of the published data pipeline: min-max normalisation of the whole clip,
64 frames, the stream (joint, bone, or their motion), joints reordered by body part.

Arrays are ``(T, V, C)``: frames, joints, coordinates, with any number of leading axes where a function says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.errors import DataError, UsageError
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.layouts import Layout

__all__ = [
    "STREAMS",
    "Preprocessing",
    "features",
    "make_stream",
    "normalise",
    "random_indices",
    "resample_indices",
    "time_index",
    "uniform_indices",
]

STREAMS = ("joint", "bone", "joint-motion", "bone-motion")
NORMALISE_EPS = 1e-6

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Preprocessing:
    """What turns raw keypoints into the network's input; stored in every bundle.

    Attributes:
        stream: One of :data:`STREAMS`.
        order: The joint order of the network, by body part: feature joint ``i`` is keypoint ``order[i]``.
        bones: Pairs ``(start, end)``; a bone is ``x[start] - x[end]``, stored at ``start``.
    """

    stream: str
    order: tuple[int, ...]
    bones: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if self.stream not in STREAMS:
            raise UsageError(f"unknown stream {self.stream!r}: choose one of {', '.join(STREAMS)}")

    @classmethod
    def for_layout(cls, layout: Layout, stream: str) -> Preprocessing:
        """The preprocessing of a model trained on ``layout``."""
        return cls(stream=stream, order=tuple(layout.order), bones=tuple(layout.bones))

    @property
    def bone_ends(self) -> tuple[int, ...]:
        """For every joint the end of its bone, or the joint itself where it starts none.

        Of several pairs with the same start the last one counts, as in the published pipeline.
        """
        ends = list(range(len(self.order)))
        for start, end in self.bones:
            ends[start] = end
        return tuple(ends)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """The inverse of :meth:`to_dict`, also after a trip through JSON."""
        return cls(
            stream=values["stream"],
            order=tuple(values["order"]),
            bones=tuple((start, end) for start, end in values["bones"]),
        )


def normalise(keypoints: FloatArray) -> FloatArray:
    """Min-max each coordinate over all frames and joints of ``(..., T, V, C)`` to [-1, 1].

    The published pipeline first subtracts a centre joint; this step cancels that.
    """
    low = keypoints.min(axis=(-3, -2), keepdims=True)
    span = keypoints.max(axis=(-3, -2), keepdims=True) - low
    scaled: FloatArray = (2.0 * (keypoints - low) / (span + NORMALISE_EPS) - 1.0).astype(np.float32)
    return scaled


def uniform_indices(length: int, frames: int) -> IntArray:
    """``frames`` indices spread over a clip of ``length`` frames, truncated as the published pipeline does."""
    return np.linspace(0, length - 1, frames).astype(np.int64)


def random_indices(length: int, frames: int, rng: np.random.Generator) -> IntArray:
    """``frames`` sorted random indices; each frame can come up to ``frames`` times, so short clips repeat some."""
    picked = rng.choice(length * frames, size=frames, replace=False) // frames
    return np.sort(picked).astype(np.int64)


def time_index(indices: IntArray, length: int) -> FloatArray:
    """The time index in [-1, 1) of frame ``indices`` of a clip of ``length`` frames."""
    return 2.0 * indices.astype(np.float32) / np.float32(length) - np.float32(1.0)


def make_stream(joints: FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Turn normalised joints ``(..., T, V, C)``, in layout order, into the stream of a model, same shape."""
    x = joints
    if preprocessing.stream.startswith("bone"):
        x = x - x[..., list(preprocessing.bone_ends), :]
    if preprocessing.stream.endswith("motion"):
        motion = np.zeros_like(x)
        motion[..., :-1, :, :] = x[..., 1:, :, :] - x[..., :-1, :, :]
        x = motion
    return x


def features(
    keypoints: FloatArray,
    preprocessing: Preprocessing,
    *,
    frames: int = 64,
    indices: IntArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Preprocess a clip as the published pipeline does.

    Args:
        keypoints: Raw coordinates ``(L, V, C)``, finite, joints in layout order.
        preprocessing: Stream, bones and joint order.
        frames: T, frames of the network's window.
        indices: The frames to take; uniform over the clip where None.

    Returns:
        Features ``(C, T, V, 1)`` and the time index ``(T,)``, both float32.

    Raises:
        DataError: The clip is empty, of another joint count, or not finite.
    """
    length, joints = keypoints.shape[0], keypoints.shape[1]
    if length == 0 or joints != len(preprocessing.order):
        raise DataError(
            f"a clip of {length} frames and {joints} joints does not fit a model of {len(preprocessing.order)} joints"
        )
    if not np.isfinite(keypoints).all():
        raise DataError("a clip holds NaN or infinite keypoints: fill in the joints that were not seen first")
    if indices is None:
        indices = uniform_indices(length, frames)
    x = make_stream(normalise(keypoints)[indices], preprocessing)
    x = x[:, list(preprocessing.order), :]
    return np.ascontiguousarray(x.transpose(2, 0, 1)[..., None]), time_index(indices, length)


def resample_indices(times: npt.NDArray[np.float64], frames: int) -> IntArray:
    """Pick ``frames`` frames of a live window by time stamp: at each instant the newest frame so far.

    The instants are spread evenly from the window's first frame to its last. For a stream of constant rate that is
    :func:`uniform_indices`, so a live window is treated as the clip it would have been in a data set.

    Args:
        times: Time stamps ``(L,)`` in seconds, not falling, of the frames in the window.
        frames: T.
    """
    instants = np.linspace(times[0], times[-1], frames)
    # Slack, because time stamps that passed through decimal text must not fall one frame back.
    picked = np.searchsorted(times, instants + 1e-6, side="right") - 1
    return np.asarray(picked.clip(0, len(times) - 1), dtype=np.int64)
