"""What is found of clips, said once for all that are alike: 95 lines of one kind must not hide the one of another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["Finding", "counted", "grouped"]


class Finding(str):
    """One thing that was found: a sentence without a full stop, which names the first clip where it is about clips.

    Attributes:
        clips: All clips that it is about.
    """

    clips: tuple[str, ...]

    def __new__(cls, text: str, clips: Iterable[str] = ()) -> Finding:
        """A sentence about ``clips``."""
        finding = super().__new__(cls, text)
        finding.clips = tuple(clips)
        return finding


def grouped(found: Iterable[tuple[str, str]]) -> tuple[Finding, ...]:
    """Sentences about one clip each, ``(clip, sentence)``: those that differ in names and numbers only become one."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for clip, text in found:
        plain, name = (re.sub(r"\d[\d.,]*", "#", part) for part in (text, clip))
        if name:
            plain = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "<clip>", plain)
        groups.setdefault(plain, []).append((clip, text))
    return tuple(
        Finding(
            group[0][1] if len(group) == 1 else f"{len(group)} clips alike, the first: {group[0][1]}",
            tuple(clip for clip, _ in group),
        )
        for group in groups.values()
    )


def counted(clips: Sequence[str], what: str, detail: str = "") -> list[Finding]:
    """``3 clips {what}, such as a{detail}``; nothing where there are no clips."""
    if not clips:
        return []
    number = "1 clip" if len(clips) == 1 else f"{len(clips)} clips"
    return [Finding(f"{number} {what}, such as {clips[0]}{detail}", tuple(clips))]
