"""What a data set holds and what is wrong with it, all of it: broken clips do not stop the check."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmn_edge.datasets.clip import ClipEntry, ClipSource
from mmn_edge.datasets.facts import ClipFacts, facts_of, guess_layouts, guess_units
from mmn_edge.errors import DataError
from mmn_edge.skeleton import layouts

__all__ = ["ClassCount", "Lengths", "Report", "check"]

ZEROS = 0.01
"""Share of joints at exactly the origin from which on zeros probably stand for joints that were not seen."""

IMBALANCE = 10.0
WILD = 20.0
"""How many times the usual extent a clip must have to be pointed out."""


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
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    facts: tuple[ClipFacts, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        values = {key: getattr(self, key) for key in self.__dataclass_fields__ if key != "facts"}
        values["lengths"] = asdict(self.lengths) if self.lengths else None
        values["classes"] = [asdict(entry) for entry in self.classes]
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
    facts, problems, warnings = _read(entries, progress)
    broken = len(problems)
    if not entries:
        problems.append(f"{source.path} holds no clips" + (f" in split {split}" if split else ""))
    problems += [
        f"split {name} names clip {clip}, which is not there" for name in names for clip in source.absent(name)
    ]
    problems += _mixtures(facts) + _names_and_splits(entries) + _leaks(facts)
    classes = _classes(source.class_names, facts, names)
    if split is None:
        warnings += _unlisted(source)
    warnings += [*source.notes, *_class_warnings(classes, names), *_twins(facts)]
    shape = Counter(fact.shape[1:] for fact in facts).most_common(1)[0][0] if facts else None
    common = [fact for fact in facts if fact.shape[1:] == shape]
    named = sorted({fact.layout for fact in common if fact.layout})
    layout = named[0] if len(named) == 1 else None
    guess = guess_layouts(*shape) if shape and not named else ()
    missing = _missing(common, layout or (guess[0] if len(guess) == 1 else None))
    warnings += _value_warnings(common, missing)
    counts = [entry.clips for entry in classes if entry.clips]
    frames = [fact.shape[0] for fact in facts]
    return Report(
        path=str(source.path),
        kind=source.kind,
        splits={name: sum(name in fact.entry.splits for fact in facts) for name in names},
        clips=len(facts),
        broken=broken,
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


def _read(
    entries: Sequence[ClipEntry], progress: Callable[[int, int], None] | None
) -> tuple[list[ClipFacts], list[str], list[str]]:
    facts: list[ClipFacts] = []
    problems, warnings = [], []
    for number, entry in enumerate(entries):
        try:
            clip = entry.read()
        except DataError as error:
            problems.append(str(error))
        else:
            facts.append(facts_of(entry, clip))
            if entry.frames is not None and entry.frames != len(clip.keypoints):
                warnings.append(
                    f'clip {entry.name} has {len(clip.keypoints)} frames, and "total_frames" {entry.frames}'
                )
        if progress is not None:
            progress(number + 1, len(entries))
    return facts, problems, warnings


def _mixtures(facts: Sequence[ClipFacts]) -> list[str]:
    """Clips that differ from most others in layout or (V, C)."""
    kinds = Counter((fact.shape[1:], fact.layout) for fact in facts)
    if len(kinds) < 2:
        return []
    ((shape, layout), _), *_ = kinds.most_common(1)
    return [
        f"clip {fact.entry.name} has (V, C) = {fact.shape[1:]} in {_layout(fact.layout)}, and most clips have "
        f"{shape} in {_layout(layout)}"
        for fact in facts
        if (fact.shape[1:], fact.layout) != (shape, layout)
    ]


def _layout(name: str | None) -> str:
    return f"layout {name}" if name else "a layout that is not named"


def _held_out_from(one: str, other: str) -> bool:
    """Whether clips of one split must not be in the other: ``xsub_train`` and ``xsub_val``, not ``xview_val``."""
    role = re.compile(r"train(ing)?|val(id(ation)?)?|test(ing)?|eval(uation)?", re.IGNORECASE)
    first, second = role.search(one), role.search(other)
    if first is None or second is None or role.sub("", one, count=1) != role.sub("", other, count=1):
        return False
    return first[0].lower().startswith("train") != second[0].lower().startswith("train")


def _names_and_splits(entries: Sequence[ClipEntry]) -> list[str]:
    problems = []
    members: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        twice = next((split for split in entry.splits if split in members[entry.name]), None)
        if twice is not None or (entry.name in members and not entry.splits):
            problems.append(f"two clips{f' of split {twice}' if twice else ''} have the name {entry.name}")
        members[entry.name] += entry.splits
    for name, splits in members.items():
        for one, other in _pairs(splits):
            problems.append(f"clip {name} is in split {one} and in split {other}: what is trained on is not held out")
    return problems


def _leaks(facts: Sequence[ClipFacts]) -> list[str]:
    """Identical clips under different names, one trained on and the other held out."""
    problems = []
    for group in _groups(facts):
        places = {split: fact.entry.name for fact in group for split in fact.entry.splits}
        for one, other in _pairs(list(places)):
            if places[one] != places[other]:
                problems.append(
                    f"clips {places[one]} of split {one} and {places[other]} of split {other} are identical: what is "
                    "trained on is not held out"
                )
    return problems


def _twins(facts: Sequence[ClipFacts]) -> list[str]:
    warnings = []
    for group in _groups(facts):
        if _pairs([split for fact in group for split in fact.entry.splits]):
            continue  # a problem already
        labels = sorted({fact.label for fact in group})
        names = ", ".join(fact.entry.name for fact in group[:5]) + (", ..." if len(group) > 5 else "")
        contrary = f" and have different labels ({', '.join(map(str, labels))})" if len(labels) > 1 else ""
        warnings.append(f"clips {names} are identical{contrary}")
    return warnings


def _groups(facts: Sequence[ClipFacts]) -> list[list[ClipFacts]]:
    groups: dict[bytes, list[ClipFacts]] = defaultdict(list)
    for fact in facts:
        groups[fact.digest].append(fact)
    return [group for group in groups.values() if len(group) > 1]


def _pairs(splits: Sequence[str]) -> list[tuple[str, str]]:
    names = list(dict.fromkeys(splits))
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if _held_out_from(a, b)]


def _unlisted(source: ClipSource) -> list[str]:
    loose = [entry.name for entry in source.entries if not entry.splits]
    if not loose or not source.splits:
        return []
    return [f"{_number(len(loose), 'clip', 'clips')} in no split, such as {loose[0]}"]


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


def _class_warnings(classes: Sequence[ClassCount], splits: Sequence[str]) -> list[str]:
    warnings = []
    empty = [entry.name for entry in classes if not entry.clips]
    if empty:
        warnings.append(f"{_number(len(empty), 'class', 'classes')} without any clips: {_first(empty)}")
    for split in splits if len(splits) > 1 else ():
        lacking = [entry.name for entry in classes if entry.clips and not entry.splits[split]]
        if lacking:
            text = _number(len(lacking), "class", "classes")
            warnings.append(f"{text} without clips in split {split}, and with clips elsewhere: {_first(lacking)}")
    filled = [entry for entry in classes if entry.clips]
    if filled:
        most, least = max(filled, key=lambda e: e.clips), min(filled, key=lambda e: e.clips)
        if most.clips >= IMBALANCE * least.clips:
            warnings.append(f"classes are uneven: {most.name} has {most.clips} clips and {least.name} {least.clips}")
    return warnings


def _missing(facts: Sequence[ClipFacts], layout: str | None) -> dict[str, float]:
    if not facts:
        return {}
    shares = np.sum([fact.missing for fact in facts], axis=0) / sum(fact.shape[0] for fact in facts)
    names = layouts.get(layout).joints if layout else [f"joint {joint}" for joint in range(len(shares))]
    return dict(zip(names, shares.tolist(), strict=True))


def _value_warnings(facts: Sequence[ClipFacts], missing: dict[str, float]) -> list[str]:
    if not facts:
        return []
    warnings = []
    never = [name for name, share in missing.items() if share == 1]
    if never:
        warnings.append(f"{_number(len(never), 'joint', 'joints')} never seen in any clip: {_first(never)}")
    still = [fact.entry.name for fact in facts if fact.shape[0] > 1 and fact.motion == 0]
    if still:
        warnings.append(f"{_number(len(still), 'clip', 'clips')} without any motion, such as {still[0]}")
    sparse = [fact.entry.name for fact in facts if fact.missing.sum() > 0.5 * fact.shape[0] * fact.shape[1]]
    if sparse:
        warnings.append(
            f"{_number(len(sparse), 'clip', 'clips')} with more than half of the joints missing, such as {sparse[0]}"
        )
    zeros = sum(fact.zeros for fact in facts) / sum(fact.shape[0] * fact.shape[1] for fact in facts)
    if zeros > ZEROS:
        warnings.append(
            f"{zeros:.1%} of the joints lie at exactly the origin, which probably means that they were not seen: mark "
            "them as NaN or with score 0, or the model learns the zeros"
        )
    usual = float(np.median([fact.extent for fact in facts]))
    wild = [fact.entry.name for fact in facts if fact.extent > WILD * usual]
    if wild:
        warnings.append(
            f"{_number(len(wild), 'clip', 'clips')} more than {WILD:g} times as large as usual, such as {wild[0]}: "
            "look for stray coordinates"
        )
    low, high = np.min([fact.low for fact in facts], axis=0), np.max([fact.high for fact in facts], axis=0)
    if len(low) == 3 and low[2] >= 0 and high[2] <= 1 and max(high[:2]) > 20:
        warnings.append("the third coordinate is within 0..1 and the others are pixels: it is probably a score")
    return warnings


def _number(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
