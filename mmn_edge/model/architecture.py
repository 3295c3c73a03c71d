"""What defines one MMN: its options, read from the shapes of a checkpoint where they can be.

Plain data, no torch: the manifest stores it, the trainer and the converter build the network from it.
Option names are those of the published class; see ``docs/guides/checkpoints.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from mmn_edge.errors import CheckpointError, UsageError

__all__ = ["NUM_SCALES", "Architecture", "key_problems", "parse_options"]

Shapes = Mapping[str, Sequence[int]]

NUM_SCALES = 4
"""Temporal scales; the fusion module is written for four."""


@dataclass(frozen=True)
class Architecture:
    """The options of one MMN (ACM MM 2025, arXiv 2507.21977, section 3).

    Attributes:
        num_classes: K, outputs of the head.
        num_joints: V, joints of one person.
        num_people: M; the network sees ``M * V`` joints, people-major.
        in_channels: C_in, coordinates per joint: 2 or 3.
        num_frames: T; divisible by 8, at least 16: motion at T/8 is a difference of frames.
        width: C, channels at every scale.
        depth: Blocks at each of the four scales.
        num_heads: Head groups of the skeleton and temporal branches.
        mlp_width: Hidden channels of the blocks' MLPs.
        index_t: True for the sinusoidal time code, False for the learned tensor ``STPE_``.
        global_pool: ``"avg"`` or ``"max"`` over frames and joints before the head.
    """

    num_classes: int
    num_joints: int
    num_people: int = 1
    in_channels: int = 2
    num_frames: int = 64
    width: int = 96
    depth: int = 3
    num_heads: int = 4
    mlp_width: int = 192
    index_t: bool = True
    global_pool: str = "avg"

    def __post_init__(self) -> None:
        for name in (
            "num_classes",
            "num_joints",
            "num_people",
            "in_channels",
            "num_frames",
            "width",
            "depth",
            "num_heads",
            "mlp_width",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"model option {name}={getattr(self, name)} must be at least 1")
        if self.global_pool not in ("avg", "max"):
            raise UsageError(f"model option global_pool={self.global_pool!r} must be 'avg' or 'max'")
        if self.num_frames % 8 or self.num_frames < 16:
            raise UsageError(
                f"model option num_frames={self.num_frames} must be divisible by 8 (four scales) and at least 16"
            )
        if self.width % (4 * self.num_heads):
            raise UsageError(
                f"model option width={self.width} must be divisible by 4 x num_heads ({4 * self.num_heads})"
            )

    @property
    def graph_joints(self) -> int:
        """Joints as the network sees them: people x joints."""
        return self.num_people * self.num_joints

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """The inverse of :meth:`to_dict`; raises TypeError for unknown or missing names."""
        return cls(**values)

    @classmethod
    def from_shapes(cls, shapes: Shapes, options: Mapping[str, Any] | None = None) -> Architecture:
        """Infer the architecture of a state dict from its key -> shape list.

        Args:
            shapes: Key -> shape, without any ``module.`` prefix.
            options: What shapes cannot tell (``num_people``, ``global_pool``), or what should agree with them.

        Raises:
            CheckpointError: The keys are not those of an MMN.
            UsageError: An option contradicts the shapes.
        """
        options = dict(options or {})
        inferred: dict[str, Any] = {}

        def dim(key: str, axis: int) -> int:
            shape = shapes.get(key)
            if shape is None or len(shape) <= axis:
                raise CheckpointError(
                    f"this is not an MMN checkpoint: {key} is "
                    + ("missing" if shape is None else f"of shape {tuple(shape)}")
                    + f" (it holds {len(shapes)} tensors"
                    + (f", such as {next(iter(shapes))})" if shapes else ")")
                )
            return shape[axis]

        graph_joints = dim("MFM.0.blocks.0.gconv", 1)
        people = options.get("num_people", 1)
        if not isinstance(people, int) or people < 1 or graph_joints % people:
            raise UsageError(f"model option num_people={people} does not divide the checkpoint's {graph_joints} joints")
        inferred["num_people"] = people
        inferred["num_joints"] = graph_joints // people
        inferred["num_classes"] = dim("head.weight", 0)
        inferred["in_channels"] = dim("projection.0.weight", 1)
        inferred["width"] = dim("projection.4.weight", 0)
        inferred["num_heads"] = dim("MFM.0.blocks.0.gconv", 0)
        inferred["mlp_width"] = dim("MFM.0.blocks.0.mlp.fc1.weight", 0)
        blocks = [int(m[1]) for key in shapes if (m := re.match(r"MFM\.0\.blocks\.(\d+)\.gconv$", key))]
        inferred["depth"] = max(blocks) + 1
        inferred["index_t"] = "STPE_" not in shapes
        if not inferred["index_t"]:
            inferred["num_frames"] = dim("STPE_", 2)
        for name, value in options.items():
            if name in inferred and inferred[name] != value:
                raise UsageError(
                    f"model option {name}={value} contradicts the checkpoint, whose shapes say {name}={inferred[name]}"
                )
        return cls(**{**options, **inferred})


def key_problems(shapes: Shapes, expected: Shapes) -> list[str]:
    """What is wrong with a state dict, one line a key: missing, extra, of another shape."""
    return [
        *(f"missing {key} {tuple(shape)}" for key, shape in expected.items() if key not in shapes),
        *(f"extra {key} {tuple(shape)}" for key, shape in shapes.items() if key not in expected),
        *(
            f"{key} is {tuple(shapes[key])}, expected {tuple(shape)}"
            for key, shape in expected.items()
            if key in shapes and tuple(shapes[key]) != tuple(shape)
        ),
    ]


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``name=value`` pairs of the command line into typed architecture options.

    Raises:
        UsageError: A pair without ``=``, an unknown name, or a value of the wrong type.
    """
    types = {field.name: str(field.type) for field in fields(Architecture)}
    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or name not in types:
            raise UsageError(
                f"model option {pair!r} is not of the form name=value with a known name: {', '.join(types)}"
            )
        options[name] = _parse_value(name, text, types[name])
    return options


def _parse_value(name: str, text: str, kind: str) -> Any:
    if kind == "bool":
        if text.lower() in ("true", "1", "yes"):
            return True
        if text.lower() in ("false", "0", "no"):
            return False
        raise UsageError(f"model option {name}={text} must be true or false")
    if kind == "int":
        try:
            return int(text)
        except ValueError:
            raise UsageError(f"model option {name}={text} must be a whole number") from None
    return text
