"""The frames of one source in one recording, beside what else a run writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks.sink import Lines
from mmn_edge.skeleton import recording
from mmn_edge.skeleton.frame import Frame

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RecordedFile"]


class RecordedFile:
    """Writes every frame that recognition takes, of a live source with the windows that were run after it.

    A frame is written when the next one has come, for only then is known what was run. Where the disk is full, what was
    written stays, and the run goes on without a recording.

    Args:
        file: What lines are written to.
        path: What notes call it.
        on_note: Told in a sentence that it ended early.
    """

    prompt = True  # a line is written to the system's cache

    def __init__(self, file: Lines, path: Path, *, on_note: Callable[[str], None] = lambda text: None) -> None:
        self.name = str(path)
        self._file = file
        self._note = on_note
        self._newest: Frame | None = None
        self._runs: list[tuple[int, ...]] = []
        self._noting = False
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._put()

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do: frames come by :meth:`frame`."""

    def write(self, item: Event | Prediction) -> None:
        """Nothing to do: a replay finds them again."""

    def noting(self, source: str) -> None:
        """The source is live: note what is run."""
        self._noting = True

    def frame(self, source: str, frame: Frame) -> None:
        """Keep a frame until the next one comes."""
        self._put()
        self._newest = frame

    def ran(self, source: str, persons: Sequence[int]) -> None:
        """Note a call of the model."""
        self._runs.append(tuple(persons))

    def _put(self) -> None:
        frame, runs = self._newest, tuple(self._runs)
        self._newest, self._runs = None, []
        if frame is None or self._failed:
            return
        noted = replace(frame, runs=runs if self._noting else frame.runs)
        try:
            self._file.write(recording.format_frame(noted) + "\n")
        except OSError as error:
            self._failed = True
            self._note(f"the recording {self.name} ends at {frame.time:.1f} s, and the run goes on: {error.strerror}")
