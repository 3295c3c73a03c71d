"""What systemd is told of a service of ``Type=notify``, see sd_notify(3): a datagram to a socket that it names."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

__all__ = ["notify", "watchdog_seconds"]


def notify(*states: str) -> bool:
    """Tell systemd, such as ``READY=1``, ``WATCHDOG=1``, ``STOPPING=1`` or ``STATUS=...``; False where nobody asks.

    A socket that does not answer is no error: a service must not fail for that.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # Linux's abstract names begin with a null byte
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        to.settimeout(1.0)
        to.sendto("\n".join(states).encode(), address)
        return True
    return False


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear ``WATCHDOG=1`` at the least; None where it does not watch this process."""
    text, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not text.isdecimal() or int(text) == 0 or (pid is not None and pid != str(os.getpid())):
        return None
    return int(text) / 1e6
