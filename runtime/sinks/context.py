"""What a sink must know of the run that it belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmn_edge.events.decoder import Event
from mmn_edge.model.labels import Labels
from mmn_edge.runtime.counters import Counters
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.server.app import Servers

__all__ = ["SinkContext", "topic_name"]


@dataclass(frozen=True)
class SinkContext:
    """A run, as its sinks see it.

    Attributes:
        labels: The model's classes.
        sources: What the sources are called.
        live: Whether the sources are lived through rather than read from files.
        events: Events are wanted.
        predictions: Predictions are wanted.
        stride: Seconds of the stream between two predictions of a person.
        media: The video that annotations are to be opened with; None where there is none.
        on_note: Told in sentences what the user should know.
        servers: The HTTP servers of the run.
        counters: What the run counts, as it goes on.
        losses: For every sink that may lose something, by its name, what says how much.
    """

    labels: Labels
    sources: tuple[str, ...]
    live: bool = False
    events: bool = True
    predictions: bool = False
    stride: float = 0.25
    media: Path | None = None
    on_note: Callable[[str], None] = lambda text: None
    servers: Servers = field(default_factory=Servers)
    counters: Counters = field(default_factory=Counters)
    losses: dict[str, Callable[[], int]] = field(default_factory=dict)

    def values(self, item: Event | Prediction) -> dict[str, Any]:
        """An event or prediction for other programs: always with its source, and with the time of day when live."""
        values = item.to_dict()
        values.setdefault("source", self.sources[0])
        if self.live and "utc" not in values:
            values["utc"] = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return values


def topic_name(text: str) -> str:
    """A name as a level of topics and part of ids: letters, digits, ``-`` and ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "stream"
