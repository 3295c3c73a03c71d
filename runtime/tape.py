"""Who is told of every frame that recognition takes and of every call of the model, so that a run can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mmn_edge.skeleton.frame import Frame

__all__ = ["Tape"]


@runtime_checkable
class Tape(Protocol):
    """A sink that also takes frames; it is called on the pipeline's thread and must not wait."""

    def frame(self, source: str, frame: Frame) -> None:
        """Recognition has taken a frame of a source."""

    def ran(self, source: str, persons: Sequence[int]) -> None:
        """The windows of these persons were run, in one call, after the newest frame."""

    def noting(self, source: str) -> None:
        """What is run of this source is to be noted: it is live, and windows may be skipped."""
