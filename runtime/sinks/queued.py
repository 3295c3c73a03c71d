"""A sink behind a bounded queue and a thread of its own, so that it can be as slow as it likes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.counters import SinkCounters
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks.sink import Sink

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["QueuedSink"]

log = logging.getLogger(__name__)

CAPACITY = 1024
"""Items that wait at most: of one person some minutes."""

CLOSING_SECONDS = 10.0
"""How long what waits may take to be written once the stream has ended."""

ADVANCE_SECONDS = 1.0
"""How late a sink without anything to write may learn that the stream goes on."""


class QueuedSink:
    """Hands everything on to another sink on a thread. Where there is no room, what waited longest is dropped.

    An error of the sink is raised by the next :meth:`write` or :meth:`check`; leaving raises none.

    Args:
        sink: Entered and left together with this one, and written to on the thread.
        counters: What was written and dropped is counted there.
        on_note: Told once that something was dropped.
        on_failure: Called on the thread when the sink has failed.
    """

    prompt = True

    def __init__(
        self,
        sink: Sink,
        counters: SinkCounters,
        *,
        on_note: Callable[[str], None] = lambda text: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._sink, self._counters, self._note, self._on_failure = sink, counters, on_note, on_failure
        self.name = sink.name
        self._ready = threading.Condition()
        self._waiting: deque[Event | Prediction] = deque()
        self._times: dict[str, float] = {}
        self._ending = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"sink {sink.name}", daemon=True)

    def __enter__(self) -> Self:
        self._sink.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._ready:
            self._ending = True
            self._ready.notify()
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive():  # it waits for something that does not come; what it holds is not touched
            self._drop(len(self._waiting))
            return
        failed = self._error
        self._sink.__exit__(*(error if failed is None else (type(failed), failed, failed.__traceback__)))

    def advance(self, time: float, source: str = "") -> None:
        """Let the sink know that the stream has come to ``time``, within a second."""
        self._times[source] = time

    def write(self, item: Event | Prediction) -> None:
        """Have it written; raises what the sink has failed with."""
        self.check()
        with self._ready:
            if len(self._waiting) >= CAPACITY:
                self._waiting.popleft()
                self._drop(1)
            self._waiting.append(item)
            self._ready.notify()

    def check(self) -> None:
        """Raise what the sink has failed with."""
        if self._error is not None:
            raise self._error

    def _drop(self, count: int) -> None:
        if count and not self._counters.dropped:
            self._note(f"{self.name} is too slow: what it has no time for is left out")
        self._counters.dropped += count

    def _work(self) -> None:
        try:
            while True:
                with self._ready:
                    if not self._waiting and not self._ending:
                        self._ready.wait(ADVANCE_SECONDS)
                    item = self._waiting.popleft() if self._waiting else None
                    over = item is None and self._ending
                    times = self._times
                    self._times = {}
                for source, time in times.items():
                    self._sink.advance(time, source)
                if over:
                    return
                if item is not None:
                    self._sink.write(item)
                    self._counters.written += 1
        except BaseException as error:  # raised where the sink is written to
            log.debug("%s failed: %s", self._thread.name, error)
            self._error = error
            self._on_failure()
