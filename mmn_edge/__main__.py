"""``mmn-edge``, and ``python -m mmn_edge``: Ctrl-C is heard from the first line on, before the long imports."""

from __future__ import annotations

import os
import signal
from types import FrameType

from mmn_edge.errors import INTERRUPTED


def main() -> None:
    """Run the command line and exit."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as nohup and background jobs have it
        signal.signal(signal.SIGINT, _leave)
    from mmn_edge.cli import main as command_line

    try:
        command_line()
    finally:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # once more, at the interpreter's end, is no traceback


def _leave(number: int, frame: FrameType | None) -> None:
    """Nothing has begun yet: leave at once. An exception in the middle of an import would be a traceback."""
    os.write(2, b"mmn-edge: interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
