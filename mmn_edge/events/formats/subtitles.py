"""Events as subtitles, so that any player shows them: WebVTT (https://www.w3.org/TR/webvtt1/) and SubRip.

Written for players; read back is what was written here. Times are whole milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from mmn_edge.errors import DataError
from mmn_edge.events.formats.options import milliseconds
from mmn_edge.events.formats.text import placed, read_text
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.system.files import atomic_file

__all__ = ["read_subrip", "read_webvtt", "write_subrip", "write_webvtt"]

_TIMING = re.compile(
    r"\s*(-?)(?:(\d{2,}):)?(\d\d):(\d\d)[.,](\d{3})\s+-->\s+(-?)(?:(\d{2,}):)?(\d\d):(\d\d)[.,](\d{3})(\s.*)?"
)


def write_webvtt(path: Path, annotations: AnnotationSet) -> None:
    """Write one recording's events, one cue each; the person is its voice. Whole or not at all."""
    blocks = ["WEBVTT"]
    for entry in annotations.intervals:
        text = _escaped(entry.label)
        if entry.person:
            text = f"<v {_escaped(entry.person)}>{text}</v>"
        blocks.append(f"{_timing(entry, '.')}\n{text}")
    _write(path, blocks)


def read_webvtt(path: Path) -> AnnotationSet:
    """Read cues of one class each, with the person as their voice.

    Raises:
        DataError: It is no WebVTT, or a cue's timing or text is none.
    """
    text = read_text(path)
    if not re.match(r"WEBVTT(\s|$)", text):
        raise DataError(f"{path} is no WebVTT: its first line must be WEBVTT")
    intervals = []
    for where, start, end, words in _cues(path, text):
        voice = re.fullmatch(r"<v(?:\.\S+)? ([^>]+)>(.*?)(?:</v>)?", words)
        person, label = (voice[1], voice[2]) if voice else ("", words)
        with placed(where):
            intervals.append(Interval(path.stem, start, end, unescape(label).strip(), unescape(person).strip()))
    return _set(path, intervals)


def write_subrip(path: Path, annotations: AnnotationSet) -> None:
    """Write one recording's events, one subtitle each: ``person: label``. Whole or not at all."""
    blocks = []
    for number, entry in enumerate(annotations.intervals, start=1):
        text = f"{entry.person}: {entry.label}" if entry.person else entry.label
        blocks.append(f"{number}\n{_timing(entry, ',')}\n{text}")
    _write(path, blocks)


def read_subrip(path: Path) -> AnnotationSet:
    """Read subtitles of one class each, with or without the person before it.

    Raises:
        DataError: A timing or text is none.
    """
    intervals = []
    for where, start, end, words in _cues(path, read_text(path)):
        person, colon, label = words.partition(": ")
        if not colon:
            person, label = "", words
        with placed(where):
            intervals.append(Interval(path.stem, start, end, label.strip(), person.strip()))
    return _set(path, intervals)


def _cues(path: Path, text: str) -> Iterator[tuple[str, float, float, str]]:
    lines = [*text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""]
    number = 0
    while number < len(lines):
        if "-->" not in lines[number]:
            number += 1
            continue
        where = f"{path}, line {number + 1}"
        match = _TIMING.fullmatch(lines[number])
        if match is None:
            raise DataError(f"{where} is no timing such as 00:01:02.500 --> 00:01:04.000: {lines[number][:60]!r}")
        words = []
        number += 1
        while lines[number].strip():
            words.append(lines[number].strip())
            number += 1
        yield where, _seconds(*match.group(1, 2, 3, 4, 5)), _seconds(*match.group(6, 7, 8, 9, 10)), " ".join(words)


def _seconds(sign: str, hours: str | None, minutes: str, seconds: str, thousandths: str) -> float:
    total = ((int((hours or "0")[:12]) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(thousandths)
    return (-total if sign else total) / 1000


def _set(path: Path, intervals: list[Interval]) -> AnnotationSet:
    return AnnotationSet(tuple(intervals), empty=frozenset() if intervals else frozenset({path.stem}))


def _timing(entry: Interval, mark: str) -> str:
    texts = []
    for time in milliseconds(entry):
        seconds, thousandths = divmod(time, 1000)
        texts.append(f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{thousandths:03d}")
    return " --> ".join(texts)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _write(path: Path, blocks: list[str]) -> None:
    with atomic_file(path) as partial:
        partial.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
