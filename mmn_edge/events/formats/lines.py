"""Events as ``mmn-edge run --json`` prints them: JSON Lines with ``"type": "event"``. They are read only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmn_edge.errors import DataError
from mmn_edge.events.formats.text import placed, read_text
from mmn_edge.events.interval import AnnotationSet, Interval, group_label

__all__ = ["EMITTED", "read_lines"]

EMITTED = "emitted"
"""The column that holds the stream time at which an event was first said."""


def read_lines(path: Path) -> AnnotationSet:
    """Read the events that have ended; predictions among them are left out.

    The recording is called as the ``source`` of a line, or else as the file. An event whose end is missing, as where a
    stream was cut off, lasts as long as was last said.

    Raises:
        DataError: A line is no JSON, or no event.
    """
    last: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    emitted: dict[tuple[str, str], str] = {}
    predictions = 0
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"{where} is no JSON: mmn-edge run --json prints one event a line") from None
        kind = values.get("type") if isinstance(values, dict) else None
        if kind == "prediction":
            predictions += 1
            continue
        if kind != "event":
            what = "is a frame of a recording" if isinstance(values, dict) and "persons" in values else "is no event"
            raise DataError(f'{where} {what}: events have "type": "event", as mmn-edge run --json prints them')
        key = (str(values.get("source") or ""), str(values.get("id")))
        emitted.setdefault(key, f"{values.get('emitted', values.get('time', ''))}")
        last[key] = (number, values)
    if predictions and not last:
        raise DataError(f"{path} holds predictions and no events: mmn-edge run --emit events prints events")
    intervals, open_ = [], 0
    for key, (number, values) in last.items():
        open_ += values.get("kind") != "end"
        with placed(f"{path}, line {number}"):
            intervals.append(_interval(values, Path(key[0]).stem or path.stem, emitted[key]))
    notes = (f"{path}: {open_} events had not ended and last as long as was last said",) if open_ else ()
    return AnnotationSet(tuple(intervals), empty=frozenset() if intervals else frozenset({path.stem}), notes=notes)


def _interval(values: dict[str, Any], recording: str, emitted: str) -> Interval:
    numbers = []
    for name in ("onset", "offset", "score"):
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f'"{name}" must be a number, not {value!r}')
        numbers.append(float(value))
    label = values.get("label")
    if not isinstance(label, str):
        raise DataError(f'"label" must be the name of a class, not {label!r}')
    onset, offset, score = numbers
    return Interval(
        recording,
        onset,
        max(offset, onset + 1e-6),  # said at once, and never again
        group_label(label) if values.get("level") == "group" else label,
        str(values.get("person", "")),
        score,
        extra=((EMITTED, emitted),) if emitted else (),
    )
