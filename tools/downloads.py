"""Packages that proofs without a GPU need, and that no environment should hold: downloaded once, and kept.

They are kept under ``$MMN_EDGE_CACHE``, or ``~/.cache/mmn-edge``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Unavailable", "cache", "download", "fingerprint", "kept", "run", "unzip"]

SECONDS = 120


class Unavailable(Exception):
    """A package or tool is not to be had here; the message says which and why, in one line."""


def cache() -> Path:
    """The folder in which everything is kept."""
    named = os.environ.get("MMN_EDGE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "mmn-edge"


@contextmanager
def kept(name: str) -> Iterator[tuple[Path, bool]]:
    """Yield a folder of the cache, and whether it is complete; it is, once the block has ended well. Else it is empty.

    One process at a time has it; the others wait.
    """
    folder = cache() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / ".complete"
        complete = done.is_file()
        if not complete:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folder, complete
        done.touch()


def fingerprint(*files: Path) -> str:
    """Tells what was made by one version of these files from what was made by another, and by another Python."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return f"{sys.implementation.cache_tag}-{digest[:8]}"


def download(requirement: str, *, source: bool = False) -> Path:
    """The wheel, or the source archive, of ``"name==version"`` for this Python; from the cache if it is there.

    Raises:
        Unavailable: pip cannot get it.
    """
    with kept(f"downloads/{requirement}-{sys.implementation.cache_tag}") as (folder, complete):
        if not complete:
            name = requirement.partition("==")[0]
            kind = ["--no-binary", name, "--no-build-isolation"] if source else ["--only-binary", ":all:"]
            run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind, "-d", str(folder), requirement]
            )
        (file,) = (path for path in folder.iterdir() if path.suffix in (".whl", ".gz"))
        return file


def unzip(wheel: Path, folder: Path) -> None:
    """Unpack a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


def run(
    command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None, seconds: int = SECONDS
) -> str:
    """Run a command and return what it printed.

    Raises:
        Unavailable: It is not installed, fails or takes too long; the message holds its last line.
    """
    environment = {**os.environ, **(env or {})}
    try:
        process = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from error
    if process.returncode:
        lines = (process.stderr or process.stdout).strip().splitlines() or ["no output"]
        raise Unavailable(f"{' '.join(command[:4])} failed: {lines[-1]}")
    return process.stdout
