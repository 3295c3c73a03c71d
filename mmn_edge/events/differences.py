"""Where two runs over the same recording differ: their JSON lines, prediction by prediction and event by event."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmn_edge.errors import DataError, UsageError
from mmn_edge.events.interval import group_label
from mmn_edge.reports.svg import COLOURS
from mmn_edge.reports.timeline import Bar, Lane, Row, timeline

__all__ = ["Difference", "Differences", "Lines", "compare", "draw_differences", "read_lines", "split"]

TIMED = frozenset({"age_ms", "latency_ms", "utc", "source"})
"""What differs from run to run by right, and what the source is called."""

MAX_LINE = 1_000_000

APART = 1.0
"""Seconds; differing predictions of a person that are closer are one stretch."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Lines:
    """What a run wrote, of one source.

    Attributes:
        predictions: In order.
        events: In order; starts, updates and ends.
    """

    predictions: tuple[Values, ...]
    events: tuple[Values, ...]


@dataclass(frozen=True)
class Difference:
    """A stretch of a person's predictions, or an event, that is not the same.

    Attributes:
        what: ``predictions`` or ``event``.
        person: Whose.
        start: Seconds in the stream.
        end: Seconds.
        before: What it was, in words; empty where it was not.
        now: What it is; empty where it is no more.
        count: Predictions in the stretch.
        change: The largest change of the likeliest class's probability, or seconds by which an event has moved.
    """

    what: str
    person: int
    start: float
    end: float
    before: str
    now: str
    count: int
    change: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Differences:
    """All of them, and how many.

    Attributes:
        predictions: Compared.
        differing: Predictions that are not the same in both, with those that only one has.
        relabelled: Those whose likeliest class, or whether there is an answer, is another.
        only_before: Predictions that are no more.
        only_now: Predictions that were not.
        largest: The largest change of a probability.
        events: Events before, and now.
        changed_events: Events that are new, gone or moved.
        found: Stretches and events, in order of time.
    """

    predictions: int
    differing: int
    relabelled: int
    only_before: int
    only_now: int
    largest: float
    events: tuple[int, int]
    changed_events: int
    found: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """Whether there is no difference at all."""
        return not (self.differing or self.changed_events)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "same": self.same,
            "predictions": self.predictions,
            "differing": self.differing,
            "relabelled": self.relabelled,
            "only_before": self.only_before,
            "only_now": self.only_now,
            "largest_change": self.largest,
            "events_before": self.events[0],
            "events_now": self.events[1],
            "changed_events": self.changed_events,
            "differences": [one.to_dict() for one in self.found],
        }


def read_lines(path: Path, *, source: str | None = None) -> Lines:
    """What ``mmn-edge run`` or ``replay`` wrote.

    Args:
        path: A file of JSON lines.
        source: Whose lines to take where there are several.

    Raises:
        DataError: A line is neither a prediction nor an event.
        UsageError: There are several sources and none is named, or none of that name.
    """
    found: list[Values] = []
    try:
        with path.open(encoding="utf-8") as file:
            number = 0
            while text := file.readline(MAX_LINE + 1):
                number += 1
                if text.strip():
                    found.append(_parsed(text, f"{path}, line {number}"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text: predictions and events are JSON, one a line") from error
    names = sorted({str(line["source"]) for line in found if "source" in line})
    if source is None and len(names) > 1:
        raise UsageError(f"{path} holds lines of several sources: choose one with --source ({', '.join(names[:5])})")
    if source is not None:
        found = [line for line in found if line.get("source") == source]
        if not found:
            raise UsageError(f"{path} holds no line of source {source!r}: there is {', '.join(names[:5]) or 'no name'}")
    if not found:
        raise DataError(f"{path} holds neither predictions nor events")
    return split(found)


def split(lines: Iterable[Values]) -> Lines:
    """Predictions and events apart."""
    kept = list(lines)
    return Lines(
        tuple(line for line in kept if line["type"] == "prediction"),
        tuple(line for line in kept if line["type"] == "event"),
    )


def _parsed(text: str, where: str) -> Values:
    try:
        line = json.loads(text) if len(text) <= MAX_LINE else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: it takes what run or replay wrote") from error
    numbers = {"prediction": ("time", "person"), "event": ("onset", "offset", "person")}
    if not isinstance(line, dict) or line.get("type") not in numbers:
        raise DataError(f"{where} is neither a prediction nor an event: it takes what run or replay wrote")
    for name in numbers[line["type"]]:
        value = line.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(f'{where}: "{name}" must be a number')
    for name in ("label", "kind", "level"):
        if not isinstance(line.get(name, ""), str | None):
            raise DataError(f'{where}: "{name}" must be text')
    return line


def compare(before: Lines, now: Lines, *, tolerance: float = 0.0) -> Differences:
    """Compare a run with an earlier one; what the earlier one has neither of is not compared.

    Args:
        before: The earlier run.
        now: The other.
        tolerance: By so much a probability may change where the likeliest class is the same; with 0 every number of a
            prediction must be the same, and everything that was said of an event.
    """
    pairs = _paired(before.predictions, now.predictions) if before.predictions else []
    differing = [pair for pair in pairs if not _alike(*pair, tolerance)]
    changes = [_change(*pair) for pair in differing]
    events = _event_differences(before, now, tolerance) if before.events else []
    stretches = _stretches(differing)
    ended = [sum(event.get("kind") == "end" for event in one.events) for one in (before, now)]
    return Differences(
        predictions=len(pairs),
        differing=len(differing),
        relabelled=sum(old is not None and new is not None and _label(old) != _label(new) for old, new in differing),
        only_before=sum(new is None for _, new in differing),
        only_now=sum(old is None for old, _ in differing),
        largest=max(changes, default=0.0),
        events=(ended[0], ended[1]),
        changed_events=len(events),
        found=tuple(sorted([*stretches, *events], key=lambda one: (one.start, one.person, one.what))),
    )


Pair = tuple["Values | None", "Values | None"]


def _paired(before: Sequence[Values], now: Sequence[Values]) -> list[Pair]:
    mine = {(line["time"], line["person"]): line for line in before}
    theirs = {(line["time"], line["person"]): line for line in now}
    return [(mine.get(key), theirs.get(key)) for key in sorted({*mine, *theirs})]


def _alike(old: Values | None, new: Values | None, tolerance: float) -> bool:
    if old is None or new is None:
        return False
    if tolerance:
        return _label(old) == _label(new) and _change(old, new) <= tolerance
    return _untimed(old) == _untimed(new)


def _untimed(line: Values) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in TIMED}


def _label(line: Values) -> str:
    label = line.get("label")
    return str(label) if label is not None else str(line.get("reason", "no answer"))


def _change(old: Values | None, new: Values | None) -> float:
    values = [0.0 if line is None else line.get("probability") or 0.0 for line in (old, new)]
    return abs(float(values[0]) - float(values[1])) if old is not None and new is not None else 0.0


def _stretches(differing: Sequence[Pair]) -> list[Difference]:
    """Differing predictions of a person that follow one another and differ alike, as one."""
    found: list[Difference] = []
    open_ones: dict[int, int] = {}
    for old, new in differing:
        line = old if old is not None else new
        assert line is not None
        person, time = line["person"], float(line["time"])
        words = ("" if old is None else _label(old), "" if new is None else _label(new))
        change = _change(old, new)
        index = open_ones.get(person)
        if index is not None:
            last = found[index]
            if time - last.end <= APART and (last.before, last.now) == words:
                found[index] = Difference(
                    last.what, person, last.start, time, *words, last.count + 1, max(last.change, change)
                )
                continue
        open_ones[person] = len(found)
        found.append(Difference("predictions", person, time, time, *words, 1, change))
    return found


def _event_differences(before: Lines, now: Lines, tolerance: float) -> list[Difference]:
    if not tolerance and [_untimed(one) for one in before.events] == [_untimed(one) for one in now.events]:
        return []
    old, new = ([event for event in one.events if event.get("kind") == "end"] for one in (before, now))
    found = []
    left = list(new)
    for event in old:
        same = [other for other in left if (other["person"], _event_label(other)) == _event_key(event)]
        best = max(same, key=lambda other: _overlap(event, other), default=None)
        if best is None or _overlap(event, best) <= 0:
            found.append(_event_difference(event, None))
            continue
        left.remove(best)
        moved = max(abs(event["onset"] - best["onset"]), abs(event["offset"] - best["offset"]))
        if moved > 0 or (not tolerance and _said(event) != _said(best)):
            found.append(_event_difference(event, best))
    found += [_event_difference(None, event) for event in left]
    if not found and not tolerance:  # the same events in the end, told otherwise on the way
        first = next(
            (pair for pair in zip(before.events, now.events, strict=False) if _said(pair[0]) != _said(pair[1])), None
        )
        if first is not None or len(before.events) != len(now.events):
            event = first[0] if first is not None else (before.events or now.events)[-1]
            found.append(_event_difference(event, event))
    return found


def _said(event: Values) -> dict[str, Any]:
    """All that is said of an event but its name, which counts those that came before."""
    return {key: value for key, value in event.items() if key not in TIMED and key != "id"}


def _event_label(event: Values) -> str:
    label = str(event.get("label"))
    return group_label(label) if event.get("level") == "group" else label


def _event_key(event: Values) -> tuple[Any, str]:
    return event["person"], _event_label(event)


def _overlap(one: Values, other: Values) -> float:
    return float(min(one["offset"], other["offset"]) - max(one["onset"], other["onset"]))


def _event_difference(old: Values | None, new: Values | None) -> Difference:
    event = old if old is not None else new
    assert event is not None
    times = [(float(one["onset"]), float(one["offset"])) for one in (old, new) if one is not None]
    moved = max(abs(times[0][k] - times[-1][k]) for k in (0, 1))
    start, end = min(time[0] for time in times), max(time[1] for time in times)
    words = ["" if one is None else _event_label(one) for one in (old, new)]
    return Difference("event", event["person"], start, end, words[0], words[1], 0, moved)


SAME, OTHER = COLOURS[2], COLOURS[1]


def draw_differences(before: Lines, now: Lines, found: Differences, title: str) -> str:
    """Draw both runs' events one above the other, and where predictions differ, as SVG.

    Raises:
        DataError: There is nothing to draw.
    """
    people = sorted({line["person"] for one in (before, now) for line in (*one.predictions, *one.events)})
    ends = [float(line["time"]) for one in (before, now) for line in (*one.predictions, *one.events) if "time" in line]
    if not ends or max(ends) <= 0:
        raise DataError("nothing is to be drawn: neither run holds predictions or events")
    rows = []
    for person in people:
        changed = [one for one in found.found if one.person == person]
        lanes = [
            Lane(name, tuple(_bar(event, changed) for event in one.events if _ended(event, person)))
            for name, one in (("before", before), ("now", now))
        ]
        stretches = [one for one in changed if one.what == "predictions"]
        bars = tuple(
            Bar(one.start, max(one.end, one.start + 0.1), _words(one), OTHER, hint=f"{one.count} predictions")
            for one in stretches
        )
        rows.append(Row(f"person {person}", (*lanes, Lane("predictions that differ", bars))))
    legend = ((SAME, "the same", False), (OTHER, "not the same", False))
    longest = max(ends)
    return timeline(rows, 0.0, longest, title=title, legend=legend, strip=30.0 if longest > 45 else None)


def _ended(event: Values, person: int) -> bool:
    return bool(event["person"] == person and event.get("kind") == "end")


def _bar(event: Values, changed: Sequence[Difference]) -> Bar:
    label = _event_label(event)
    touched = any(
        one.what == "event" and label in (one.before, one.now) and one.start <= event["onset"] <= one.end
        for one in changed
    )
    return Bar(float(event["onset"]), float(event["offset"]), label, OTHER if touched else SAME)


def _words(one: Difference) -> str:
    return f"{one.before or 'none'} → {one.now or 'none'}"
