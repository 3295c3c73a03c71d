"""What a stream of skeletons counts, and says of it in a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

__all__ = ["Notes", "StreamCounts"]


@dataclass
class StreamCounts:
    """Counted on the network's thread; whoever reads may be a message behind.

    Attributes:
        frames: Frames taken.
        bad: Messages that are no frames.
        late: Frames that came after later ones, and were left out.
        duplicates: Frames that came twice, and were left out.
        lost: Frames that never came, by the sequence numbers.
        clock_steps: How often the sender's clock jumped.
        too_fast: Messages beyond the rate that is taken, left out unread.
        refused: Connections turned away or ended by us.
        senders: How often a sender began to send.
    """

    frames: int = 0
    bad: int = 0
    late: int = 0
    duplicates: int = 0
    lost: int = 0
    clock_steps: int = 0
    too_fast: int = 0
    refused: int = 0
    senders: int = 0

    def to_dict(self) -> dict[str, int]:
        """As JSON-ready values."""
        return asdict(self)

    @property
    def text(self) -> str | None:
        """What went wrong, in a sentence; None where nothing did."""
        words = {
            "bad": "messages that are no frames",
            "late": "frames too late",
            "duplicates": "frames that came twice",
            "lost": "frames lost on the way",
            "clock_steps": "steps of the sender's clock",
            "too_fast": "messages too many in a second",
            "refused": "connections refused or ended",
        }
        said = [f"{count} {words[key]}" for key, count in self.to_dict().items() if count and key in words]
        return ", ".join(said) or None


class Notes:
    """Says each kind of trouble at once when it comes up, and then at most once a minute.

    Args:
        tell: Is told in a sentence.
        every: Seconds between two notes of a kind.
    """

    def __init__(self, tell: Callable[[str], None], every: float = 60.0) -> None:
        self._tell = tell
        self._every = every
        self._said: dict[str, float] = {}
        self._kept: dict[str, int] = {}

    def say(self, kind: str, text: str) -> None:
        """Say it, unless its kind was said a short while ago."""
        now = time.monotonic()
        if now - self._said.get(kind, -self._every) < self._every:
            self._kept[kind] = self._kept.get(kind, 0) + 1
            return
        more = self._kept.pop(kind, 0)
        self._said[kind] = now
        self._tell(text + (f" (and {more} more like it since)" if more else ""))
