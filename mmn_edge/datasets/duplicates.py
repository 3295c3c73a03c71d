"""Clips that are the same motion twice: identical ones, and ones cut from one recording that share frames."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from mmn_edge.datasets.facts import ClipFacts
from mmn_edge.datasets.findings import Finding, counted
from mmn_edge.system.words import some

__all__ = ["held_out_from", "leaks", "leaks_between", "pairs", "recordings_on_both_sides", "shared_recordings", "twins"]

OVERLAP = 0.2
"""Share of its frames that a clip must have in common with another one to be cut from the same stretch."""

OVERLAP_FRAMES = 3

COMMON = 50
"""Clips that may share a frame for it to tell which were cut from one recording; of more it is a pose of rest."""


def held_out_from(one: str, other: str) -> bool:
    """Whether clips of one split must not be in the other: ``xsub_train`` and ``xsub_val``, not ``xview_val``."""
    if one == f"{other}_train" or other == f"{one}_train":  # a fold, and all others
        return True
    role = re.compile(r"train(ing)?|val(id(ation)?)?|test(ing)?|eval(uation)?", re.IGNORECASE)
    first, second = role.search(one), role.search(other)
    if first is None or second is None or role.sub("", one, count=1) != role.sub("", other, count=1):
        return False
    return first[0].lower().startswith("train") != second[0].lower().startswith("train")


def pairs(splits: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of splits that must not share a clip."""
    names = list(dict.fromkeys(splits))
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if held_out_from(a, b)]


def _members(facts: Sequence[ClipFacts]) -> dict[str, list[ClipFacts]]:
    members: dict[str, list[ClipFacts]] = defaultdict(list)
    for fact in facts:
        for split in fact.entry.splits:
            members[split].append(fact)
    return members


def recordings_on_both_sides(facts: Sequence[ClipFacts]) -> list[Finding]:
    """:func:`shared_recordings` of all splits that must not share a clip."""
    members = _members(facts)
    return [
        finding
        for one, other in pairs(list(members))
        for finding in shared_recordings(members[one], members[other], one, other)
    ]


def leaks(facts: Sequence[ClipFacts]) -> list[Finding]:
    """What is trained on and held out under two names, in all splits that must not share a clip."""
    members = _members(facts)
    return [
        finding
        for one, other in pairs(list(members))
        for finding in leaks_between(members[one], members[other], one, other)
    ]


def leaks_between(training: Sequence[ClipFacts], held_out: Sequence[ClipFacts], one: str, other: str) -> list[Finding]:
    """Clips of two splits under different names that are identical, or share frames number for number.

    Args:
        training: Clips of the first split.
        held_out: Clips of the second.
        one: The first split's name.
        other: The second's.
    """
    ending = "what is trained on is not held out"
    digests = {fact.digest: fact.entry.name for fact in training}
    places: dict[int, list[int]] = defaultdict(list)
    for index, fact in enumerate(training):
        for frame in fact.frames:
            places[frame].append(index)
    identical, overlapping = [], []
    for fact in held_out:
        name = fact.entry.name
        twin = digests.get(fact.digest)
        if twin is not None:
            if twin != name:
                identical.append((twin, name))
            continue
        shared = Counter(index for frame in fact.frames for index in _telling(places.get(frame, [])))
        for index, count in shared.most_common(1):
            cut = training[index]
            least = min(len(fact.frames), len(cut.frames))
            if cut.entry.name != name and count >= max(OVERLAP_FRAMES, OVERLAP * least):
                overlapping.append((cut.entry.name, name, count))
    found = []
    if identical:
        a, b = identical[0]
        found.append(
            Finding(
                f"clips {a} of split {one} and {b} of split {other} are identical: {ending}"
                if len(identical) == 1
                else f"{len(identical)} clips of split {other} are identical to clips of split {one}, such as {b} and "
                f"{a}: {ending}",
                tuple(name for _, name in identical),
            )
        )
    if overlapping:
        a, b, count = overlapping[0]
        number = (
            f"{len(overlapping)} clips of split {other} share"
            if len(overlapping) > 1
            else f"1 clip of split {other} shares"
        )
        found.append(
            Finding(
                f"{number} frames with clips of split {one}, such as {b} and {a} ({count} frames): cut from one "
                f"recording, so that {ending}",
                tuple(name for _, name, _ in overlapping),
            )
        )
    return found


def shared_recordings(
    training: Sequence[ClipFacts], held_out: Sequence[ClipFacts], one: str, other: str
) -> list[Finding]:
    """Clips of recordings that both splits have clips of, where the data set names recordings."""
    recordings = {fact.entry.groups["recording"] for fact in training if "recording" in fact.entry.groups}
    clips = [fact.entry for fact in held_out if fact.entry.groups.get("recording") in recordings]
    if not clips:
        return []
    text = f"of split {other} cut from recordings that split {one} has clips of, which flatters the accuracy"
    return counted([entry.name for entry in clips], text, f" (recording {clips[0].groups['recording']})")


def _telling(indices: list[int]) -> list[int]:
    return indices if len(indices) <= COMMON else []


def twins(facts: Sequence[ClipFacts]) -> list[Finding]:
    """Identical clips within what is trained on, or within what is held out."""
    alike: dict[bytes, list[ClipFacts]] = defaultdict(list)
    for fact in facts:
        alike[fact.digest].append(fact)
    groups = [
        group
        for group in alike.values()
        if len(group) > 1 and not pairs([split for fact in group for split in fact.entry.splits])
    ]
    contrary = [group for group in groups if len({fact.label for fact in group}) > 1]
    found = []
    for chosen, ending in (
        ([group for group in groups if group not in contrary], "are identical"),
        (contrary, "are identical and have different labels"),
    ):
        if not chosen:
            continue
        names = _names(chosen[0])
        if chosen is contrary:
            ending += f" ({', '.join(map(str, sorted({fact.label for fact in chosen[0]})))})"
        clips = tuple(fact.entry.name for group in chosen for fact in group)
        text = f"clips {some(names)} {ending}"
        if len(chosen) > 1:
            text = f"{len(clips)} clips come more than once, in {len(chosen)} groups; the first: {text}"
        found.append(Finding(text, clips))
    return found


def _names(group: Iterable[ClipFacts]) -> list[str]:
    return [fact.entry.name for fact in group]
