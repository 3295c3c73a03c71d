"""Recordings of what recognition took, with what it ran: for replays of a live run, frame by frame."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks.context import SinkContext, topic_name
from mmn_edge.runtime.sinks.rotation import RotatedLines, Rotation
from mmn_edge.skeleton import recording
from mmn_edge.skeleton.frame import Frame

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RecordingSink"]

CAPACITY = 1024
"""Frames that wait to be written, at most; further ones are left out, counted and said."""

CLOSING_SECONDS = 10.0

USUAL = Rotation(size=100_000_000, age=3600.0, keep=7 * 86_400.0, total=10_000_000_000)
"""These are recordings of people: they go after a week unless told otherwise."""


class RecordingSink:
    """Writes the frames of every source into rotated recordings ``FOLDER/SOURCE-20261128T210000.000Z.jsonl``.

    A frame is written when the next one has come, for only then is known what was run. Writing is done on a thread of
    its own, so that a slow disk slows nothing.

    Args:
        folder: Where the recordings lie.
        rotation: When a new one begins, and when old ones are deleted.
        context: The run.

    Attributes:
        dropped: Frames that the disk was too slow or too full for.

    Raises:
        OSError: The folder cannot be made.
    """

    prompt = True

    def __init__(self, folder: Path, rotation: Rotation, context: SinkContext) -> None:
        self.name = f"recording:{folder}"
        self._context = context
        self._lines = {
            source: RotatedLines(
                folder / f"{topic_name(source)}.jsonl", rotation, resume=False, on_note=context.on_note
            )
            for source in context.sources
        }
        self._late = 0
        self._noted: set[str] = set()
        self._newest: dict[str, tuple[Frame, list[tuple[int, ...]]]] = {}
        self._waiting: deque[tuple[str, Frame]] = deque()
        self._ready = threading.Condition()
        self._ending = False
        context.losses[self.name] = lambda: self.dropped
        self._thread = threading.Thread(target=self._work, name="recording", daemon=True)

    @property
    def dropped(self) -> int:
        """Frames that the disk was too slow or too full for."""
        return self._late + sum(lines.dropped for lines in self._lines.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        for source in list(self._newest):
            self._put(source)
        with self._ready:
            self._ending = True
            self._ready.notify()
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive():
            self._late += len(self._waiting)
        else:
            for lines in self._lines.values():
                lines.close()
        if self.dropped:
            self._context.on_note(f"{self.name}: {self.dropped} frames were not written")

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do: frames come by :meth:`frame`."""

    def write(self, item: Event | Prediction) -> None:
        """Nothing to do: a replay finds them again."""

    def noting(self, source: str) -> None:
        """Note what is run of a source."""
        self._noted.add(source)

    def frame(self, source: str, frame: Frame) -> None:
        """Keep a frame until the next one comes."""
        if source in self._newest:
            self._put(source)
        self._newest[source] = (frame, [])

    def ran(self, source: str, persons: Sequence[int]) -> None:
        """Note a call of the model."""
        if source in self._newest:
            self._newest[source][1].append(tuple(persons))

    def _put(self, source: str) -> None:
        frame, runs = self._newest.pop(source)
        noted = replace(frame, runs=tuple(runs) if source in self._noted else frame.runs)
        with self._ready:
            if len(self._waiting) >= CAPACITY:
                self._late += 1
                return
            self._waiting.append((source, noted))
            self._ready.notify()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                source, frame = self._waiting.popleft()
            self._lines.get(source, next(iter(self._lines.values()))).write(recording.format_frame(frame) + "\n")
