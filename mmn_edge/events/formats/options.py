"""What readers and writers of files of annotations are told beyond the file."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mmn_edge.events.interval import Interval
from mmn_edge.events.naming import match_names
from mmn_edge.model.labels import Labels

__all__ = ["Reading", "Writing", "milliseconds", "tier_label", "tier_name"]


@dataclass(frozen=True)
class Reading:
    """How to read.

    Attributes:
        labels: The classes that may occur; None where nobody said.
        tiers: Patterns of the names of tiers to read, such as ``*gestures``; all where empty.
    """

    labels: Labels | None = None
    tiers: tuple[str, ...] = ()

    def wants(self, tier: str) -> bool:
        """Whether a tier is to be read."""
        return not self.tiers or any(fnmatchcase(tier, pattern) for pattern in self.tiers)


@dataclass(frozen=True)
class Writing:
    """How to write.

    Attributes:
        labels: The classes, where a format holds their numbers.
        media: The video that the file is to be opened with.
    """

    labels: Labels | None = None
    media: Path | None = None


def milliseconds(entry: Interval) -> tuple[int, int]:
    """An interval in whole milliseconds, at least one long."""
    start = round(entry.start * 1000)
    return start, max(round(entry.end * 1000), start + 1)


def tier_name(person: str, label: str) -> str:
    """The tier of one person's events of one class."""
    return f"{person}/{label}" if person else label


def tier_label(tier: str, value: str, options: Reading) -> tuple[str, str]:
    """The label and the person of an annotation, from its tier's name and its value.

    The value is the label. Where it is empty, or is none of the known classes and the tier's name is one, the tier's
    name is, after the person and a slash.
    """
    person, slash, rest = tier.partition("/")
    person, name = (person.strip(), rest.strip()) if slash else ("", tier)
    if not value:
        return name, person
    if options.labels is not None:
        known = match_names((value, name), options.labels.classes, origin=tier)
        if value not in known and name in known:
            return name, person
    return value, person
