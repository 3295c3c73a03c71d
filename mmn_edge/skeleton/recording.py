"""Skeleton recordings: JSON Lines, one frame a line. The format is documented in ``docs/reference/recordings.md``.

.. code-block:: json

    {"time": 0.033, "layout": "ma52", "persons": [{"id": 0, "keypoints": [[312.5, 90.25], null], "scores": [0.9, 0]}]}

``keypoints`` has one entry a joint of the layout: its coordinates, or null where the joint was not seen. ``scores`` may
be left out (1 for every joint seen); where they are no confidences from 0 to 1, a frame says as ``score_scale`` what
they are divided by. Where coordinates do not grow along the layout's axes, a frame says as ``axes`` where they do
(:mod:`mmn_edge.skeleton.axes`), and is turned. Numbers are written so that float32 values come back bit for bit.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from mmn_edge.errors import DataError, LayoutError, TruncatedError
from mmn_edge.skeleton import axes, layouts
from mmn_edge.skeleton.frame import FloatArray, Frame, Person
from mmn_edge.skeleton.missing import ScoreScale, check_score_names, split_confidence, unit_scores

__all__ = [
    "MAX_LINE",
    "MAX_PERSONS",
    "as_float32",
    "format_frame",
    "parse_frame",
    "parse_values",
    "read_frames",
    "write_frames",
]

MAX_LINE = 4 * 1024 * 1024
"""Characters of a line at most: a frame of 16 persons with 543 joints in 3-D takes under 0.5 million."""

MAX_PERSONS = 64

MAX_RUNS = 1024
"""Calls of the model between two frames, at most."""

MAX_NAME = 64
"""Characters of a layout's name."""

MAX_TIME = 1e11
"""Seconds: the year 5138. Larger numbers are milliseconds or nanoseconds."""

MAX_ID = 2**63 - 1

MAX_COORDINATE = 1e30
"""Of any unit; beyond it, differences no longer fit into float32."""


def format_frame(frame: Frame) -> str:
    """One line of a recording, without the line break."""
    persons = [
        f'{{"id": {person.id}, "keypoints": {_points(person.keypoints)}, '
        f'"scores": {json.dumps(_shortest(person.scores).tolist())}}}'
        for person in frame.persons
    ]
    runs = "" if frame.runs is None else f', "runs": {json.dumps(frame.runs)}'
    tracked = "" if frame.tracked else ', "tracked": false'
    return (
        f'{{"time": {float(frame.time)!r}, "layout": {json.dumps(frame.layout)}{tracked}, '
        f'"persons": [{", ".join(persons)}]{runs}}}'
    )


def read_frames(file: TextIO, *, origin: str) -> Iterator[Frame]:
    """Read a recording frame by frame; empty lines are skipped.

    Args:
        file: An open text file or pipe; it is read no further than the frame yielded.
        origin: How errors name it.

    Raises:
        DataError: A line is no frame, or time runs backwards; the message gives the line's number.
        TruncatedError: The last line breaks off.
    """
    last = -math.inf
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        where = f"{origin}, line {number}"
        if len(line) > MAX_LINE:
            raise DataError(f"{where} is longer than {MAX_LINE} characters: a recording has one frame a line")
        if number == 1:
            line = line.removeprefix("\ufeff")  # the mark that editors on Windows put before UTF-8
        if not line.strip():
            continue
        try:
            frame = parse_frame(line, where=where)
        except DataError as error:
            if line.endswith("\n") or not isinstance(error.__cause__, ValueError) or number == 1:
                raise
            raise TruncatedError(
                f"{where} breaks off: the recording ends early, and what came before was read"
            ) from error
        if frame.time < last:
            raise DataError(f"{where}: time runs backwards, from {last} s to {frame.time} s")
        last = frame.time
        yield frame


def parse_frame(line: str, *, where: str) -> Frame:
    """Parse one line of a recording.

    Raises:
        DataError: It is not JSON, or no frame; ``where`` begins the message.
        LayoutError: Its layout is unknown.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}): a recording has one frame a line") from error
    return parse_values(values, where=where)


def parse_values(values: object, *, where: str) -> Frame:
    """The frame that decoded JSON or MessagePack stands for; all that comes from outside is checked here.

    Raises:
        DataError: It is no frame; ``where`` begins the message.
        LayoutError: Its layout is unknown.
    """
    if not isinstance(values, dict) or not isinstance(values.get("persons"), list):
        raise DataError(f'{where} is no frame: it needs "time", "layout" and a list of "persons"')
    time = values.get("time")
    if isinstance(time, bool) or not isinstance(time, int | float) or not abs(time) <= MAX_TIME:
        raise DataError(f'{where}: "time" must be a number of seconds, not {_short(time)}')
    name = values.get("layout")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise DataError(f'{where}: "layout" must name a skeleton layout, not {_short(name)}')
    if len(values["persons"]) > MAX_PERSONS:
        raise DataError(f"{where} holds {len(values['persons'])} persons; at most {MAX_PERSONS} are accepted")
    try:
        layout = layouts.get(name)
    except LayoutError as error:
        raise LayoutError(f"{where}: {error}") from None
    scale = ScoreScale.declared(values["score_scale"], where) if "score_scale" in values else None
    along = axes.declared(values["axes"], where) if "axes" in values else None
    persons = tuple(_parse_person(person, layout, scale, along, where) for person in values["persons"])
    tracked = values.get("tracked", True)
    if not isinstance(tracked, bool):
        raise DataError(f'{where}: "tracked" must be true or false, not {_short(tracked)}')
    if len(persons) > 1 and not any("id" in person for person in values["persons"]):
        persons = tuple(replace(person, id=number) for number, person in enumerate(persons))
        tracked = False
    ids = [person.id for person in persons]
    if len(set(ids)) != len(ids):
        raise DataError(f"{where}: two persons have the same id ({ids})")
    runs = _parse_runs(values["runs"], where) if "runs" in values else None
    return Frame(float(time), name, persons, runs, tracked)


def _parse_runs(values: Any, where: str) -> tuple[tuple[int, ...], ...]:
    """Which persons' windows a live run gave to the model, call by call."""
    fits = isinstance(values, list) and len(values) <= MAX_RUNS and all(isinstance(call, list) for call in values)
    if not fits or not all(type(person) is int for call in values for person in call):
        raise DataError(f'{where}: "runs" must be a list of lists of the ids of persons, not {reprlib.repr(values)}')
    return tuple(tuple(call[:MAX_PERSONS]) for call in values)


def _parse_person(
    values: Any, layout: layouts.Layout, scale: ScoreScale | None, along: axes.Axes | None, where: str
) -> Person:
    if not isinstance(values, dict) or not isinstance(values.get("keypoints"), list):
        raise DataError(f'{where}: a person needs an "id" and a list of "keypoints"')
    identity = values.get("id", 0)
    if isinstance(identity, bool) or not isinstance(identity, int) or not abs(identity) <= MAX_ID:
        raise DataError(f'{where}: "id" must be a whole number of 64 bits, not {_short(identity)}')
    points = values["keypoints"]
    if len(points) != layout.num_joints:
        raise DataError(
            f"{where}: person {identity} has {len(points)} keypoints, and layout {layout.name} has "
            f"{layout.num_joints} joints: name the layout that these keypoints are in"
        )
    channels = next((len(point) for point in points if isinstance(point, list)), layout.channels)
    if channels not in (2, 3):
        raise DataError(f"{where}: a keypoint has 2 or 3 coordinates, not {channels}")
    unseen = [math.nan] * channels
    rows = [unseen if point is None else point for point in points]
    if not all(isinstance(row, list) and len(row) == channels for row in rows):
        raise DataError(f"{where}: a keypoint is not a list of {channels} numbers")
    try:
        keypoints = as_float32([number for row in rows for number in row]).reshape(len(rows), channels)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: a keypoint is not a list of {channels} numbers") from error
    seen = np.array([point is not None for point in points])
    broken = np.flatnonzero(seen & ~(np.abs(keypoints) <= MAX_COORDINATE).all(axis=1))
    if len(broken):
        raise DataError(
            f"{where}: person {identity}, joint {broken[0]} ({layout.joints[broken[0]]}) is NaN or infinite: "
            "write null for a joint that was not seen"
        )
    check_score_names(values, "scores", f"{where}: person {identity}")
    scores = _parse_scores(values.get("scores"), seen, scale, where)
    if channels > layout.channels:
        keypoints, scores = split_confidence(keypoints, scores, f"{where}: person {identity}")
    if along is not None:
        keypoints = _turned(keypoints, along, layout, where)
    keypoints[scores == 0] = np.nan
    return Person(identity, keypoints, scores)


def _parse_scores(
    values: Any, seen: np.ndarray[Any, np.dtype[np.bool_]], scale: ScoreScale | None, where: str
) -> FloatArray:
    if values is None:
        return seen.astype(np.float32)
    try:
        scores = as_float32(values if isinstance(values, list) else [values])
    except (ValueError, OverflowError) as error:
        raise DataError(f'{where}: "scores" must be a list of numbers, one a joint') from error
    if scores.shape != seen.shape or not np.isfinite(scores).all() or (scores < 0).any():
        raise DataError(f'{where}: "scores" must hold {len(seen)} numbers that are not negative, one a joint')
    return unit_scores(np.where(seen, scores, np.float32(0)), where, scale)


def _turned(keypoints: FloatArray, along: axes.Axes, layout: layouts.Layout, where: str) -> FloatArray:
    """Keypoints ``(V, C)`` that grow along other axes than the layout's, along those of the layout."""
    channels = keypoints.shape[1]
    want = layout.axes_of(channels)
    try:
        if len(along) == channels:
            return axes.turned(keypoints, along, want)
    except ValueError:
        pass
    raise DataError(f"{where}: its keypoints have {channels} coordinates ({', '.join(want)}), not {', '.join(along)}")


def as_float32(values: list[Any]) -> FloatArray:
    """Numbers as float32, infinite where they are too large; ValueError for anything else.

    NumPy alone would take text and booleans as well, and give every item of a list the room of its longest text.
    """
    if not {float, int}.issuperset(map(type, values)):
        raise ValueError("not only numbers")
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64).astype(np.float32)


def _short(value: object) -> str:
    """Anything, in a few characters: a stream from the network may have sent megabytes."""
    return reprlib.repr(value)


def _points(keypoints: FloatArray) -> str:
    seen = np.isfinite(keypoints).all(axis=-1).tolist()
    rows = _shortest(keypoints).tolist()
    return json.dumps([row if there else None for row, there in zip(rows, seen, strict=True)])


def _shortest(values: FloatArray) -> npt.NDArray[np.float64]:
    """The decimal numbers of the fewest digits, 6 to 9, that parse to these float32; as Python writes them."""
    exact = values.astype(np.float64)
    size = np.abs(exact)
    usual = (size > 1e-20) & (size < 1e20)
    places = np.floor(np.log10(size, out=np.zeros_like(size), where=usual))
    found = exact.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        for digits in (9, 8, 7, 6):
            power = digits - 1 - places
            scale = 10.0 ** np.abs(power)
            rounded = np.where(power >= 0, np.rint(exact * scale) / scale, np.rint(exact / scale) * scale)
            np.copyto(found, rounded, where=usual & (rounded.astype(np.float32) == values))
    return found


def write_frames(file: TextIO, frames: Iterable[Frame]) -> int:
    """Write frames as lines, each complete before the next begins; returns how many."""
    count = 0
    for frame in frames:
        file.write(format_frame(frame) + "\n")
        count += 1
    return count
