"""Skeleton layouts: which joint is which, how they are connected, and which body part they belong to.

A layout is plain data, one JSON file each under ``data/layouts``. Some are what a model is trained on
(``ma52``, ``imigue``, ``nw-ucla``, ``jhmdb``), the others are what a pose estimator gives;
:mod:`mmn_edge.skeleton.mappings` leads from the latter to the former. Left and right in joint names are always the
person's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from mmn_edge.errors import LayoutError
from mmn_edge.skeleton.axes import IMAGE

__all__ = ["Layout", "get", "names"]


@dataclass(frozen=True)
class Layout:
    """The V joints of a skeleton.

    Attributes:
        name: The name it is asked for by, such as ``"ma52"``.
        title: What it is, in a few words.
        joints: Joint names, unique, in index order.
        bones: Pairs of joint indices ``(start, end)``. For ``ma52`` and ``imigue`` the pairs of MMN's bone
            stream in published order, where a later pair with the same start overwrites an earlier one.
        parts: Part name to joint indices; together they hold every joint exactly once. The part names of
            ``ma52`` are the published ones, which are image-side: "right hand" is the person's left one.
        pairs: Joints that change places in a mirror image.
        centre: The joint that clips are centred on; None where the layout has no such joint.
        channels: Native coordinates per joint: 2 for image coordinates, 3 for space.
        axes: Where these coordinates grow to, see :mod:`mmn_edge.skeleton.axes`.
        pose: A canonical pose to draw, ``(x, y)`` in 0..1 with y down, the person facing the viewer.
            Schematic: face and hands are enlarged.
        source: Where these facts come from.
        note: What a user should know, and what is not established; may be empty.
    """

    name: str
    title: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    parts: dict[str, tuple[int, ...]]
    pairs: tuple[tuple[int, int], ...]
    centre: int | None
    channels: int
    axes: tuple[str, ...]
    pose: tuple[tuple[float, float], ...]
    source: str
    note: str = ""

    @property
    def num_joints(self) -> int:
        """The number of joints V."""
        return len(self.joints)

    @property
    def order(self) -> tuple[int, ...]:
        """All joints by body part, a permutation of 0..V-1: the joint order that MMN is fed."""
        return tuple(joint for part in self.parts.values() for joint in part)

    def axes_of(self, channels: int) -> tuple[str, ...]:
        """Where the coordinates of keypoints with so many numbers a joint grow to: two are places in an image."""
        return self.axes if channels == len(self.axes) else IMAGE

    def index(self, joint: str) -> int:
        """The index of a joint by name.

        Raises:
            LayoutError: The layout has no joint of this name.
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            raise LayoutError(
                f"layout {self.name} has no joint {joint!r}: "
                f"'mmn-edge layouts show {self.name}' lists the joints that it has"
            ) from None


def names() -> tuple[str, ...]:
    """The layouts that come with mmn-edge."""
    folder = resources.files("mmn_edge") / "data" / "layouts"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".json")))


@lru_cache
def get(name: str) -> Layout:
    """A layout by name.

    Raises:
        LayoutError: There is no such layout.
    """
    if name not in names():
        raise LayoutError(f"unknown skeleton layout {name!r}: choose one of {', '.join(names())}")
    path = resources.files("mmn_edge") / "data" / "layouts" / f"{name}.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    return Layout(
        name=name,
        title=values["title"],
        joints=tuple(values["joints"]),
        bones=tuple((start, end) for start, end in values["bones"]),
        parts={part: tuple(joints) for part, joints in values["parts"].items()},
        pairs=tuple((one, other) for one, other in values["pairs"]),
        centre=values["centre"],
        channels=values["channels"],
        axes=tuple(values["axes"]),
        pose=tuple((x, y) for x, y in values["pose"]),
        source=values["source"],
        note=values["note"],
    )
