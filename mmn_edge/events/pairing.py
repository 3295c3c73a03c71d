"""What two sets of annotations have in common and can be compared on: recordings, spans of time, classes, persons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mmn_edge.errors import DataError
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.events.naming import fit_labels, match_names, renamed
from mmn_edge.model.labels import Labels
from mmn_edge.system.words import some

__all__ = ["PERSONS", "Pairing", "Unit", "as_one_recording", "pair"]

PERSONS = ("auto", "match", "ignore")
"""Whether persons must agree: where several are named in the truth, always, or never."""

Note = Callable[[str], None]


@dataclass(frozen=True)
class Unit:
    """One person in one recording, or all of them where persons are ignored.

    Attributes:
        recording: Its name.
        truth: True intervals of classes, in order of their start.
        predicted: Predicted ones.
    """

    recording: str
    truth: tuple[Interval, ...]
    predicted: tuple[Interval, ...]


@dataclass(frozen=True)
class Pairing:
    """Two sets of annotations made comparable.

    Attributes:
        recordings: That are compared, sorted.
        units: What is matched with what; at least one for each recording.
        spans: From when to when each recording was watched by both, seconds; None where that is not known.
        classes: That are scored: those of the label set, or else those that occur, sorted.
        groups: Truth and predictions of which only the body-level group is known.
        notes: What a reader of the scores should know.
    """

    recordings: tuple[str, ...]
    units: tuple[Unit, ...]
    spans: tuple[tuple[float, float], ...] | None
    classes: tuple[str, ...]
    groups: tuple[tuple[Interval, ...], tuple[Interval, ...]]
    notes: tuple[str, ...]


def pair(
    truth: AnnotationSet, predicted: AnnotationSet, *, labels: Labels | None = None, persons: str = "auto"
) -> Pairing:
    """Make two sets comparable.

    Compared is what both watched. A recording of the truth of which the predictions say nothing counts as one in which
    nothing was found, unless the predictions have a ``recordings.csv`` without it.

    Args:
        truth: What happened, or one annotator's opinion.
        predicted: What was found, or another's.
        labels: The classes; those that occur where None.
        persons: One of :data:`PERSONS`.

    Raises:
        DataError: They have no recording in common, a label is unknown, or persons cannot be told apart.
    """
    notes: list[str] = [*truth.notes, *predicted.notes]
    truth, predicted = _same_labels(truth, predicted, labels, notes.append)
    recordings = _common(truth, predicted, notes.append)
    spans = _spans(truth, predicted, recordings, notes.append)
    limits = dict(zip(recordings, spans, strict=True)) if spans is not None else {}
    compared = set(recordings)
    mine, theirs = (_inside(one, compared, limits) for one in (truth, predicted))
    for kind, one, kept in (("predicted", predicted, theirs), ("true", truth, mine)):
        outside = sum(entry.recording in compared for entry in one.intervals) - len(kept)
        if outside:
            notes.append(f"{outside} {kind} events lie outside the time that was watched and do not count.")
    annotators = {entry.annotator for entry in mine} - {""}
    if len(annotators) > 1:
        notes.append(
            f"The truth is that of {len(annotators)} annotators ({some(sorted(annotators))}); all of it counts."
        )
    units = []
    true, found = _by_recording(mine, recordings), _by_recording(theirs, recordings)
    for name in recordings:
        units += _units(name, true[name], found[name], persons, notes.append)
    used = {entry.label for entry in (*mine, *theirs) if entry.group is None}
    classes = labels.classes if labels is not None else tuple(sorted(used))
    body = tuple(tuple(entry for entry in one if entry.group is not None) for one in (mine, theirs))
    return Pairing(recordings, tuple(units), spans, classes, (body[0], body[1]), tuple(dict.fromkeys(notes)))


def as_one_recording(truth: AnnotationSet, predicted: AnnotationSet) -> AnnotationSet:
    """The predictions, called as the recording of the truth where each set has one: two people's files of a video.

    A note says so; where either has several, nothing is changed.
    """
    (mine, *more), (theirs, *others) = truth.annotated or ("",), predicted.annotated or ("",)
    if more or others or mine == theirs or "" in (mine, theirs):
        return predicted
    known = predicted.recordings.get(theirs)
    return AnnotationSet(
        tuple(replace(entry, recording=mine) for entry in predicted.intervals),
        {mine: replace(known, name=mine)} if known is not None else {},
        frozenset({mine}),
        (*predicted.notes, f"Recording {theirs} is taken for recording {mine}: each file holds one."),
    )


def _same_labels(
    truth: AnnotationSet, predicted: AnnotationSet, labels: Labels | None, note: Note
) -> tuple[AnnotationSet, AnnotationSet]:
    if labels is not None:
        return fit_labels(truth, labels, origin="truth"), fit_labels(predicted, labels, origin="predictions")
    predicted = renamed(predicted, match_names(predicted.labels, truth.labels, origin="predictions"))
    strange = sorted(set(predicted.labels) - set(truth.labels))
    if strange and len(strange) == len(predicted.labels) and truth.labels:
        note(
            f"CAUTION: no predicted label ({some(strange)}) is one of the truth ({some(truth.labels)}): are they "
            "called the same?"
        )
    elif strange:
        note(f"Predicted labels that the truth never has: {some(strange)}.")
    return truth, predicted


def _common(truth: AnnotationSet, predicted: AnnotationSet, note: Note) -> tuple[str, ...]:
    mine, theirs = truth.annotated, predicted.annotated
    if not mine:
        raise DataError("the truth annotates no recording")
    unknown = sorted(set(theirs) - set(mine))
    if predicted.intervals and not set(mine) & set(theirs):
        raise DataError(
            f"truth and predictions have no recording in common: the truth has {some(mine)}, the predictions "
            f"{some(theirs)}: call them the same, without folder and suffix"
        )
    if unknown and predicted.intervals:
        note(f"Not scored, for the truth does not annotate them: {len(unknown)} recordings, such as {unknown[0]}.")
    absent = sorted(set(mine) - set(theirs))
    if absent and predicted.recordings:
        note(f"Not scored, for the predictions did not watch them: {len(absent)} recordings, such as {absent[0]}.")
        common = tuple(name for name in mine if name not in set(absent))
        if not common:
            raise DataError("the predictions watched no recording that the truth annotates")
        return common
    if absent:
        note(f"Nothing was predicted in {len(absent)} of {len(mine)} recordings, such as {absent[0]}.")
    return mine


def _spans(
    truth: AnnotationSet, predicted: AnnotationSet, recordings: Sequence[str], note: Note
) -> tuple[tuple[float, float], ...] | None:
    if not truth.recordings:
        note(
            "What was watched is not known: measures by frame and by hour need a recordings.csv beside the truth "
            "(mmn-edge events recordings makes one)."
        )
        return None
    spans = []
    for name in recordings:
        span = truth.watched(name)
        other = predicted.watched(name)
        if span is None:
            raise AssertionError("an annotated recording that recordings.csv lists was watched")
        if other is not None and other != span:
            note("Only the time that both watched is scored.")
            span = (max(span[0], other[0]), min(span[1], other[1]))
            if span[0] >= span[1]:
                raise DataError(f"truth and predictions watched recording {name} at different times")
        spans.append(span)
    return tuple(spans)


def _inside(
    annotations: AnnotationSet, recordings: set[str], limits: dict[str, tuple[float, float]]
) -> tuple[Interval, ...]:
    """The intervals that reach into what was watched."""
    everything = (-1.0, float("inf"))
    found = []
    for entry in annotations.intervals:
        if entry.recording in recordings:
            start, end = limits.get(entry.recording, everything)
            if entry.start < end and entry.end > start:
                found.append(entry)
    return tuple(found)


def _by_recording(entries: Iterable[Interval], recordings: Iterable[str]) -> dict[str, list[Interval]]:
    """The intervals of classes."""
    found: dict[str, list[Interval]] = {name: [] for name in recordings}
    for entry in entries:
        if entry.group is None:
            found[entry.recording].append(entry)
    return found


def _units(name: str, truth: Sequence[Interval], predicted: Sequence[Interval], persons: str, note: Note) -> list[Unit]:
    mine = sorted({entry.person for entry in truth})
    theirs = sorted({entry.person for entry in predicted})
    apart = persons == "match" or (persons == "auto" and len(mine) > 1)
    if persons == "auto" and len(mine) <= 1 < len(theirs):
        note(
            f"The truth names one person and the predictions name {len(theirs)}, in recording {name} for one: they are "
            "taken together; --persons match tells them apart."
        )
    if persons == "auto" and apart and predicted:
        if theirs == [""]:
            note(f"The truth names persons and the predictions do not, in recording {name} for one: they are ignored.")
            apart = False
        elif not set(mine) & set(theirs):
            raise DataError(
                f"the persons of recording {name} are {some(mine)} in the truth and {some(theirs)} in the predictions: "
                "call them the same, or compare without them (--persons ignore)"
            )
    if not apart:
        return [Unit(name, tuple(truth), tuple(predicted))]
    return [
        Unit(name, tuple(e for e in truth if e.person == who), tuple(e for e in predicted if e.person == who))
        for who in sorted({*mine, *theirs}) or [""]
    ]
