"""Notices of native code that no setting turns off, kept from the terminal; all other words pass."""

from __future__ import annotations

import os
import re
import threading

__all__ = ["NOTICE", "Notices"]

NOTICE = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:[\d.]+ +\d+ [\w./]+:\d+\] "  # absl's, as in W0000 00:00:1795898234.47 21 file.cc:114]
    rb"|INFO: Created TensorFlow Lite "
    rb"|WARNING: All log messages before absl::InitializeLog\(\) "
)
"""How lines begin that are dropped: information and warnings of absl and TensorFlow Lite. Their errors pass."""

_BLOCK = 65_536


class Notices:
    """Drops lines that begin with :data:`NOTICE` from descriptor 2 of the process, from ``start`` to ``stop``.

    What other threads and libraries write there is passed on, a line at a time. Python's ``sys.stderr`` goes there too,
    unless the program has given it a descriptor of its own, as the command line does.
    """

    def __init__(self) -> None:
        self._kept = -1
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; does nothing where it has begun."""
        if self._thread is not None:
            return
        self._kept = os.dup(2)
        source, sink = os.pipe()
        os.dup2(sink, 2)
        os.close(sink)
        self._thread = threading.Thread(target=_pass, args=(source, self._kept), name="notices", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, when all that was written has passed."""
        if self._thread is None:
            return
        os.dup2(self._kept, 2)  # the last end of the pipe that this process has
        self._thread.join(1.0)  # a child that was started meanwhile may hold another: the thread then lives with it
        self._thread = None


def _pass(source: int, target: int) -> None:
    """Copy lines from one descriptor to another until the end, without notices; both are closed."""
    rest = b""
    try:
        while block := os.read(source, _BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            words = b"".join(line + b"\n" for line in lines if not NOTICE.match(line))
            if words:
                os.write(target, words)
            if len(rest) > _BLOCK:
                os.write(target, rest)
                rest = b""
        if rest and not NOTICE.match(rest):
            os.write(target, rest)
    except OSError:  # nobody reads the terminal any more
        pass
    finally:
        os.close(source)
        os.close(target)
