"""Events into a file of annotations, such as ELAN's, as annotators and video players open it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mmn_edge.events import formats
from mmn_edge.events.decoder import Event
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.events.series import interval_of
from mmn_edge.model.labels import Labels
from mmn_edge.runtime.recognizer import Prediction

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AnnotationSink"]


class AnnotationSink:
    """Keeps the events that end, and writes them when it ends without an error.

    Args:
        path: The file; its suffix chooses the format.
        recording: What the intervals call the stream.
        labels: The model's classes.
        media: The video that the file is to be opened with.
        on_note: Told in sentences what the format could not hold.

    Raises:
        UsageError: No format has the suffix, or it is only read.
        MissingDependencyError: The format needs a package that is not installed.
    """

    prompt = True  # until the end

    def __init__(
        self,
        path: Path,
        recording: str,
        labels: Labels,
        *,
        media: Path | None = None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._path, self._recording, self._labels, self._media, self._note = path, recording, labels, media, on_note
        self.name = str(path)
        self._intervals: list[Interval] = []
        formats.format_for(path)
        # What is missing is said before the long work, and not after it.
        with tempfile.TemporaryDirectory() as folder:
            self._write(Path(folder) / f"{recording}{path.suffix}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            for sentence in self._write(self._path):
                self._note(sentence)

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do: an event is written when it has ended."""

    def write(self, item: Event | Prediction) -> None:
        """Keep an event that ended."""
        if isinstance(item, Event) and item.kind == "end":
            self._intervals.append(interval_of(item, self._recording))

    def _write(self, path: Path) -> tuple[str, ...]:
        # A file without events stands for the recording that it is named after.
        name = self._recording if self._intervals else path.name.removesuffix(path.suffix)
        found = AnnotationSet(tuple(self._intervals), {}, frozenset({name}))
        return formats.write(found, path, labels=self._labels, media=self._media)
