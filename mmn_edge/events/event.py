"""An event, as the decoder says it: what somebody does, from when to when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """What is known of an event at a moment.

    Attributes:
        kind: ``start``, ``update`` or ``end``.
        id: Stays the same from its start to its end; no other event of the stream has it.
        person: The person's id.
        label: The class; of a fallback the body-level group.
        group: The body-level group; None where the model has none.
        level: ``class``, or ``group`` where the group is sure and no class of it is.
        onset: Seconds in the stream; final from the start on.
        offset: Seconds; until the end what is known so far.
        peak: The highest smoothed probability.
        score: The mean of the smoothed probability.
        seen: Mean share of joints that were really seen.
        time: Seconds in the stream when this was said.
        emitted: Seconds in the stream when its start was said.
        source: The name of the stream among several.
        age_ms: Milliseconds from when the frame that made it was captured, or was due, until it was said; None where
            the stream is read rather than lived through.
        utc: The moment ``time`` by the wall clock, ISO 8601; None likewise.
    """

    kind: str
    id: str
    person: int
    label: str
    group: str | None
    level: str
    onset: float
    offset: float
    peak: float
    score: float
    seen: float
    time: float
    emitted: float
    source: str = ""
    age_ms: float | None = field(default=None, compare=False)
    utc: str | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "type": "event",
            "kind": self.kind,
            **({"source": self.source} if self.source else {}),
            "id": self.id,
            "time": round(self.time, 6),
            "emitted": round(self.emitted, 6),
            "person": self.person,
            "label": self.label,
            "group": self.group,
            "level": self.level,
            "onset": round(self.onset, 6),
            "offset": round(self.offset, 6),
            "peak": round(self.peak, 6),
            "score": round(self.score, 6),
            "seen": round(self.seen, 6),
            **({} if self.age_ms is None else {"age_ms": round(self.age_ms, 1)}),
            **({} if self.utc is None else {"utc": self.utc}),
        }
