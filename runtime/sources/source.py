"""Where skeletons come from: the protocol that every source follows.

A source is a context manager that yields :class:`Observation` in time order. To add one, write a class that
follows :class:`Source`, most simply by deriving from :class:`BaseSource`, and give it a name in
:func:`mmn_edge.runtime.sources.grammar.open_source`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from mmn_edge.skeleton.frame import Frame

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseSource", "Observation", "Origin", "Source"]

Origin = Literal["capture", "sender", "arrival"]
"""Where the clock of an age starts: when the sensor took the frame, when its sender says that it did, or when the
frame came here."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A frame, and what it cost to get it.

    Attributes:
        frame: The skeletons of this moment.
        latency_ms: Milliseconds spent in each stage up to here, such as ``{"capture": 2.1, "pose": 31.0}``.
        captured: When the frame was captured, or was due, in seconds of :func:`time.monotonic`; None where that is not
            known, and the moment of its arrival counts.
        origin: What ``captured`` is.
        sequence: The sender's number of the frame, or the camera's; None where there is none.
        source: The name of the source among several; filled in by the pipeline.
    """

    frame: Frame
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    captured: float | None = None
    origin: Origin = "arrival"
    sequence: int | None = None
    source: str = ""


class Source(Protocol):
    """A stream of skeletons in one layout.

    It is entered, read and left on one thread, which is not the thread that made it. All attributes may be read, and
    :meth:`stop` called, from any other.

    Attributes:
        layout: The layout of every frame, or None where only the first frame tells (a recording).
        live: Whether it is lived through, as a camera is: then the newest frame counts, and what cannot be worked off
            in time is left out. Of what is read from a file nothing is.
        done: What share of the stream was read, 0 to 1; None where that is not known, as of a camera.
        note: What is to be said of the stream once it was read, such as that images were left out; None for nothing.
        dropped: Frames that came and were never yielded, because newer ones had come.
        reconnects: How often it was lost and found again.
    """

    @property
    def layout(self) -> str | None:
        """The name of the skeleton layout of this stream, if known before the first frame."""

    @property
    def live(self) -> bool:
        """Whether the stream is lived through rather than read."""

    @property
    def done(self) -> float | None:
        """What share of the stream was read."""

    @property
    def note(self) -> str | None:
        """What is to be said of the stream at its end."""

    @property
    def dropped(self) -> int:
        """Frames that came and were never yielded."""

    @property
    def reconnects(self) -> int:
        """How often the stream was lost and found again."""

    def __enter__(self) -> Self:
        """Open the device or file; raises :class:`mmn_edge.errors.SourceError` where that fails."""

    def __exit__(self, *error: object) -> None:
        """Release what was opened."""

    def __iter__(self) -> Iterator[Observation]:
        """Yield observations in time order until the stream ends."""

    def stop(self) -> None:
        """Have the iteration end soon, also where it waits for a frame; called from another thread, more than once."""


class BaseSource:
    """What most sources have in common: read from a file, with nothing to say and nothing lost.

    A class that derives from it overrides what differs, with a property or an attribute.
    """

    @property
    def layout(self) -> str | None:
        """Known from the first frame on."""
        return None

    @property
    def live(self) -> bool:
        """It is read."""
        return False

    @property
    def done(self) -> float | None:
        """Not known."""
        return None

    @property
    def note(self) -> str | None:
        """Nothing to say."""
        return None

    @property
    def dropped(self) -> int:
        """Every frame is yielded."""
        return 0

    @property
    def reconnects(self) -> int:
        """It is never lost."""
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Release what was opened."""

    def stop(self) -> None:
        """Nothing to do: the pipeline asks for no further frame."""
