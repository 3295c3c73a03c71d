"""What a data set holds and what is wrong with it, all of it: broken clips do not stop the check."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmn_edge.datasets.clip import Clip, ClipEntry, ClipSource, is_trained_on
from mmn_edge.datasets.duplicates import leaks, pairs, recordings_on_both_sides, twins
from mmn_edge.datasets.facts import ClipFacts, facts_of, guess_layouts, guess_units
from mmn_edge.datasets.findings import Finding, counted, grouped
from mmn_edge.datasets.values import frame_findings, identity_findings, placeholder_labels, value_findings
from mmn_edge.errors import DataError
from mmn_edge.skeleton import layouts
from mmn_edge.system.words import some

__all__ = ["ClassCount", "Lengths", "Report", "check", "findings", "read_entries"]

IMBALANCE = 10.0


@dataclass(frozen=True)
class Lengths:
    """Frames a clip, over a data set.

    Attributes:
        least: Of the shortest clip.
        median: Of all.
        greatest: Of the longest clip.
        single: How many clips have one frame.
    """

    least: int
    median: float
    greatest: int
    single: int


@dataclass(frozen=True)
class ClassCount:
    """One class and how many clips it has, in all and by split."""

    index: int
    name: str
    clips: int
    splits: dict[str, int]


@dataclass(frozen=True)
class Report:
    """The result of :func:`check`.

    Attributes:
        path: The data set.
        kind: Its format in words.
        splits: For every split how many readable clips it has.
        clips: Readable clips.
        broken: Clips that cannot be read; each is one of the problems.
        joints: V; None where no clip is readable, as with the next ones.
        coordinates: C.
        layout: The layout that the data set names.
        layout_guess: Known layouts with as many joints and coordinates, where it names none.
        units: A guess by the range of the values.
        lengths: Frames a clip.
        classes: Every class that is named or occurs.
        imbalance: Clips of the largest class for each clip of the smallest that has any.
        missing: Share of joints not seen, over all frames and joints.
        missing_joints: The same for each joint, by name where the layout is known or guessed.
        problems: What keeps clips from being used, or makes an accuracy false.
        warnings: What should be known.
        facts: The readable clips; not in :meth:`to_dict`.
    """

    path: str
    kind: str
    splits: dict[str, int]
    clips: int
    broken: int
    joints: int | None
    coordinates: int | None
    layout: str | None
    layout_guess: tuple[str, ...]
    units: str | None
    lengths: Lengths | None
    classes: tuple[ClassCount, ...]
    imbalance: float | None
    missing: float | None
    missing_joints: dict[str, float]
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    facts: tuple[ClipFacts, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values; ``clips_of`` has for every finding all clips that it is about."""
        values = {key: getattr(self, key) for key in self.__dataclass_fields__ if key != "facts"}
        values["lengths"] = asdict(self.lengths) if self.lengths else None
        values["classes"] = [asdict(entry) for entry in self.classes]
        values["clips_of"] = {found: list(found.clips) for found in self.problems + self.warnings if found.clips}
        return values


def check(
    source: ClipSource, split: str | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Read every clip and describe the data set.

    Args:
        source: The data set.
        split: Only this split; where None all of them, and clips in none.
        progress: Called after every clip with how many are done and how many there are.

    Raises:
        DataError: There is no such split. What is wrong with clips is in the report.
    """
    entries = source.of_split(split)
    names = [split] if split is not None else list(source.splits)
    facts, broken = read_entries(entries, progress)
    problems = [*grouped((name, str(error)) for name, error in broken)]
    if not entries:
        problems.append(Finding(f"{source.path} holds no clips" + (f" in split {split}" if split else "")))
    problems += grouped(
        (clip, f"split {name} names clip {clip}, which is not there") for name in names for clip in source.absent(name)
    )
    problems += [*grouped(_mixtures(facts)), *grouped(_names_and_splits(entries)), *leaks(facts)]
    classes = _classes(source.class_names, facts, names)
    warnings = [*frame_findings(facts), *identity_findings(facts)]
    shape = Counter(fact.shape[1:] for fact in facts).most_common(1)[0][0] if facts else None
    common = [fact for fact in facts if fact.shape[1:] == shape]
    named = sorted({fact.layout for fact in common if fact.layout})
    layout = named[0] if len(named) == 1 else None
    guess = guess_layouts(*shape) if shape and not named else ()
    missing = _missing(common, layout or (guess[0] if len(guess) == 1 else None))
    warnings += value_findings(common, missing)
    for name in names:
        if not is_trained_on(name):
            warnings += placeholder_labels([fact for fact in facts if name in fact.entry.splits], name)
    warnings += recordings_on_both_sides(facts)
    warnings += _unlisted(source) if split is None else []
    warnings += [*map(Finding, source.notes), *_class_warnings(classes, names), *twins(facts)]
    counts = [entry.clips for entry in classes if entry.clips]
    frames = [fact.shape[0] for fact in facts]
    return Report(
        path=str(source.path),
        kind=source.kind,
        splits={name: sum(name in fact.entry.splits for fact in facts) for name in names},
        clips=len(facts),
        broken=len(broken),
        joints=shape[0] if shape else None,
        coordinates=shape[1] if shape else None,
        layout=layout,
        layout_guess=guess,
        units=guess_units(common) if common else None,
        lengths=Lengths(min(frames), float(np.median(frames)), max(frames), frames.count(1)) if frames else None,
        classes=classes,
        imbalance=max(counts) / min(counts) if counts else None,
        missing=float(np.mean(list(missing.values()))) if missing else None,
        missing_joints=missing,
        problems=tuple(problems),
        warnings=tuple(warnings),
        facts=tuple(facts),
    )


def read_entries(
    entries: Sequence[ClipEntry],
    progress: Callable[[int, int], None] | None = None,
    keep: Callable[[Clip], None] = lambda clip: None,
) -> tuple[list[ClipFacts], list[tuple[str, DataError]]]:
    """Read clips one by one: what is worth knowing of those that can be read, and why the others cannot.

    Args:
        entries: The clips.
        progress: Called after every clip with how many are done and how many there are.
        keep: Is given every clip that was read.
    """
    facts: list[ClipFacts] = []
    broken: list[tuple[str, DataError]] = []
    for number, entry in enumerate(entries):
        try:
            clip = entry.read()
        except DataError as error:
            broken.append((entry.name, error))
        else:
            facts.append(facts_of(entry, clip))
            keep(clip)
        if progress is not None:
            progress(number + 1, len(entries))
    return facts, broken


def findings(facts: Sequence[ClipFacts]) -> list[Finding]:
    """What everybody who uses these clips should know of them; :func:`check` says more."""
    shape = Counter(fact.shape[1:] for fact in facts).most_common(1)[0][0] if facts else None
    common = [fact for fact in facts if fact.shape[1:] == shape]
    missing = _missing(common, next((fact.layout for fact in common if fact.layout), None))
    return [*frame_findings(facts), *identity_findings(facts), *value_findings(common, missing), *twins(facts)]


def _mixtures(facts: Sequence[ClipFacts]) -> list[tuple[str, str]]:
    """Clips that differ from most others in layout or (V, C)."""
    kinds = Counter((fact.shape[1:], fact.layout) for fact in facts)
    if len(kinds) < 2:
        return []
    ((shape, layout), _), *_ = kinds.most_common(1)
    return [
        (
            fact.entry.name,
            f"clip {fact.entry.name} has (V, C) = {fact.shape[1:]} in {_layout(fact.layout)}, and most clips have "
            f"{shape} in {_layout(layout)}",
        )
        for fact in facts
        if (fact.shape[1:], fact.layout) != (shape, layout)
    ]


def _layout(name: str | None) -> str:
    return f"layout {name}" if name else "a layout that is not named"


def _names_and_splits(entries: Sequence[ClipEntry]) -> list[tuple[str, str]]:
    problems = []
    members: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        twice = next((split for split in entry.splits if split in members[entry.name]), None)
        if twice is not None or (entry.name in members and not entry.splits):
            problems.append(
                (entry.name, f"two clips{f' of split {twice}' if twice else ''} have the name {entry.name}")
            )
        members[entry.name] += entry.splits
    for name, splits in members.items():
        for one, other in pairs(splits):
            text = f"clip {name} is in split {one} and in split {other}: what is trained on is not held out"
            problems.append((name, text))
    return problems


def _unlisted(source: ClipSource) -> list[Finding]:
    loose = [entry.name for entry in source.entries if not entry.splits]
    if not loose or not source.splits:
        return []
    return counted(loose, "in no split")


def _classes(
    names: tuple[str, ...] | None, facts: Sequence[ClipFacts], splits: Sequence[str]
) -> tuple[ClassCount, ...]:
    total = Counter(fact.label for fact in facts)
    by_split = {split: Counter(fact.label for fact in facts if split in fact.entry.splits) for split in splits}
    count = len(names) if names is not None else 1 + max(total, default=-1)
    return tuple(
        ClassCount(
            index,
            names[index] if names is not None else f"class {index}",
            total[index],
            {split: by_split[split][index] for split in splits},
        )
        for index in range(count)
    )


def _class_warnings(classes: Sequence[ClassCount], splits: Sequence[str]) -> list[Finding]:
    warnings = []
    empty = [entry.name for entry in classes if not entry.clips]
    if empty:
        warnings.append(Finding(f"{_classes_in_words(empty)} without any clips: {some(empty)}"))
    for split in splits if len(splits) > 1 else ():
        lacking = [entry.name for entry in classes if entry.clips and not entry.splits[split]]
        if lacking:
            number = _classes_in_words(lacking)
            text = f"{number} without clips in split {split}, and with clips elsewhere: {some(lacking)}"
            warnings.append(Finding(text))
    filled = [entry for entry in classes if entry.clips]
    if filled:
        most, least = max(filled, key=lambda e: e.clips), min(filled, key=lambda e: e.clips)
        if most.clips >= IMBALANCE * least.clips:
            text = f"classes are uneven: {most.name} has {most.clips} clips and {least.name} {least.clips}"
            warnings.append(Finding(text))
    return warnings


def _missing(facts: Sequence[ClipFacts], layout: str | None) -> dict[str, float]:
    if not facts:
        return {}
    shares = np.sum([fact.missing for fact in facts], axis=0) / sum(fact.shape[0] for fact in facts)
    names = layouts.get(layout).joints if layout else [f"joint {joint}" for joint in range(len(shares))]
    return dict(zip(names, shares.tolist(), strict=True))


def _classes_in_words(names: Sequence[str]) -> str:
    return "1 class" if len(names) == 1 else f"{len(names)} classes"
