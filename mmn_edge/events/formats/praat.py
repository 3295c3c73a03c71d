"""Praat's ``.TextGrid`` (https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html), long and short text form.

Written is one interval tier for each person and class, ``person/label``. A tier has no gaps: where nothing happens its
text is empty. A reader of our own: praatio drops the sign of negative times, and ends at a line that it does not
understand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from mmn_edge.errors import DataError
from mmn_edge.events.formats.options import Reading, tier_label, tier_name
from mmn_edge.events.formats.text import placed, read_text
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.system.files import atomic_file

__all__ = ["read_textgrid", "write_textgrid"]

SLACK = 1e-9
"""Seconds by which neighbours may overlap: sums of decimal fractions do."""

# Praat reads free-standing texts, numbers and flags; words, brackets and what follows "!" are for people.
_TOKEN = re.compile(r'"(?:[^"]|"")*"(?=\s|$)|<\w+>|[^\s"]\S*|"')
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_textgrid(path: Path, options: Reading) -> AnnotationSet:
    """Read the annotations of the recording of the file's name.

    Raises:
        DataError: It is no TextGrid, or its intervals overlap or are in disorder.
    """
    tokens = _Tokens(path, read_text(path, utf16=True))
    if tokens.text() not in ("ooTextFile", "ooTextFile short") or tokens.text() != "TextGrid":
        raise DataError(
            f'{path} is no TextGrid: it must begin with File type = "ooTextFile", Object class = "TextGrid"'
        )
    tokens.number()
    tokens.number()
    tiers = tokens.count() if tokens.flag() == "<exists>" else 0
    intervals, notes, names = [], [], []
    for _ in range(tiers):
        kind, name = tokens.text(), tokens.text()
        tokens.number()
        tokens.number()
        count = tokens.count()
        names.append(name)
        wanted = options.wants(name)
        if kind == "TextTier":
            for _ in range(count):
                tokens.number()
                tokens.text()
            if wanted and count:
                notes.append(f"{path}: the {count} points of tier {name!r} have no length and were left out")
            continue
        if kind != "IntervalTier":
            raise DataError(f"{path}: tier {name!r} is of an unknown kind, {kind!r}")
        entries = [(tokens.number(), tokens.number(), tokens.text().strip()) for _ in range(count)]
        if wanted:
            intervals += _intervals(path, name, entries, options)
            if not any(value for _, _, value in entries):
                notes.append(f"{path}: tier {name!r} is empty")
    tokens.end()
    if options.tiers and not any(map(options.wants, names)):
        raise DataError(f"{path} has no tier {' or '.join(options.tiers)}: it has {', '.join(names) or 'none'}")
    empty = frozenset() if intervals else frozenset({path.stem})
    return AnnotationSet(tuple(intervals), empty=empty, notes=tuple(notes))


def write_textgrid(path: Path, annotations: AnnotationSet) -> None:
    """Write the annotations of one recording in the long form, whole or not at all.

    It ends with the recording where ``recordings.csv`` says how long that is, else with the last interval.
    """
    tiers: dict[str, list[Interval]] = {}
    owners: dict[str, tuple[str, str]] = {}
    for entry in annotations.intervals:
        owner = (entry.person, entry.label)
        base = name = tier_name(*owner)
        number = 1
        while name in tiers and (owners[name] != owner or tiers[name][-1].end > entry.start):
            number += 1
            name = f"{base} ({number})"
        owners[name] = owner
        tiers.setdefault(name, []).append(entry)
    known = [max(r.duration_s or 0.0, *(r.watched or (0.0,))) for r in annotations.recordings.values()]
    length = max([*(entry.end for entry in annotations.intervals), *known], default=0.0) or 1.0
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {_decimal(length)}",
        "tiers? <exists>",
        f"size = {max(len(tiers), 1)}",
        "item []:",
    ]
    for number, (name, entries) in enumerate((tiers or {"events": []}).items(), start=1):
        filled = _filled(entries, length)
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {_decimal(length)}",
            f"        intervals: size = {len(filled)}",
        ]
        for place, (start, end, text) in enumerate(filled, start=1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {_decimal(start)}",
                f"            xmax = {_decimal(end)}",
                f"            text = {_quoted(text)}",
            ]
    with atomic_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _filled(entries: Sequence[Interval], length: float) -> list[tuple[float, float, str]]:
    """Intervals without gaps from 0 to ``length``."""
    filled: list[tuple[float, float, str]] = []
    at = 0.0
    for entry in entries:
        if entry.start > at:
            filled.append((at, entry.start, ""))
        filled.append((entry.start, entry.end, entry.label))
        at = entry.end
    if at < length:
        filled.append((at, length, ""))
    return filled


def _intervals(path: Path, tier: str, entries: Sequence[tuple[float, float, str]], options: Reading) -> list[Interval]:
    found: list[Interval] = []
    at = -1.0
    for start, end, value in entries:
        if start < at - SLACK:
            raise DataError(
                f"{path}: tier {tier!r}: the interval from {start:g} s begins before the one before it ends"
            )
        at = end
        if value:
            label, person = tier_label(tier.strip(), " ".join(value.split()), options)
            with placed(f"{path}: tier {tier!r}"):
                found.append(Interval(path.stem, start, end, label, person))
    return found


def _decimal(number: float) -> str:
    """Without an exponent, which not every reader knows."""
    text = repr(float(number))
    return text.removesuffix(".0") if "e" not in text else f"{number:.20f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


class _Tokens:
    """A file's free-standing texts, numbers and flags, one after the other."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._at = 0

    def _next(self, wanted: str) -> str:
        while match := _TOKEN.search(self._text, self._at):
            self._at = match.end()
            token = match[0]
            if token.startswith("!"):
                line_end = self._text.find("\n", match.start())
                self._at = line_end if line_end >= 0 else len(self._text)
                continue
            is_text = token.startswith('"')
            if is_text and (len(token) < 2 or not token.endswith('"')):
                raise self._broken("has a text whose quotes do not close", match.start())
            if is_text or token.startswith("<") or _NUMBER.fullmatch(token):
                kind = "a text" if is_text else "a flag" if token.startswith("<") else "a number"
                if kind != wanted:
                    raise self._broken(f"has {kind} ({token[:40]}) where {wanted} is due", match.start())
                return token
        raise DataError(f"{self._path} ends too early: {wanted} is due")

    def _broken(self, what: str, at: int) -> DataError:
        return DataError(f"{self._path}, line {self._text.count(chr(10), 0, at) + 1} {what}")

    def text(self) -> str:
        return self._next("a text")[1:-1].replace('""', '"')

    def number(self) -> float:
        value = float(self._next("a number"))
        if not math.isfinite(value):
            raise self._broken("has a number that is too large", self._at - 1)
        return value

    def count(self) -> int:
        value = self.number()
        if value < 0 or not value.is_integer():
            raise self._broken(f"has {value:g} where a count is due", self._at - 1)
        return int(value)

    def flag(self) -> str:
        return self._next("a flag")

    def end(self) -> None:
        """Refuse further intervals: the file says that it has fewer than it holds."""
        for match in _TOKEN.finditer(self._text, self._at):
            if match[0].startswith('"') or _NUMBER.fullmatch(match[0]):
                raise self._broken("holds more than the counts before it say", match.start())
