"""A source on a thread of its own, and the frames that wait for recognition."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from queue import SimpleQueue

from mmn_edge.runtime.counters import SourceCounters
from mmn_edge.runtime.sources.source import Observation, Source

__all__ = ["CAPACITY", "End", "Lane"]

log = logging.getLogger(__name__)

CAPACITY = 256
"""Frames that wait at most. A frame is small, and a window needs all that it can get; and what a pipe holds has room,
so that a sensor which sent while the model was loaded is not taken for a file."""

PACE_SECONDS = 3.0
"""Whether a pipe is a sensor's or a file's is judged by its last seconds."""

AHEAD_SECONDS = 1.0
"""A stream that came so much further in them is replayed from a file, whatever brought it here."""


class End:
    """The end of a stream: the error that ended it, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Lane:
    """Reads a source on its own thread.

    Of a live source the newest frames are kept when there is no room, and what was dropped is counted. Of any other the
    thread waits until there is room.

    Args:
        source: Entered, read and left on the thread.
        counters: The source's.
        wake: Is given the lane for each frame that can be taken, and for the end.
        duration: Seconds of stream time after which the source has ended.
    """

    def __init__(
        self, source: Source, counters: SourceCounters, wake: SimpleQueue[Lane | None], duration: float | None = None
    ) -> None:
        self.source = source
        self.counters = counters
        self.opened = threading.Event()
        self.entered = False
        self.failed: BaseException | None = None
        self.ahead = False
        self.done: float | None = None
        self._wake = wake
        self._duration = duration
        self._room = threading.Condition()
        self._waiting: deque[Observation | End] = deque()
        self._stopping = False
        self._dropped = 0
        self._blocked = 0.0
        self._pace = _Pace()
        self._thread = threading.Thread(target=self._read, name=f"source {counters.name}", daemon=True)

    @property
    def hurries(self) -> bool:
        """Whether what cannot be worked off in time is left out: the source is live, and no file is behind it."""
        return self.source.live and not self.ahead

    def start(self) -> None:
        """Open the source, and begin to read it."""
        self._thread.start()

    def take(self) -> Observation | End:
        """The next frame, or the end; once each time that the lane was given to ``wake``."""
        with self._room:
            item = self._waiting.popleft()
            self._room.notify()
        return item

    def stop(self) -> None:
        """Have the thread end soon."""
        with self._room:
            self._stopping = True
            self._room.notify()
        self.source.stop()

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended; False where it does not in time: it waits for a device, and is left so."""
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _read(self) -> None:
        counters = self.counters
        error: BaseException | None = None
        try:
            with self.source as opened:
                self.entered = True
                counters.state = "running"
                self.opened.set()
                log.info("%s is open", counters.name)
                for observation in self._limited(iter(opened)):
                    if self._stopping:
                        break
                    self.done = opened.done
                    self._put(self._stamped(observation))
                    counters.reconnects = opened.reconnects
        except BaseException as caught:  # the pipeline raises it on its own thread
            error = self.failed = caught
            counters.state, counters.failure = "failed", str(caught)
        else:
            counters.state = "ended"
        log.info(
            "%s %s; %d frames until now, %d dropped", counters.name, counters.state, counters.frames, counters.dropped
        )
        self._append(End(error), wait=False)
        self.opened.set()

    def _limited(self, observations: Iterator[Observation]) -> Iterator[Observation]:
        end: float | None = None
        for observation in observations:
            now = observation.frame.time
            if end is None and self._duration is not None:
                end = now + self._duration
            if end is not None and now > end:
                return
            yield observation

    def _stamped(self, observation: Observation) -> Observation:
        """Say when a frame was captured where its source does not know: when it came, less what it took."""
        captured = observation.captured
        if captured is not None or not self.source.live:
            self.ahead = False
        else:
            arrived = time.monotonic()
            # Time in which it was not read says nothing of its pace.
            self.ahead = self._pace.ahead(observation.frame.time, arrived - self._blocked)
            if not self.ahead:  # what is replayed has no age
                captured = arrived - sum(observation.latency_ms.values()) / 1e3
        return replace(observation, captured=captured, source=self.counters.name)

    def _put(self, observation: Observation) -> None:
        self._dropped += self._append(observation, wait=not self.hurries)
        self.counters.dropped = self._dropped + self.source.dropped

    def _append(self, item: Observation | End, *, wait: bool) -> int:
        with self._room:
            if wait and len(self._waiting) >= CAPACITY:
                began = time.monotonic()
                while len(self._waiting) >= CAPACITY and not self._stopping:
                    self._room.wait()
                self._blocked += time.monotonic() - began
            full = len(self._waiting) >= CAPACITY and not isinstance(item, End)
            if full:
                self._waiting.popleft()
            self._waiting.append(item)
        if not full:  # else the one that was dropped has left its turn
            self._wake.put(self)
        return int(full)


class _Pace:
    """Tells a stream that is lived through from one that is replayed as fast as it can be read."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque()

    def ahead(self, moment: float, arrived: float) -> bool:
        """Whether the stream's time ran faster than the clock of late; takes the next frame's and its arrival."""
        marks = self._marks
        if not marks or arrived - marks[-1][1] >= 0.1:
            marks.append((moment, arrived))
        while arrived - marks[0][1] > PACE_SECONDS and len(marks) > 1:
            marks.popleft()
        return (moment - marks[0][0]) - (arrived - marks[0][1]) > AHEAD_SECONDS
