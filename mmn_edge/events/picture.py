"""Annotations and events over time as a picture: rows by person and body part, the truth above what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mmn_edge.errors import DataError
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.events.matching import matched
from mmn_edge.events.naming import find_labels
from mmn_edge.events.pairing import pair
from mmn_edge.model.labels import Labels
from mmn_edge.reports.svg import COLOURS
from mmn_edge.reports.timeline import Bar, Lane, Row, timeline

__all__ = ["LONGEST_STRIP", "draw"]

LONGEST_STRIP = 45.0
"""Seconds; longer recordings are drawn in strips of :data:`STRIP`."""

STRIP = 30.0

FOUND, MISSED, RIGHT, FALSE = COLOURS[0], "#9a9a9a", COLOURS[2], COLOURS[1]
LEGEND = (
    (FOUND, "true, and found", False),
    (MISSED, "true, and missed", False),
    (RIGHT, "found, and true (IoU 0.5)", False),
    (FALSE, "found, and not true", False),
)
BODY_LEVEL = (RIGHT, "body-level group only", True)


def draw(
    predicted: AnnotationSet,
    recording: str,
    *,
    truth: AnnotationSet | None = None,
    labels: Labels | None = None,
    persons: str = "auto",
    start: float | None = None,
    end: float | None = None,
    strip: float | None = None,
    width: int = 1000,
) -> str:
    """Draw one recording as SVG.

    Args:
        predicted: What was found, or all there is.
        recording: Which one.
        truth: What happened, drawn above.
        labels: The classes; their groups are the rows. The set that comes with mmn-edge and has all labels where None,
            or else a row a class.
        persons: As for scores.
        start: Seconds at which to begin; the recording's beginning where None.
        end: Seconds at which to end; the recording's end, as far as known, where None.
        strip: Seconds in a strip.
        width: Pixels.

    Raises:
        DataError: Neither set annotates the recording, or there is nothing to draw.
    """
    sets = [one for one in (truth, predicted) if one is not None]
    if not any(recording in one.annotated for one in sets):
        known = sorted({name for one in sets for name in one.annotated})
        raise DataError(f"recording {recording!r} is not annotated: there is {', '.join(known[:5]) or 'none'}")
    only = [_only(one, recording) for one in sets]
    mine, theirs = (only[0], only[1]) if truth is not None else ((), only[0])
    shown = [*mine, *theirs]
    spans = [span for one in sets if (span := one.watched(recording)) is not None]
    ends = [entry.end for entry in shown] + [span[1] for span in spans]
    begin = start if start is not None else min((span[0] for span in spans), default=0.0)
    stop = end if end is not None else max(ends, default=0.0)
    if stop <= begin:
        raise DataError(f"nothing is to be drawn of recording {recording} from {begin:g} s to {stop:g} s")
    colours: dict[int, str] = {}
    together = False
    if truth is not None:
        here = frozenset({recording})
        pairing = pair(AnnotationSet(mine, empty=here), AnnotationSet(theirs), labels=labels, persons=persons)
        hits = matched(pairing)
        found, right = {id(one) for _, one in hits}, {id(one) for one, _ in hits}
        for unit in pairing.units:
            colours.update({id(one): FOUND if id(one) in found else MISSED for one in unit.truth})
            colours.update({id(one): RIGHT if id(one) in right else FALSE for one in unit.predicted})
        # The same intervals, called as the label set does.
        mine = (*(one for unit in pairing.units for one in unit.truth), *pairing.groups[0])
        theirs = (*(one for unit in pairing.units for one in unit.predicted), *pairing.groups[1])
        together = len(pairing.units) == 1 and {one.person for one in mine} != {one.person for one in theirs}
    labels = labels or find_labels({entry.label for entry in shown if entry.group is None})
    rows = _rows(mine, theirs, labels, colours, both=truth is not None, together=together)
    rows = [row for row in rows if any(_shown(bar, begin, stop) for lane in row.lanes for bar in lane.bars)]
    legend = list(LEGEND) if truth is not None else []
    if any(entry.group is not None for entry in shown):
        legend.append(BODY_LEVEL)
    rows = rows or [Row("nothing", (Lane("", ()),))]
    if strip is None and stop - begin > LONGEST_STRIP:
        strip = STRIP
    return timeline(rows, begin, stop, title=recording, legend=legend, width=width, strip=strip)


def _shown(bar: Bar, start: float, end: float) -> bool:
    return bar.start < end and bar.end > start


def _only(annotations: AnnotationSet, recording: str) -> tuple[Interval, ...]:
    return tuple(entry for entry in annotations.intervals if entry.recording == recording)


def _rows(
    truth: Sequence[Interval],
    predicted: Sequence[Interval],
    labels: Labels | None,
    colours: dict[int, str],
    *,
    both: bool,
    together: bool,
) -> list[Row]:
    """Rows by person and body part; all persons share them where ``together``."""

    def part(entry: Interval) -> str:
        if entry.group is not None:
            return entry.group
        if labels is None or not labels.groups or entry.label not in labels.classes:
            return entry.label
        return str(labels.group_of(labels.classes.index(entry.label)))

    shown = [*truth, *predicted]
    people = sorted({"" if together else entry.person for entry in shown})
    order = list(labels.groups) if labels is not None and labels.groups else []
    parts = sorted(
        {part(entry) for entry in shown}, key=lambda name: (order.index(name) if name in order else 99, name)
    )
    rows = []
    for person in people or [""]:
        for name in parts:
            sides = [
                [entry for entry in side if (together or entry.person == person) and part(entry) == name]
                for side in (truth, predicted)
            ]
            if not any(sides):
                continue
            title = f"{person}: {name}" if len(people) > 1 and person else name
            lanes = [("truth", sides[0]), ("found", sides[1])] if both else [("", sides[1])]
            rows.append(Row(title, tuple(Lane(lane, _bars(entries, colours, order, part)) for lane, entries in lanes)))
    return rows


def _bars(
    entries: Iterable[Interval], colours: dict[int, str], order: Sequence[str], part: Callable[[Interval], str]
) -> tuple[Bar, ...]:
    bars = []
    for entry in entries:
        name = part(entry)
        own = COLOURS[order.index(name) % len(COLOURS)] if name in order else COLOURS[0]
        colour = colours.get(id(entry), own)
        score = "" if entry.score is None else f", score {entry.score:.2f}"
        hint = f"{entry.label}, {entry.start:.2f} to {entry.end:.2f} s{score}"
        text = entry.group if entry.group is not None else entry.label
        bars.append(Bar(entry.start, entry.end, text, colour, hollow=entry.group is not None, hint=hint))
    return tuple(bars)
