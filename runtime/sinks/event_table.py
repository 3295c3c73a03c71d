"""What goes on and what ended last, as a table on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmn_edge.events.decoder import Event

__all__ = ["event_table"]

LABEL = 32
NARROW = 72
"""Columns of a terminal below which the person and the score are left out."""


def event_table(running: Iterable[Event], ended: Iterable[Event], time: float, width: int) -> Any:
    """A table of what goes on at ``time``, and below it of what ended, the newest first.

    Args:
        running: Events that have begun.
        ended: Events that are over.
        time: Seconds in the stream.
        width: Columns of the terminal.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    going_on = sorted(running, key=lambda event: (event.person, event.onset))
    over = list(ended)
    title = f"events at {time:.1f} s"
    if not going_on and not over:
        return Text(f"{title}: none yet", "italic")
    wide = width >= NARROW
    table = Table(expand=False)
    if wide:
        table.add_column("person", width=6, no_wrap=True)
    # Fixed widths, so that the table does not jump; wrapped between words where it must be.
    table.add_column("micro-action", width=LABEL if wide else max(width - 28, 10))
    table.add_column("from", width=8, no_wrap=True, justify="right")
    table.add_column("to", width=8, no_wrap=True, justify="right")
    if wide:
        table.add_column("score", width=5, no_wrap=True, justify="right")
    for events, style in ((going_on, "bold"), (over, "dim")):
        for event in events:
            cells = _cells(event)
            table.add_row(*(cells if wide else cells[1:-1]), style=style)
        table.add_section()
    return Group(Text(title, "italic"), table)


def _cells(event: Event) -> tuple[str, str, str, str, str]:
    name = f"{event.label} (group)" if event.level == "group" else event.label
    until = f"{event.offset:.1f} s" if event.kind == "end" else ""
    return f"{event.source} {event.person}".strip(), name, f"{event.onset:.1f} s", until, f"{event.score:.0%}"
