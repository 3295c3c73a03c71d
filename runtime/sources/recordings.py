"""Sources that replay: a recording from a file or from standard input, and the synthetic sensor."""

from __future__ import annotations

import gzip
import io
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from mmn_edge.datasets.synthetic import clips
from mmn_edge.datasets.synthetic.clips import Session
from mmn_edge.datasets.synthetic.scenes import Scene
from mmn_edge.errors import DataError, SourceError, TruncatedError
from mmn_edge.runtime.sources.source import BaseSource, Observation, Source
from mmn_edge.skeleton import recording
from mmn_edge.system.contents import GZIP

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PacedSource", "RecordingSource", "SyntheticSource"]

MAX_SLEEP = 86_400.0
"""Seconds; the system's sleep takes no arbitrary number."""


class RecordingSource(BaseSource):
    """Reads a recording, see :mod:`mmn_edge.skeleton.recording`.

    Args:
        path: A ``.jsonl`` file, or one compressed with gzip; None reads standard input, which is live.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._bytes: BinaryIO | None = None
        self._size = 0

    @property
    def live(self) -> bool:
        """Whether it is standard input, at whose other end a sensor may be."""
        return self._path is None

    @property
    def done(self) -> float | None:
        """What share of the file's bytes was read; None for standard input."""
        return min(self._bytes.tell() / self._size, 1.0) if self._bytes is not None and self._size else None

    def __enter__(self) -> Self:
        if self._path is None:
            if sys.stdin is None:
                raise SourceError("standard input is closed: pipe a recording into it, or name a source")
            self._file = _standard_input()
            return self
        try:
            self._bytes = self._path.open("rb", buffering=0)
            self._size = self._path.stat().st_size
            buffered = io.BufferedReader(cast(io.RawIOBase, self._bytes))
            packed = buffered.peek(len(GZIP)).startswith(GZIP)
            self._file = io.TextIOWrapper(gzip.GzipFile(fileobj=buffered) if packed else buffered, encoding="utf-8")
        except OSError as error:
            raise SourceError(f"cannot open the recording {self._path}: {error.strerror}") from error
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None and self._path is not None:
            self._file.close()
        if self._bytes is not None:
            self._bytes.close()
        self._file = self._bytes = None

    def __iter__(self) -> Iterator[Observation]:
        if self._file is None:
            raise SourceError("the recording is not open: use it in a with block")
        origin = str(self._path) if self._path else "standard input"
        try:
            for frame in recording.read_frames(self._file, origin=origin):
                yield Observation(frame)
        except UnicodeDecodeError as error:
            raise DataError(f"{origin} is not text: a recording is JSON, one frame a line") from error
        except EOFError as error:
            raise TruncatedError(
                f"{origin} breaks off: the recording ends early, and what came before was read"
            ) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{origin} is damaged ({error}): compress the recording again") from error


def _standard_input() -> TextIO:
    """Standard input with a buffer of its own.

    A thread that waits in ``sys.stdin`` holds its lock, and the interpreter, which takes that to close it, cannot end.
    """
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, AttributeError):  # a stream that is none of the system's
        return sys.stdin
    return open(descriptor, encoding="utf-8", closefd=False)


class SyntheticSource(BaseSource):
    """A sensor before synthetic people: something to see without a camera.

    Args:
        play: What they do, see :mod:`mmn_edge.datasets.synthetic`.
    """

    layout = clips.LAYOUT

    def __init__(self, play: Session | Scene) -> None:
        self._play = play
        self._time = 0.0

    @property
    def done(self) -> float | None:
        """What share of the seconds has passed."""
        return min(self._time / self._play.seconds, 1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __iter__(self) -> Iterator[Observation]:
        for frame in self._play.frames():
            self._time = frame.time
            yield Observation(frame)


class PacedSource:
    """Another source, its frames held back until their time has come: live, as if a sensor sent them.

    Args:
        source: A source that replays.
        speed: 1 for real time, 2 for twice as fast.
    """

    live = True

    def __init__(self, source: Source, speed: float) -> None:
        self._source = source
        self._speed = speed
        self._stopped = threading.Event()

    @property
    def layout(self) -> str | None:
        """The layout of the source within."""
        return self._source.layout

    @property
    def done(self) -> float | None:
        """What share of the source within was read."""
        return self._source.done

    @property
    def note(self) -> str | None:
        """What the source within says at its end."""
        return self._source.note

    @property
    def dropped(self) -> int:
        """What the source within left out."""
        return self._source.dropped

    @property
    def reconnects(self) -> int:
        """How often the source within was found again."""
        return self._source.reconnects

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._source.__exit__(*error)

    def stop(self) -> None:
        """Wait no longer for the next frame."""
        self._stopped.set()
        self._source.stop()

    def __iter__(self) -> Iterator[Observation]:
        began: float | None = None
        for observation in self._source:
            due = observation.frame.time / self._speed
            if began is None:
                began = time.monotonic() - due
            delay = began + due - time.monotonic()
            if delay > 0:
                self._stopped.wait(min(delay, MAX_SLEEP))
            if self._stopped.is_set():
                return
            yield replace(observation, captured=began + due, origin="capture")
