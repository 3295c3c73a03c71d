"""Intervals with a label, and what was watched to find them.

An interval is half open, ``[start, end)``, in seconds on its recording's clock. A set of annotations says more than its
intervals: a recording that was watched and holds none is a finding, one that nobody watched is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mmn_edge.errors import DataError

__all__ = ["GROUP", "MAX_TIME", "AnnotationSet", "Interval", "Recording", "group_label"]

MAX_TIME = 1e11
"""Seconds, as in recordings: larger numbers are milliseconds or nanoseconds."""

GROUP = "group:"
"""Begins the label of an event of which only the body-level group is known, in every file format alike."""

LONGEST_TEXT = 1000
"""Characters of a name, such as a label's."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def group_label(group: str) -> str:
    """The label of an event of which only the body-level group is known, such as ``group:head``."""
    return GROUP + group


@dataclass(frozen=True, slots=True)
class Interval:
    """Somebody did something from ``start`` to before ``end``.

    Attributes:
        recording: Name of the recording, without folder and suffix.
        start: Seconds on the recording's clock, not negative.
        end: Seconds, after ``start``.
        label: The class, or :func:`group_label` of a body-level group.
        person: Who; empty where that is not said.
        score: How sure, higher is surer; None where that is not said, as with people's annotations.
        annotator: Whose finding this is; empty where that is not said.
        extra: Further columns as (name, text).

    Raises:
        DataError: A time is no number, is negative or beyond :data:`MAX_TIME`; the end is not after the start; the
            recording or the label is empty; a text holds control characters.
    """

    recording: str
    start: float
    end: float
    label: str
    person: str = ""
    score: float | None = None
    annotator: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("recording", "label"):
            if not getattr(self, name):
                raise DataError(f"the {name} is empty")
        for name in ("recording", "label", "person", "annotator"):
            check_text(name, getattr(self, name))
        for name, value in (("start", self.start), ("end", self.end)):
            if not math.isfinite(value) or value > MAX_TIME:
                raise DataError(f"the {name} must be a number of seconds, not {value}")
            if value < 0:
                raise DataError(f"the {name} is negative ({value:g} s): times count from the recording's beginning")
        if self.end == self.start:
            raise DataError(f"the interval has no length (it starts and ends at {self.start:g} s)")
        if self.end < self.start:
            raise DataError(f"the end ({self.end:g} s) is before the start ({self.start:g} s)")
        if self.score is not None and not math.isfinite(self.score):
            raise DataError(f"the score must be a number, not {self.score}")

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start

    @property
    def group(self) -> str | None:
        """The body-level group, where only that is known; None for an event of a class."""
        return self.label[len(GROUP) :] if self.label.startswith(GROUP) else None


def check_text(name: str, text: str) -> None:
    """Refuse what no file format could hold.

    Raises:
        DataError: Control characters, line breaks among them, or too long.
    """
    if _CONTROL.search(text):
        raise DataError(f"the {name} {text[:40]!r} holds a line break or another control character")
    if len(text) > LONGEST_TEXT:
        raise DataError(f"the {name} {text[:40]!r}... is longer than {LONGEST_TEXT} characters")


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of ``recordings.csv``.

    Attributes:
        name: As intervals call it.
        duration_s: Seconds; None where unknown.
        fps: Frames a second; None where unknown.
        watched: From when to when it was watched, seconds; None means that nobody annotated it.
        split: What it is used for, such as ``train``; empty where that is not said.

    Raises:
        DataError: A value is out of range.
    """

    name: str
    duration_s: float | None = None
    fps: float | None = None
    watched: tuple[float, float] | None = None
    split: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise DataError("the recording is empty")
        check_text("recording", self.name)
        for what, value in (("duration_s", self.duration_s), ("fps", self.fps)):
            if value is not None and not 0 < value <= MAX_TIME:
                raise DataError(f"{what} must be a number above 0, not {value:g}")
        if self.watched is not None:
            start, end = self.watched
            if not 0 <= start < end <= MAX_TIME:
                raise DataError(
                    f"watched_from and watched_to must be seconds, one after the other, not {start:g} and {end:g}"
                )


@dataclass(frozen=True)
class AnnotationSet:
    """The intervals that were found in some recordings, and which recordings those are.

    A recording is *annotated* if somebody, or a model, looked for events in it; it may hold none. Where its
    :class:`Recording` says from when to when, rates and measures by frame are known too.

    Attributes:
        intervals: In the order of recording, start, end, person and label.
        recordings: What ``recordings.csv`` says, by name; empty where there is none. Then all recordings that are
            annotated are in it.
        empty: Recordings that are annotated and hold no interval, where there is no ``recordings.csv``.
        notes: What a reader of numbers made from this should know.

    Raises:
        DataError: An interval lies in a recording that ``recordings.csv`` does not list, or calls not annotated.
    """

    intervals: tuple[Interval, ...] = ()
    recordings: Mapping[str, Recording] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ordered = sorted(self.intervals, key=lambda i: (i.recording, i.start, i.end, i.person, i.label))
        object.__setattr__(self, "intervals", tuple(ordered))
        object.__setattr__(self, "recordings", MappingProxyType(dict(self.recordings)))
        empty = self.empty - {interval.recording for interval in ordered}
        object.__setattr__(self, "empty", empty if not self.recordings else frozenset())
        if not self.recordings:
            return
        for name in dict.fromkeys([*(interval.recording for interval in ordered), *sorted(empty)]):
            if name not in self.recordings:
                known = ", ".join(list(self.recordings)[:5]) + (", ..." if len(self.recordings) > 5 else "")
                raise DataError(
                    f"recording {name!r} holds annotations and is not in recordings.csv, which lists {known}: call it "
                    "the same in both, or add it"
                )
            if self.recordings[name].watched is None:
                raise DataError(
                    f"recording {name!r} holds annotations, and recordings.csv says that nobody watched it: fill in "
                    "its watched_from and watched_to"
                )

    @property
    def annotated(self) -> tuple[str, ...]:
        """Names of the recordings in which events were looked for, sorted."""
        watched = {name for name, recording in self.recordings.items() if recording.watched is not None}
        return tuple(sorted({interval.recording for interval in self.intervals} | self.empty | watched))

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes that occur, sorted; without body-level groups."""
        return tuple(sorted({interval.label for interval in self.intervals if interval.group is None}))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the further columns, in the order in which they come first."""
        return tuple(dict.fromkeys(name for interval in self.intervals for name, _ in interval.extra))

    def watched(self, recording: str) -> tuple[float, float] | None:
        """From when to when a recording was watched, seconds; None where that is not known or it was not at all."""
        entry = self.recordings.get(recording)
        return entry.watched if entry is not None else None

    def by_recording(self) -> dict[str, tuple[Interval, ...]]:
        """For every annotated recording its intervals, in order of their start; none where nothing happened."""
        found: dict[str, list[Interval]] = {name: [] for name in self.annotated}
        for interval in self.intervals:
            found[interval.recording].append(interval)
        return {name: tuple(intervals) for name, intervals in found.items()}

    def by_person(self, recording: str) -> dict[str, tuple[Interval, ...]]:
        """A recording's intervals for every person that has any, in order of their start."""
        found: dict[str, list[Interval]] = {}
        for interval in self.intervals:
            if interval.recording == recording:
                found.setdefault(interval.person, []).append(interval)
        return {person: tuple(found[person]) for person in sorted(found)}

    def overlaps(self) -> Iterator[tuple[Interval, Interval]]:
        """Pairs of one person's intervals with one label that share time."""
        running: dict[tuple[str, str, str], Interval] = {}
        for interval in self.intervals:
            key = (interval.recording, interval.person, interval.label)
            earlier = running.get(key)
            if earlier is not None and interval.start < earlier.end:
                yield earlier, interval
            if earlier is None or interval.end > earlier.end:
                running[key] = interval

    @classmethod
    def joined(cls, sets: Sequence[AnnotationSet], recordings: Iterable[Recording] = ()) -> AnnotationSet:
        """Several sets as one; ``recordings`` is what is known of their recordings beyond what the sets say.

        Raises:
            DataError: Two sets say different things of one recording, or see the class.
        """
        known: dict[str, Recording] = {}
        for entry in [*recordings, *(entry for one in sets for entry in one.recordings.values())]:
            if known.setdefault(entry.name, entry) != entry:
                raise DataError(f"two recordings.csv say different things of recording {entry.name!r}")
        return cls(
            tuple(interval for one in sets for interval in one.intervals),
            known,
            frozenset().union(*(one.empty for one in sets)),
            tuple(dict.fromkeys(note for one in sets for note in one.notes)),
        )
