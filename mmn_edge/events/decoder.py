"""From probabilities, window by window, to events: what began when, and ended when.

A class begins where its smoothed probability reaches ``enter`` and ends where it falls below ``leave``. Breaks shorter
than ``merge_gap`` do not end it, what is shorter than ``min_duration`` never was, and of an exclusive set the likeliest
goes on. The crossings are interpolated between two predictions, and moved back by what a window lags behind
(``onset_lag``, ``offset_lag``).

Live and offline are one code: offline only smooths with the future as well as the past.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.events.event import Event
from mmn_edge.events.parameters import ClassParameters, DecoderParameters, shifted
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window

__all__ = ["UPDATE_SECONDS", "Decoder", "Event", "decode"]

UPDATE_SECONDS = 1.0
"""A running event is reported again after so long."""

_SLACK = 1e-6
_NEVER = np.inf

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Decoder:
    """Turns one stream's predictions into events, person by person.

    Args:
        labels: The model's classes, in the order of its probabilities.
        parameters: What to decide by.
        task: ``classify`` (probabilities are a softmax) or ``detect`` (sigmoids).
        window: The live window. A person of whom nothing was known for half of it is gone.

    Raises:
        UsageError: The parameters name a class that the model does not have.
    """

    def __init__(self, labels: Labels, parameters: DecoderParameters, task: str, window: Window) -> None:
        parameters.check(labels)
        self._table = _Table(labels, parameters, task)
        self._window = window
        self._parameters = parameters
        self._tracks: dict[int, _Track] = {}
        self._begun = 0

    def feed(
        self,
        time: float,
        person: int,
        probabilities: npt.NDArray[Any],
        seen: float = 1.0,
        present: Container[int] = (),
    ) -> list[Event]:
        """Take one prediction and return what it began, went on with or ended.

        Args:
            time: Seconds of the window's last frame, not before the person's last prediction.
            person: Whose.
            probabilities: ``(K,)``.
            seen: Share of joints that were really seen in the window.
            present: As for :meth:`advance`.
        """
        events = self.advance(time, present)
        values = np.asarray(probabilities, dtype=np.float64)
        if seen < self._parameters.min_seen or not np.isfinite(values).all():
            return events
        track = self._tracks.get(person)
        if track is None:
            track = self._tracks[person] = _Track(self._table, person, time - self._window.seconds)
        return events + self._step(track, time, self._table.extended(values), seen)

    def advance(self, time: float, present: Container[int] = ()) -> list[Event]:
        """Learn that the stream has come to ``time``: who was not seen for half a window ends what they did.

        Args:
            time: Seconds.
            present: Persons who are seen, although nothing was predicted of them for lack of time.
        """
        longest = max(self._window.max_gap, 2 * self._window.stride) + _SLACK
        gone = [key for key, track in self._tracks.items() if time - track.time > longest and key not in present]
        return [event for key in gone for event in self.leave(key, time)]

    def leave(self, person: int, time: float | None = None) -> list[Event]:
        """End what a person does, at their last prediction; they are gone."""
        track = self._tracks.pop(person, None)
        if track is None:
            return []
        now = track.time if time is None else time
        # What fell already has ended there; the rest went on to the last moment.
        return [
            track.end(k, track.falls[k] if track.falls[k] < _NEVER else None, now) for k in np.flatnonzero(track.active)
        ]

    def finish(self) -> list[Event]:
        """End what is still going on at the stream's end."""
        return [event for person in list(self._tracks) for event in self.leave(person)]

    def _step(self, track: _Track, time: float, values: Array, seen: float) -> list[Event]:
        table, before, was = self._table, track.smooth, track.time
        if track.first:
            before, was, smooth = values, time, values
        else:
            smooth = before + (1.0 - np.exp((was - time) / table.smoothing)) * (values - before)
        track.smooth, track.time, track.first = smooth, time, False
        high, low = smooth >= table.enter, smooth < table.leave
        alive = track.rises < _NEVER
        if not (high.any() or alive.any()):
            return []
        leads, displaced = table.compete(smooth, high, track.active)

        # Candidates: from the crossing on, until they have lasted long enough or are gone.
        fresh = high & leads & table.wanted & ~alive & (time >= track.blocked)
        if fresh.any():
            rise = was + _crossing(before, smooth, table.enter) * (time - was)
            track.rises[fresh] = rise[fresh]
        track.count(smooth, seen, fresh)
        candidates = ~track.active & (track.rises < _NEVER)
        fall = np.full(len(smooth), time)
        if (low & (track.rises < _NEVER)).any():
            fall = np.where(low, was + _crossing(before, smooth, table.leave) * (time - was), time)
        lasted = fall - track.rises + table.shorter
        starting = candidates & (leads | low) & (lasted >= table.min_duration - _SLACK)
        track.rises[candidates & (low | ~leads) & ~starting] = _NEVER

        # Running ones: a fall counts when it was not taken back for a while.
        falling = (track.active | starting) & (low | displaced) & (track.falls == _NEVER)
        track.falls[falling] = fall[falling]
        track.falls[track.active & high & ~displaced] = _NEVER
        over = track.active & ((time - track.falls >= table.merge_gap - _SLACK) | displaced)
        events = [track.end(int(k), float(track.falls[k]), time) for k in np.flatnonzero(over)]
        for k in np.flatnonzero(starting):
            self._begun += 1
            events.append(track.start(int(k), f"{track.person}.{self._begun}", time))
        due = track.active & (time - track.told >= UPDATE_SECONDS - _SLACK)
        return events + [track.say("update", int(k), time) for k in np.flatnonzero(due)]


class _Table:
    """The parameters as arrays over the K classes and, after them, the G groups that stand in for unsure classes."""

    def __init__(self, labels: Labels, parameters: DecoderParameters, task: str) -> None:
        self.labels = labels
        self.classes = len(labels)
        groups = labels.groups if parameters.group is not None else ()
        own = [parameters.of(label) for label in labels.classes] + [parameters.group or ClassParameters()] * len(groups)
        columns = {entry.name: np.array([getattr(one, entry.name) for one in own]) for entry in fields(ClassParameters)}
        move = np.vectorize(lambda value: shifted(value, parameters.sensitivity), otypes=[np.float64])
        self.enter, self.leave = move(columns["enter"]), move(columns["leave"])
        self.smoothing = np.maximum(columns["smoothing"], 1e-9)
        self.min_duration, self.merge_gap = columns["min_duration"], columns["merge_gap"]
        self.cooldown = columns["cooldown"]
        self.onset_lag, self.offset_lag = columns["onset_lag"], columns["offset_lag"]
        self.shorter = self.onset_lag - self.offset_lag  # an event lasts so much longer than its crossings are apart
        self.margin = parameters.switch_margin

        names = labels.classes
        chosen = [(not parameters.allow or n in parameters.allow) and n not in parameters.deny for n in names]
        chosen = [yes and name != parameters.rest for yes, name in zip(chosen, names, strict=True)]
        members = [
            [k for k in range(len(names)) if labels.class_groups[k] == g and names[k] != parameters.rest]
            for g in range(len(groups))
        ]
        # A group with nothing that is wanted has nothing to stand in for.
        self.wanted: Mask = np.array(chosen + [any(chosen[k] for k in group) for group in members])
        self.names = (*names, *groups)
        self._sets = _Sets(_exclusive_sets(labels, parameters.exclusive))
        filled = [g for g, group in enumerate(members) if group]
        self._groups = np.array(filled, dtype=np.int64) + self.classes
        self._members = _Sets([members[g] for g in filled])
        self._together = np.add if task == "classify" else np.maximum
        self._unlikely = 1e-12 * np.arange(len(self.names))  # of equals the first one leads

    def extended(self, values: Array) -> Array:
        """Probabilities ``(K,)`` with those of the groups after them: the sum of a softmax, the highest of sigmoids."""
        if len(self.names) == self.classes:
            return values
        whole = np.zeros(len(self.names))
        whole[: self.classes] = values
        if len(self._groups):
            whole[self._groups] = self._members.reduce(self._together, whole)
        return whole

    def compete(self, smooth: Array, high: Mask, active: Mask) -> tuple[Mask, Mask]:
        """Which entries lead their exclusive set, and which running ones another has taken the place of."""
        strength = smooth + self.margin * active - self._unlikely
        strength[~self.wanted] = -1.0
        sets = self._sets
        leads = np.ones(len(smooth), dtype=bool)
        displaced = np.zeros(len(smooth), dtype=bool)
        if len(sets.order):
            leads[sets.order] = strength[sets.order] >= sets.reduce(np.maximum, strength)[sets.number]
            displaced[sets.order] = sets.reduce(np.logical_or, high & leads)[sets.number]
            displaced &= ~leads
        if len(self._groups):
            known = self._members.reduce(np.logical_or, high[: self.classes] | active[: self.classes])
            leads[self._groups] = ~known
            displaced[self._groups] = known
        return leads, displaced


class _Sets:
    """Disjoint sets of indices, so that one call reduces all of them."""

    def __init__(self, sets: Sequence[Sequence[int]]) -> None:
        self.order = np.array([k for one in sets for k in one], dtype=np.int64)
        self.number = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
        self._starts = np.cumsum([0, *(len(one) for one in sets)])[:-1]

    def reduce(self, function: np.ufunc, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """``function`` over the values of each set, ``(number of sets,)``."""
        reduced: npt.NDArray[Any] = function.reduceat(values[self.order], self._starts)
        return reduced


class _Track:
    """What is known of one person."""

    def __init__(self, table: _Table, person: int, earliest: float) -> None:
        size = len(table.names)
        self.table, self.person, self.earliest = table, person, earliest
        self.first, self.time = True, earliest
        self.smooth = np.zeros(size)
        self.rises = np.full(size, _NEVER)  # crossing of enter, of candidates and running ones
        self.falls = np.full(size, _NEVER)  # crossing of leave, of running ones that may have ended
        self.blocked = np.full(size, -_NEVER)
        self.active = np.zeros(size, dtype=bool)
        self.told, self.emitted = np.zeros(size), np.zeros(size)
        self.onset, self.ids = np.zeros(size), [""] * size
        self._sums = np.zeros((3, size))  # of smoothed probabilities, of shares seen, count
        self._peak = np.zeros(size)

    def count(self, smooth: Array, seen: float, fresh: Mask) -> None:
        """Add a prediction to the means of what goes on; ``fresh`` begin anew."""
        if fresh.any():
            self._sums[:, fresh] = 0.0
            self._peak[fresh] = 0.0
        on = (self.rises < _NEVER) & (self.falls == _NEVER)
        self._sums[0] += on * smooth
        self._sums[1] += on * seen
        self._sums[2] += on
        np.maximum(self._peak, smooth, out=self._peak, where=on)

    def start(self, k: int, name: str, time: float) -> Event:
        self.active[k], self.ids[k], self.emitted[k] = True, name, time
        self.onset[k] = max(self.rises[k] - self.table.onset_lag[k], self.earliest, 0.0)
        return self.say("start", k, time)

    def end(self, k: int, fall: float | None, time: float) -> Event:
        """End entry ``k`` at a crossing, or at the person's last moment where that is None."""
        event = self.say("end", k, time, self.time if fall is None else fall - self.table.offset_lag[k])
        self.active[k] = False
        self.rises[k] = self.falls[k] = _NEVER
        self.blocked[k] = time + self.table.cooldown[k]
        return event

    def say(self, kind: str, k: int, time: float, offset: float | None = None) -> Event:
        self.told[k] = time
        labels, table = self.table.labels, self.table
        of_class = k < table.classes
        total, seen, count = self._sums[:, k]
        onset = float(self.onset[k])
        if offset is None:
            offset = time - table.offset_lag[k]
        return Event(
            kind=kind,
            id=self.ids[k],
            person=self.person,
            label=table.names[k],
            group=labels.group_of(k) if of_class else table.names[k],
            level="class" if of_class else "group",
            onset=onset,
            offset=max(float(offset), onset + _SLACK),
            peak=float(self._peak[k]),
            score=float(total / count) if count else float(self._peak[k]),
            seen=float(seen / count) if count else 0.0,
            time=time,
            emitted=float(self.emitted[k]),
        )


def decode(
    labels: Labels,
    parameters: DecoderParameters,
    task: str,
    window: Window,
    predictions: Sequence[tuple[float, int, npt.NDArray[Any], float]],
    *,
    look_ahead: bool = True,
) -> Iterator[Event]:
    """Events of a recording that is over.

    Args:
        labels: As for :class:`Decoder`, like the next three.
        parameters: See there.
        task: See there.
        window: See there.
        predictions: Time, person, probabilities ``(K,)`` and share seen of each prediction, in order of time.
        look_ahead: Smooth with the future as well as the past; False gives what a live stream gives.
    """
    decoder = Decoder(labels, parameters, task, window)
    if look_ahead:
        predictions = _smoothed_backwards(labels, parameters, window, predictions)
    for time, person, probabilities, seen in predictions:
        yield from decoder.feed(time, person, probabilities, seen)
    yield from decoder.finish()


def _smoothed_backwards(
    labels: Labels,
    parameters: DecoderParameters,
    window: Window,
    predictions: Sequence[tuple[float, int, npt.NDArray[Any], float]],
) -> list[tuple[float, int, npt.NDArray[Any], float]]:
    """The predictions smoothed from the end: what smooths them forwards next then lags no more behind."""
    constants = np.maximum([parameters.of(label).smoothing for label in labels.classes], 1e-9)
    latest: dict[int, tuple[float, Array]] = {}
    smoothed = list(predictions)
    for index in range(len(predictions) - 1, -1, -1):
        time, person, probabilities, seen = predictions[index]
        values = np.asarray(probabilities, dtype=np.float64)
        if seen < parameters.min_seen or not np.isfinite(values).all():
            continue
        after = latest.get(person)
        if after is not None and after[0] - time <= window.max_gap:
            values = after[1] + (1.0 - np.exp(-(after[0] - time) / constants)) * (values - after[1])
        latest[person] = (time, values)
        smoothed[index] = (time, person, values, seen)
    return smoothed


def _crossing(before: Array, after: Array, level: Array) -> Array:
    """Where between two predictions (0 to 1) a level is crossed; 1 where it is not."""
    change = after - before
    where = np.divide(level - before, change, out=np.ones_like(change), where=change != 0.0)
    crossing: Array = np.minimum(np.maximum(where, 0.0), 1.0)
    return crossing


def _exclusive_sets(labels: Labels, sets: tuple[tuple[str, ...], ...] | None) -> list[list[int]]:
    """Indices of the classes of each exclusive set of two or more."""
    if sets is None:
        numbers = [[k for k, group in enumerate(labels.class_groups) if group == g] for g in range(len(labels.groups))]
    else:
        numbers = [[labels.classes.index(label) for label in one] for one in sets]
    return [one for one in numbers if len(one) > 1]
