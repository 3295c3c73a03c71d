"""What a bundle's manifest says of a model's inputs and outputs."""

from __future__ import annotations

from mmn_edge.bundle.manifest import TensorSpec
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.task import DETECT

__all__ = ["input_specs", "output_specs"]


def input_specs(kind: str, arch: Architecture) -> tuple[TensorSpec, ...]:
    """Of one of the two interfaces, ``keypoints`` or ``features``."""
    if kind == "keypoints":
        meaning = (
            "raw coordinates of one window in the data set's joint order (people-major where there are several), in "
            "any unit: they are normalised inside; finite, missing joints filled in"
        )
        shape = ("N", arch.num_frames, arch.graph_joints, arch.in_channels)
        return (TensorSpec("keypoints", "float32", shape, meaning),)
    features = ("N", arch.in_channels, arch.num_frames, arch.num_joints, arch.num_people)
    return (
        TensorSpec("features", "float32", features, "preprocessed window, see preprocessing"),
        TensorSpec("index_t", "float32", ("N", arch.num_frames), "2 x frame index / clip length - 1"),
    )


def output_specs(classes: int, temperature: float, task: str) -> tuple[TensorSpec, ...]:
    """Logits and probabilities of a number of classes."""
    return (
        TensorSpec("logits", "float32", ("N", classes), "one a class, in the order of labels"),
        TensorSpec(
            "probabilities",
            "float32",
            ("N", classes),
            ("sigmoid of each logit" if task == DETECT else "softmax of the logits")
            + (f" / {temperature:g}" if temperature != 1 else ""),
        ),
    )
