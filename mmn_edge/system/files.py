"""Writing that cannot harm what was there: everything is made beside its target and renamed into place."""

from __future__ import annotations

import ctypes
import errno
import glob
import hashlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["LineFile", "atomic_file", "atomic_folder", "line_file", "sha256"]

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the place of ``path`` when the block ends well.

    A link stays, and what it leads to is replaced. A device or pipe (``/dev/null``, a FIFO) cannot be replaced: it is
    yielded itself. What a killed process left beside ``path`` is not touched: it may be all there is of something.
    """
    if _is_special(path):
        yield path  # as it is: what /dev/stdout leads to may have no name
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


class LineFile:
    """A text file of whole lines: a write that fails or is interrupted leaves the lines before it.

    Args:
        path: The file.
        name: What errors call it.
        append: Go on with a file that is there, after its last whole line: a process killed while it wrote may have
            left half a one.

    Attributes:
        lines: How many were written here.
        size: Bytes in the file.
    """

    def __init__(self, path: Path, name: Path, *, append: bool = False) -> None:
        # Unbuffered: nothing is left to be written when it is closed.
        self._file = path.open("ab" if append else "wb", buffering=0)
        self._name = name
        self.size = _whole(path, self._file) if append else 0
        self.lines = 0

    def write(self, line: str) -> None:
        """Write one line, which ends in a line break.

        Raises:
            OSError: The disk is full, or the reader of a pipe has gone.
        """
        data = line.encode()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException as error:
            with suppress(OSError):  # a pipe
                self._file.seek(self.size)
                self._file.truncate()
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(self._name)) from error
            raise
        self.size += len(data)
        self.lines += 1

    def flush(self) -> None:
        """Nothing to do: a line is written at once."""

    def close(self, *, sync: bool = False) -> None:
        """Close it, and with ``sync`` wait until it is on the disk."""
        try:
            if sync:
                os.fsync(self._file.fileno())
        finally:
            self._file.close()


def _whole(path: Path, file: io.FileIO) -> int:
    """Cut off what follows a file's last line break, and return its size."""
    size = os.fstat(file.fileno()).st_size
    if not size or not path.is_file():
        return 0
    with path.open("rb") as reader:
        end = size
        while end > 0:
            begin = max(end - 65_536, 0)
            reader.seek(begin)
            found = reader.read(end - begin).rfind(b"\n")
            if found >= 0:
                end = begin + found + 1
                break
            end = begin
    if end < size:
        file.truncate(end)
    return end


@contextmanager
def line_file(path: Path) -> Iterator[LineFile]:
    """Yield a file of lines that grows beside ``path``; it takes the place of ``path`` however the block ends.

    For what cannot be had again, such as a recording. A block that ends badly without a line leaves an earlier file at
    ``path`` as it was. Links, devices and pipes are treated as by :func:`atomic_file`.
    """
    if _is_special(path):
        file = LineFile(path, path)
        try:
            yield file
        finally:
            file.close()
        return
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(target)
    file = LineFile(partial, path)
    ended = False
    try:
        yield file
        ended = True
    finally:
        # A second Ctrl-C here leaves the partial file, and so all that was written.
        try:
            file.close(sync=ended)
        finally:
            if ended or file.lines:
                partial.replace(target)
                _sync(target.parent)
            else:
                partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside ``path``; it takes the place of ``path`` when the block ends well.

    An earlier folder at ``path`` is untouched until then; where the system can (Linux), both are exchanged in one step,
    so that a process killed at any moment leaves one of the two complete at ``path``. The new one is on the disk before
    the exchange and the exchange before the earlier one is deleted, so that a power cut does not lose both.
    """
    path = path.resolve()  # a link stays, and what it leads to is exchanged
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        for folder, _, names in os.walk(partial, topdown=False):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        aside = None
        if not path.exists():
            partial.rename(path)
        elif not _exchange(partial, path):
            aside = partial.with_name(partial.name + "-old")
            path.rename(aside)
            partial.rename(path)
        _sync(path.parent)
        if aside is not None:
            shutil.rmtree(aside)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Raises:
        OSError: A file could not be written. Of a folder not every file system can say (``EINVAL``).
    """
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)


def _is_special(path: Path) -> bool:
    """True for devices and pipes."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial-{os.getpid()}")


def _remove_abandoned(path: Path) -> None:
    """Delete what killed processes left beside ``path``."""
    for entry in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        pid = entry.name.rpartition("-")[2]
        # Our own id: in a container a restarted process often gets the id of the one that was killed.
        if pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid))):
            shutil.rmtree(entry, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _exchange(first: Path, second: Path) -> bool:
    """Swap two paths atomically with ``renameat2(2)``; False where the system or file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code), str(second))
