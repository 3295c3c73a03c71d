"""What a set of annotations holds and what is wrong with it, all of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mmn_edge.datasets.findings import Finding
from mmn_edge.errors import DataError
from mmn_edge.events.dataset import AnnotatedSet
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.events.naming import match_names
from mmn_edge.system.words import some

__all__ = ["ClassDurations", "EventReport", "check"]

SHORT = 0.1
"""Seconds; what is shorter is a slip more often than an action."""

LONG = 600.0
OVERRUN = 0.1
"""Seconds by which an interval may end after its recording: annotation tools round."""

IMBALANCE = 10.0
MOST = 3


@dataclass(frozen=True)
class ClassDurations:
    """One class: how often, and how long.

    Attributes:
        name: The class.
        events: How many.
        recordings: In how many recordings.
        seconds: In all.
        durations: Of an event, seconds, at 5, 50 and 95 %; None where there is none.
    """

    name: str
    events: int
    recordings: int
    seconds: float
    durations: tuple[float, float, float] | None


@dataclass(frozen=True)
class EventReport:
    """The result of :func:`check`.

    Attributes:
        path: The data set.
        recordings: Annotated.
        quiet: Annotated recordings in which nothing happened.
        hours: Watched; None where that is not known.
        events: All intervals.
        persons: Names of persons, over all recordings.
        annotators: Their names.
        classes: Those of ``classes.txt``, or those that occur.
        at_once: Share of the watched time with 0, 1, 2, and 3 or more events of classes at once, persons apart; None
            where it is not known.
        durations: Of all events, seconds, at 5, 50 and 95 %; None where there is none.
        problems: What keeps recordings from being used, or makes a measure false.
        warnings: What should be known.
    """

    path: str
    recordings: int
    quiet: int
    hours: float | None
    events: int
    persons: tuple[str, ...]
    annotators: tuple[str, ...]
    classes: tuple[ClassDurations, ...]
    at_once: tuple[float, ...] | None
    durations: tuple[float, float, float] | None
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {**self.__dict__, "classes": [asdict(entry) for entry in self.classes]}


def check(data: AnnotatedSet, *, progress: Callable[[int, int], None] | None = None) -> EventReport:
    """Describe a set of annotations, and read the recordings that it is of.

    Args:
        data: The set.
        progress: Called after every recording with how many are done and how many there are.
    """
    annotations = data.annotations
    entries = annotations.intervals
    by_recording = annotations.by_recording()
    spans = [annotations.watched(name) for name in by_recording]
    known = [span for span in spans if span is not None]
    problems = [*_labels(data), *_outside(annotations), *_recordings(data, progress)]
    warnings = [Finding(note) for note in annotations.notes]
    if not by_recording:
        problems.append(Finding(f"{data.path} annotates no recording"))
    if len(known) < len(spans):
        warnings.append(Finding("there is no recordings.csv, so that nobody knows what was watched"))
    if data.unannotated:
        text = _number(len(data.unannotated), "recording", "recordings")
        warnings.append(Finding(f"{text} that nobody annotated: {some(data.unannotated)}", data.unannotated))
    classes = _classes(data.class_names, entries)
    warnings += _class_warnings(classes) + _durations_warnings(entries) + _overlap_warnings(annotations)
    annotators = tuple(sorted({entry.annotator for entry in entries} - {""}))
    if len(annotators) > 1:
        warnings.append(
            Finding(f"{len(annotators)} annotators are in one set, and all of them count: {some(annotators)}")
        )
    return EventReport(
        path=str(data.path),
        recordings=len(by_recording),
        quiet=sum(not found for found in by_recording.values()),
        hours=sum(end - start for start, end in known) / 3600 if len(known) == len(spans) and known else None,
        events=len(entries),
        persons=tuple(sorted({entry.person for entry in entries} - {""})),
        annotators=annotators,
        classes=classes,
        at_once=_at_once(annotations),
        durations=_quantiles(entries),
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def _labels(data: AnnotatedSet) -> list[Finding]:
    if not data.named:
        return []
    used = Counter(entry.label for entry in data.annotations.intervals if entry.group is None)
    try:
        found = match_names(used, data.class_names, origin=data.path)
    except DataError as error:
        return [Finding(str(error))]
    return [
        Finding(f"label {name!r} of {_number(times, 'event', 'events')} is not in classes.txt")
        for name, times in sorted(used.items())
        if name not in found
    ]


def _outside(annotations: AnnotationSet) -> list[Finding]:
    """Intervals beyond their recording, or beyond what was watched of it."""
    beyond: dict[str, list[Interval]] = defaultdict(list)
    unwatched: dict[str, list[Interval]] = defaultdict(list)
    for entry in annotations.intervals:
        recording = annotations.recordings.get(entry.recording)
        if recording is None or recording.watched is None:
            continue
        start, end = recording.watched
        if recording.duration_s is not None and entry.end > max(recording.duration_s, end) + OVERRUN:
            beyond[entry.recording].append(entry)
        elif entry.start < start - OVERRUN or entry.end > end + OVERRUN:
            unwatched[entry.recording].append(entry)
    findings = []
    for found, what in ((beyond, "after the recording has ended"), (unwatched, "outside what was watched")):
        for name, entries in found.items():
            first = entries[0]
            findings.append(
                Finding(
                    f"recording {name}: {_number(len(entries), 'interval lies', 'intervals lie')} {what}, the first "
                    f"from {first.start:g} to {first.end:g} s",
                    [name],
                )
            )
    return findings


def _recordings(data: AnnotatedSet, progress: Callable[[int, int], None] | None) -> list[Finding]:
    findings = []
    if data.absent and (data.recordings or data.unannotated):
        text = _number(len(data.absent), "annotated recording is", "annotated recordings are")
        findings.append(Finding(f"{text} not there: {some(data.absent)}", data.absent))
    layouts: Counter[str] = Counter()
    for number, recording in enumerate(data.recordings):
        try:
            layout, tracks = recording.read()
        except DataError as error:
            findings.append(Finding(str(error), [recording.name]))
        else:
            layouts[layout] += 1
            last = max(float(track.times[-1]) for track in tracks)
            late = [entry for entry in recording.intervals if entry.start > last + OVERRUN]
            if late:
                findings.append(
                    Finding(
                        f"recording {recording.name}: {_number(len(late), 'interval begins', 'intervals begin')} after "
                        f"its last frame with somebody in it ({last:g} s), the first at {late[0].start:g} s",
                        [recording.name],
                    )
                )
        if progress is not None:
            progress(number + 1, len(data.recordings))
    if len(layouts) > 1:
        findings.append(Finding(f"recordings are in several layouts: {', '.join(sorted(layouts))}"))
    return findings


def _classes(names: Sequence[str], entries: Sequence[Interval]) -> tuple[ClassDurations, ...]:
    found: dict[str, list[Interval]] = {name: [] for name in names}
    for entry in entries:
        if entry.group is None:
            found.setdefault(entry.label, []).append(entry)
    return tuple(
        ClassDurations(
            name,
            len(those),
            len({entry.recording for entry in those}),
            sum(entry.duration for entry in those),
            _quantiles(those),
        )
        for name, those in found.items()
    )


def _class_warnings(classes: Sequence[ClassDurations]) -> list[Finding]:
    findings = []
    empty = [entry.name for entry in classes if not entry.events]
    if empty:
        findings.append(Finding(f"{_number(len(empty), 'class', 'classes')} without any event: {some(empty)}"))
    filled = [entry for entry in classes if entry.events]
    if filled:
        most, least = max(filled, key=lambda e: e.events), min(filled, key=lambda e: e.events)
        if most.events >= IMBALANCE * least.events:
            findings.append(
                Finding(f"classes are uneven: {most.name} has {most.events} events and {least.name} {least.events}")
            )
    alone = [entry.name for entry in filled if entry.recordings == 1]
    if alone and len(alone) < len(filled):
        text = _number(len(alone), "class occurs", "classes occur")
        findings.append(Finding(f"{text} in one recording only, and cannot be both trained and tested: {some(alone)}"))
    return findings


def _durations_warnings(entries: Sequence[Interval]) -> list[Finding]:
    findings = []
    for word, strange in (
        (f"shorter than {SHORT:g} s,", [entry for entry in entries if entry.duration < SHORT]),
        (f"longer than {LONG:g} s: are times seconds?", [entry for entry in entries if entry.duration > LONG]),
    ):
        if strange:
            first = strange[0]
            text = f"{_number(len(strange), 'event is', 'events are')} {word} the first is {first.label}"
            findings.append(Finding(f"{text} of {first.recording} at {first.start:g} s"))
    return findings


def _overlap_warnings(annotations: AnnotationSet) -> list[Finding]:
    pairs = list(annotations.overlaps())
    if not pairs:
        return []
    first, second = pairs[0]
    return [
        Finding(
            f"{_number(len(pairs), 'pair', 'pairs')} of one person's events of one class overlap, the first is "
            f"{first.label} of {first.recording} at {second.start:g} s"
        )
    ]


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _quantiles(entries: Iterable[Interval]) -> tuple[float, float, float] | None:
    durations = [entry.duration for entry in entries]
    if not durations:
        return None
    low, middle, high = np.quantile(durations, (0.05, 0.5, 0.95)).tolist()
    return low, middle, high


def _at_once(annotations: AnnotationSet) -> tuple[float, ...] | None:
    """Share of the watched time, each person's, with 0, 1, 2, and 3 or more events."""
    totals = np.zeros(MOST + 1)
    for name in annotations.annotated:
        span = annotations.watched(name)
        if span is None:
            return None
        people = annotations.by_person(name) or {"": ()}
        for entries in people.values():
            changes = [(time, 0) for time in span]
            for entry in entries:
                if entry.group is None:
                    start, end = max(entry.start, span[0]), min(entry.end, span[1])
                    changes += [(start, 1), (end, -1)] if start < end else []
            changes.sort()
            running = 0
            for (before, step), (after, _) in pairwise(changes):
                running += step
                totals[min(running, MOST)] += after - before
    return tuple((totals / totals.sum()).tolist()) if totals.sum() else None
