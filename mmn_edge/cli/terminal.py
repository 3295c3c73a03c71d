"""What commands print with: tables, and a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["output", "progress", "table", "warn"]

FINDINGS = 10
"""Findings of a data set that a command prints which was not asked for them."""

PIPE_WIDTH = 160
"""Columns of a table where standard output is no terminal."""


def output() -> Console:
    """Standard output, wide enough for tables where it is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


@contextmanager
def progress(total: int, what: str = "windows") -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; yields what moves it on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> Table:
    """A table of text whose first columns are words and whose others are numbers."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    result = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(header):
        result.add_column(escape(name), justify="left" if number < words else "right", overflow="fold")
    for row in rows:
        result.add_row(*map(escape, row))
    return result


def warn(findings: Sequence[str], path: Path | None = None) -> None:
    """Print what was found of a data set on standard error, the first ones of many.

    Args:
        findings: Sentences without a full stop.
        path: The data set, whose check says more.
    """
    for finding in findings[:FINDINGS]:
        click.echo(f"warning: {finding}", err=True)
    if path is not None and len(findings) > FINDINGS:
        click.echo(f"and {len(findings) - FINDINGS} more: mmn-edge data check {path}", err=True)
