"""Names of classes as people write them: exactly, or else without regard to case, spaces and punctuation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from mmn_edge.errors import DataError
from mmn_edge.events.interval import AnnotationSet, group_label
from mmn_edge.model import labels as label_sets
from mmn_edge.model.labels import Labels
from mmn_edge.system.words import some

__all__ = ["find_labels", "fit_labels", "match_names", "renamed"]


def match_names(names: Iterable[str], known: Iterable[str], *, origin: object) -> dict[str, str]:
    """For each name that can be told the one among ``known`` that it means.

    Args:
        names: Names of classes.
        known: Names to find them among.
        origin: How errors call where ``names`` come from.

    Raises:
        DataError: Two names mean one class.
    """
    exact = set(known)
    loose: dict[str, set[str]] = {}
    for name in exact:
        loose.setdefault(_plain(name), set()).add(name)
    found: dict[str, str] = {}
    owner: dict[str, str] = {}
    for name in names:
        candidates = {name} if name in exact else loose.get(_plain(name), set())
        if len(candidates) != 1:
            continue
        (target,) = candidates
        if target in owner and owner[target] != name:
            raise DataError(
                f"{origin}: the labels {owner[target]!r} and {name!r} both mean {target!r}: use one of them"
            )
        owner[target] = name
        found[name] = target
    return found


def renamed(annotations: AnnotationSet, names: Mapping[str, str]) -> AnnotationSet:
    """The same intervals with other labels."""
    if all(old == new for old, new in names.items()):
        return annotations
    intervals = tuple(replace(i, label=names.get(i.label, i.label)) for i in annotations.intervals)
    return replace(annotations, intervals=intervals)


def fit_labels(annotations: AnnotationSet, labels: Labels, *, origin: object) -> AnnotationSet:
    """Call the classes as a label set does.

    Raises:
        DataError: Labels that the set does not hold.
    """
    known = [*labels.classes, *map(group_label, labels.groups)]
    used = dict.fromkeys(interval.label for interval in annotations.intervals)
    found = match_names(used, known, origin=origin)
    unknown = [name for name in used if name not in found]
    if unknown:
        first = next(interval for interval in annotations.intervals if interval.label == unknown[0])
        more = f" and {len(unknown) - 1} other labels" if len(unknown) > 1 else ""
        raise DataError(
            f"{origin}: {unknown[0]!r} (recording {first.recording}, {first.start:g} s){more} is not in the label set, "
            f"whose classes are {some(labels.classes, 5)}"
        )
    return renamed(annotations, found)


def find_labels(names: Iterable[str]) -> Labels | None:
    """A label set that comes with mmn-edge and holds all of these classes, exactly; None where none does.

    Of several the one with the most groups.
    """
    wanted = set(names)
    fitting = [found for name in label_sets.names() if wanted <= set((found := label_sets.get(name)).classes)]
    return max(fitting, key=lambda found: len(found.groups), default=None) if wanted else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())
