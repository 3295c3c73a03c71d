"""Events and predictions in memory, for what looks at them when the stream is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.recognizer import Prediction

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CollectedSink"]


class CollectedSink:
    """Keeps what comes.

    Attributes:
        items: In order.
    """

    name = "memory"
    prompt = True

    def __init__(self) -> None:
        self.items: list[Event | Prediction] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do."""

    def write(self, item: Event | Prediction) -> None:
        """Keep it."""
        self.items.append(item)
