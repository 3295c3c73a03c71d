from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmn_edge.runtime.sources.source import Observation
from mmn_edge.runtime.streams.endpoint import Endpoint
from mmn_edge.runtime.streams.source import StreamSource

JOINTS = 22


def values(time: float, x: float = 1.0, **changes: Any) -> dict[str, Any]:
    """A frame with one person."""
    person = {"id": 0, "keypoints": [[x + k, 2.0 + k] for k in range(JOINTS)]}
    return {"time": time, "layout": "imigue", "persons": [person], **changes}


def line(time: float, x: float = 1.0, **changes: Any) -> bytes:
    return json.dumps(values(time, x, **changes)).encode() + b"\n"


class Running:
    """A source that is read in a thread."""

    def __init__(self, source: StreamSource, notes: list[str]) -> None:
        self.source = source
        self.notes = notes
        self.taken: list[Observation] = []
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        for observation in self.source:
            self.taken.append(observation)

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.source.port)

    @property
    def times(self) -> list[float]:
        return [observation.frame.time for observation in self.taken]

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        due = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < due, (self.source.counts, self.notes, self.times[-5:])
            time.sleep(0.005)


@pytest.fixture
def listening() -> Iterator[Callable[..., Running]]:
    """Makes sources that listen on a free port, read in a thread; all are ended at the end."""
    opened: list[Running] = []

    def make(text: str = "tcp://:0", **options: Any) -> Running:
        notes: list[str] = []
        source = StreamSource(Endpoint.parse(text), on_note=notes.append, **options)
        source.__enter__()
        running = Running(source, notes)
        running.thread.start()
        opened.append(running)
        return running

    yield make
    for running in opened:
        running.source.__exit__(None, None, None)
        running.thread.join(5)
        assert not running.thread.is_alive()
