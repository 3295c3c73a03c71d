"""What a model can name: classes, and the body-level groups they fall into."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from mmn_edge.errors import BundleError, UsageError

__all__ = ["Labels", "get", "names"]


@dataclass(frozen=True)
class Labels:
    """The K classes of a model in the order of its logits.

    Attributes:
        classes: Class names.
        groups: Names of the body-level groups; empty where a set has none.
        class_groups: For every class the index of its group; empty where a set has none.
    """

    classes: tuple[str, ...]
    groups: tuple[str, ...] = ()
    class_groups: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.classes)

    def group_of(self, label: int) -> str | None:
        """The name of the group that class ``label`` belongs to."""
        return self.groups[self.class_groups[label]] if self.groups else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, one entry a class."""
        entries: list[dict[str, Any]] = []
        for index, name in enumerate(self.classes):
            entries.append({"name": name, "group": self.class_groups[index] if self.groups else None})
        return {"groups": list(self.groups), "classes": entries}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Labels:
        """The inverse of :meth:`to_dict`.

        Raises:
            BundleError: A class points to a group that is not there.
        """
        groups = tuple(values["groups"])
        entries = values["classes"]
        class_groups = tuple(entry["group"] for entry in entries) if groups else ()
        if any(not isinstance(g, int) or not 0 <= g < len(groups) for g in class_groups):
            raise BundleError("the class list is broken: a class points to a group that does not exist")
        return cls(tuple(entry["name"] for entry in entries), groups, class_groups)

    @classmethod
    def numbered(cls, count: int) -> Labels:
        """``class 0`` .. ``class K-1``, for a checkpoint whose classes nobody named."""
        return cls(tuple(f"class {index}" for index in range(count)))


def names() -> tuple[str, ...]:
    """The label sets that come with mmn-edge."""
    folder = resources.files("mmn_edge") / "data" / "labels"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".json")))


@lru_cache
def get(name: str) -> Labels:
    """A label set by name.

    Raises:
        UsageError: There is no such set.
    """
    if name not in names():
        raise UsageError(f"unknown label set {name!r}: choose one of {', '.join(names())}")
    path = resources.files("mmn_edge") / "data" / "labels" / f"{name}.json"
    return Labels.from_dict(json.loads(path.read_text(encoding="utf-8")))
