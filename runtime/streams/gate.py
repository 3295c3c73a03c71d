"""From messages of a sender to observations in order: what is late, came twice, or is no frame stays outside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mmn_edge.errors import DataError
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.runtime.streams.counts import StreamCounts
from mmn_edge.runtime.streams.sender_clock import SenderClock
from mmn_edge.runtime.streams.wire import check_version
from mmn_edge.skeleton.frame import Frame
from mmn_edge.skeleton.recording import MAX_ID, parse_values

__all__ = ["Gate"]

ANEW = 3
"""Frames in a row, each later than the one before, that come as too late: then the sender began anew."""

MOST_LOST = 1_000_000
"""A gap in the sequence numbers beyond it is no loss, but another count."""


class Gate:
    """Takes decoded messages in the order of their arrival, and gives observations whose time never falls.

    The layout of the first frame is that of the stream.

    Args:
        counts: What is counted.
    """

    def __init__(self, counts: StreamCounts) -> None:
        self._counts = counts
        self._clock = SenderClock()
        self._sequence: int | None = None
        self._last: bytes | None = None
        self._late: tuple[int, float] | None = None
        self._late_run = 0
        self._same_sender = True
        self._time = -float("inf")
        self.layout: str | None = None

    def new_sender(self) -> None:
        """Somebody else sends from now on, or the same program started anew."""
        self._sequence = self._last = self._late = None
        self._late_run = 0
        self._same_sender = False

    def check(self, values: dict[str, Any]) -> tuple[Frame, int | None]:
        """The frame of a decoded message, as its sender stamped it, and its sequence number.

        Raises:
            DataError: It is no frame, or in another layout than the stream.
        """
        check_version(values)
        frame = parse_values(values, where="the message")
        sequence = _sequence(values)
        if self.layout not in (None, frame.layout):
            raise DataError(f"the message has layout {frame.layout}, and the stream began in {self.layout}")
        return frame, sequence

    def take(self, message: bytes, frame: Frame, sequence: int | None, arrived: float) -> Observation | None:
        """The observation of a frame; None where it is late or came before.

        Args:
            message: As it came.
            frame: What :meth:`check` made of it.
            sequence: Its number, or None.
            arrived: When it came, in seconds of :func:`time.monotonic`; never falls.
        """
        if message == self._last or (sequence is not None and sequence == self._sequence):
            self._counts.duplicates += 1
            return None
        if self._is_late(frame.time, sequence):
            self._counts.late += 1
            return None
        return self._taken(message, frame, sequence, arrived)

    def _taken(self, message: bytes, frame: Frame, sequence: int | None, arrived: float) -> Observation | None:
        gap = 1 if sequence is None or self._sequence is None else sequence - self._sequence
        if 1 < gap <= MOST_LOST:
            self._counts.lost += gap - 1
        moment = self._clock.take(frame.time, arrived, follows=gap <= 1, same_sender=self._same_sender)
        self._same_sender = True
        self._sequence, self._last = sequence, message
        self._counts.clock_steps += moment.stepped
        self.layout = frame.layout
        if moment.time < self._time:  # only where the stamps are no clock
            self._counts.late += 1
            return None
        self._time = moment.time
        self._counts.frames += 1
        return Observation(
            replace(frame, time=moment.time), captured=moment.captured, origin="sender", sequence=sequence
        )

    def _is_late(self, stamp: float, sequence: int | None) -> bool:
        """Whether a frame comes after later ones. Several such frames in order are a sender that began anew."""
        newest = self._clock.stamp
        if sequence is not None and self._sequence is not None:
            late = sequence < self._sequence
        else:
            late = newest is not None and self._same_sender and stamp < newest
        if not late:
            self._late, self._late_run = None, 0
            return False
        mark = (sequence or 0, stamp)
        self._late_run = self._late_run + 1 if self._late is not None and mark > self._late else 1
        self._late = mark
        if self._late_run < ANEW:
            return True
        if sequence is not None:
            self.new_sender()
        self._late, self._late_run = None, 0
        return False


def _sequence(values: dict[str, Any]) -> int | None:
    sequence = values.get("sequence")
    if sequence is None:
        return None
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence <= MAX_ID:
        raise DataError('the message: "sequence" must be a whole number from 0 on')
    return sequence
