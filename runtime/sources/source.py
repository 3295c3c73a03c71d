"""Where skeletons come from: the protocol that every source follows.

A source is a context manager that yields :class:`Observation` in time order. To add one, write a class that
follows :class:`Source` and give it a name in :func:`mmn_edge.runtime.sources.open_source`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mmn_edge.skeleton.frame import Frame

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Observation", "Source"]


@dataclass(frozen=True, slots=True)
class Observation:
    """A frame, and what it cost to get it.

    Attributes:
        frame: The skeletons of this moment.
        latency_ms: Milliseconds spent in each stage up to here, such as ``{"capture": 2.1, "pose": 31.0}``.
    """

    frame: Frame
    latency_ms: Mapping[str, float] = field(default_factory=dict)


class Source(Protocol):
    """A stream of skeletons in one layout.

    Attributes:
        layout: The layout of every frame, or None where only the first frame tells (a recording).
        done: What share of the stream was read, 0 to 1; None where that is not known, as of a camera.
        note: What is to be said of the stream once it was read, such as that images were left out; None for nothing.
    """

    @property
    def layout(self) -> str | None:
        """The name of the skeleton layout of this stream, if known before the first frame."""

    @property
    def done(self) -> float | None:
        """What share of the stream was read."""

    @property
    def note(self) -> str | None:
        """What is to be said of the stream at its end."""

    def __enter__(self) -> Self:
        """Open the device or file; raises :class:`mmn_edge.errors.SourceError` where that fails."""

    def __exit__(self, *error: object) -> None:
        """Release what was opened."""

    def __iter__(self) -> Iterator[Observation]:
        """Yield observations in time order until the stream ends."""
