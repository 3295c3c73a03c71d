"""Writing that cannot harm what was there: everything is made beside its target and renamed into place."""

from __future__ import annotations

import ctypes
import errno
import glob
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_file", "atomic_folder", "sha256"]

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
    yielded itself. What a killed process left beside ``path`` is not touched: it may be all there is of a recording.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path  # as it is: what /dev/stdout leads to may have no name
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside ``path``; it takes the place of ``path`` when the block ends well.

    An earlier folder at ``path`` is untouched until then; where the system can (Linux), both are exchanged in one step,
    so that a process killed at any moment leaves one of the two complete at ``path``.
    """
    path = path.resolve()  # a link stays, and what it leads to is exchanged
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        if not path.exists():
            partial.rename(path)
        elif not _exchange(partial, path):
            aside = partial.with_name(partial.name + "-old")
            path.rename(aside)
            partial.rename(path)
            shutil.rmtree(aside)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
