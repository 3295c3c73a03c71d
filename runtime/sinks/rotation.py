"""Files of lines that go on for months: a new one by size and age, old ones deleted, a full disk survived."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from mmn_edge.system.files import LineFile

__all__ = ["RotatedLines", "Rotation"]

CHECK_SECONDS = 60.0
"""What is kept is looked over this often."""

RETRY_SECONDS = 1.0
"""After a failed write the next attempt is made so much later; what comes meanwhile is dropped and counted."""


@dataclass(frozen=True)
class Rotation:
    """When a file ends, and how long it is kept.

    Attributes:
        size: Bytes after which a new file begins; None for no limit.
        age: Seconds after which a new file begins; None for no limit.
        keep: Seconds after which a file that ended is deleted; None for never.
        total: Bytes of files that ended, beyond which the oldest are deleted; None for no limit.
    """

    size: int | None = 100_000_000
    age: float | None = 86_400.0
    keep: float | None = 30 * 86_400.0
    total: int | None = 10_000_000_000


class RotatedLines:
    """Lines into ``name-20261128T210000.123Z.jsonl``, named after when it was begun; then into the next.

    What an earlier process wrote is gone on with while it is neither full nor old; a line that it was killed in is cut
    off. A write that fails, as on a full disk, drops the line, is counted and said once, and is tried again.

    Args:
        path: Folder, and how the files' names begin and end.
        rotation: When a new one begins, and what is deleted.
        resume: Go on with the newest file that is there; False begins a new one in every process.
        on_note: Told in sentences when writing fails and when it works again.
        clock: Wall clock, seconds since 1970.

    Attributes:
        dropped: Lines that could not be written.

    Raises:
        OSError: The folder cannot be made or read.
    """

    def __init__(
        self,
        path: Path,
        rotation: Rotation,
        *,
        resume: bool = True,
        on_note: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.dropped = 0
        self._path, self._rotation, self._note, self._clock = path, rotation, on_note, clock
        self._failing = False
        self._retry = 0.0
        self._file: LineFile | None = None
        self._current: Path | None = None
        self._begun = self._looked = 0.0
        path.parent.mkdir(parents=True, exist_ok=True)
        files = self.files()
        if files:
            newest = LineFile(files[-1], files[-1], append=True)  # cuts off what is no whole line
            if resume:
                self._file, self._current, self._begun = newest, files[-1], _begun(files[-1])
            else:
                newest.close()
        self._tidy()

    def __str__(self) -> str:
        return str(self._path)

    def write(self, line: str) -> None:
        """Write one line, which ends in a line break."""
        if self._failing and time.monotonic() < self._retry:
            self.dropped += 1
            return
        try:
            self._place(len(line)).write(line)
        except OSError as error:
            self.dropped += 1
            self._retry = time.monotonic() + RETRY_SECONDS
            if not self._failing:
                self._failing = True
                self._note(f"{self._path} cannot be written ({error.strerror}): lines are dropped until it can")
            return
        if self._failing:
            self._failing = False
            self._note(f"{self._path} is written again; {self.dropped} lines were dropped so far")

    def flush(self) -> None:
        """Nothing to do: a line is written at once."""

    def close(self) -> None:
        """Close the file; one without a line is deleted."""
        file, self._file = self._file, None
        if file is None or self._current is None:
            return
        file.close()
        if not file.size:
            self._current.unlink(missing_ok=True)
        self._current = None

    def files(self) -> list[Path]:
        """The files that are there, the oldest first."""
        name, suffix = glob.escape(self._path.stem), glob.escape(self._path.suffix)
        return sorted(self._path.parent.glob(f"{name}-????????T??????.???Z{suffix}"))

    def _place(self, more: int) -> LineFile:
        now = self._clock()
        if now - self._looked >= CHECK_SECONDS or now < self._looked:
            self._tidy()
        if self._file is not None and self._file.size:
            limit, age = self._rotation.size, self._rotation.age
            full = limit is not None and self._file.size + more > limit
            if full or (age is not None and now - self._begun >= age):
                self.close()
                self._tidy()
        if self._file is None:
            self._file = self._open(now)
        return self._file

    def _open(self, now: float) -> LineFile:
        files = self.files()
        if files:  # names go up, also where the clock was set back
            now = max(now, _begun(files[-1]) + 0.001)
        stamp = datetime.fromtimestamp(now, timezone.utc)
        name = f"{self._path.stem}-{stamp:%Y%m%dT%H%M%S}.{stamp.microsecond // 1000:03d}Z{self._path.suffix}"
        self._begun, self._current = now, self._path.with_name(name)
        return LineFile(self._current, self._current, append=True)

    def _tidy(self) -> None:
        """Delete what is older than may be kept, and the oldest of what is too much; never the one being written."""
        self._looked = self._clock()
        files = [(path, path.stat()) for path in self.files() if path != self._current]
        total = sum(facts.st_size for _, facts in files)
        for path, facts in files:
            old = self._rotation.keep is not None and self._looked - facts.st_mtime > self._rotation.keep
            much = self._rotation.total is not None and total > self._rotation.total
            if old or much:
                path.unlink(missing_ok=True)
                total -= facts.st_size


def _begun(path: Path) -> float:
    """When a file was begun, by its name: seconds since 1970; 0 where the name says no time that there is."""
    stamp = path.name.removesuffix(path.suffix)[-len("20261128T210000.123Z") :]
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return 0.0
