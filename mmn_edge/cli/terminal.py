"""What commands print with: the one place where consoles are made, tables, progress, and what is being done.

User text, such as paths and class names, is printed as it is: neither ``[bold]`` nor ``:train:`` means anything in it.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["bar", "console", "following", "glossary", "output", "paragraph", "progress", "show", "status", "warn"]

FINDINGS = 10
"""Findings of a data set that a command prints which was not asked for them."""

PIPE_WIDTH = 4096
"""Columns where standard output is no terminal: lines and tables are as long as they are."""


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints text as it is.

    Args:
        stderr: Standard error instead of standard output.
        width: Columns; None means those of the terminal.
    """
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def output() -> Console:
    """Standard output; nothing is wrapped where it is no terminal."""
    found = console()
    return found if found.is_terminal else console(width=PIPE_WIDTH)


def show(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int, title: str = "", on: Console | None = None
) -> None:
    """Print a table of text on standard output.

    Where the table is wider than the terminal, each row becomes a paragraph, so that no column is lost and no word is
    broken.

    Args:
        header: The columns' names.
        rows: Their text.
        words: How many columns are words, from the first; the others are numbers.
        title: Stands above.
        on: Where to print; None means :func:`output`.
    """
    from rich import box
    from rich.table import Table

    on = on or output()
    # In a pipe it is columns and nothing else.
    frame = box.SIMPLE_HEAD if on.is_terminal else None
    table = Table(box=frame, pad_edge=on.is_terminal, title=title or None, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number < words else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    if on.measure(table, options=on.options.update(max_width=PIPE_WIDTH)).maximum <= on.width:
        with on.capture() as drawn:
            on.print(table)
        on.out("\n".join(line.rstrip() for line in drawn.get().splitlines()), highlight=False)
        return
    if title:
        on.print(title, style="bold")
    for row in rows:
        on.print("\n".join(_stacked(header, row, on.width)), soft_wrap=True)
    on.print()


def _stacked(header: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """One row of a table as lines: its first cell, and the others with their names below it."""
    wrap = functools.partial(textwrap.wrap, width=width, break_long_words=False, break_on_hyphens=False)
    lines = wrap(row[0] or "-")
    line = ""
    for name, cell in zip(header[1:], row[1:], strict=True):
        if not cell.strip():
            continue
        pair = f"{name} {cell}".strip()
        if line and len(line) + len(pair) + 5 > width:
            lines += wrap(line, initial_indent="  ", subsequent_indent="    ")
            line = ""
        line = f"{line} · {pair}" if line else pair
    return lines + wrap(line, initial_indent="  ", subsequent_indent="    ")


def paragraph(text: str, *, indent: str = "") -> str:
    """Text in lines that fit the terminal; where there is none, one line."""
    found = console()
    if not found.is_terminal:
        return indent + text
    return textwrap.fill(
        text,
        found.width,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )


def glossary(entries: Sequence[Sequence[str]]) -> None:
    """Print names and what they mean on standard output: the texts beside the names, or below where it is narrow."""
    on = output()
    beside = max(len(name) for name, _ in entries) + 2
    below = on.width < beside + 40
    for name, text in entries:
        if below:
            on.print(name, style="bold")
        lines = textwrap.wrap(text, on.width - (4 if below else beside), break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            on.print(f"    {line}" if below else f"{'' if number else name:{beside}}{line}", soft_wrap=True)


def bar(*extra: Any, count: bool = True, disable: bool = False) -> Progress:
    """A progress bar on standard error with the time that remains, shown on a terminal only.

    Its tasks' descriptions are printed as they are. It fits 40 columns.

    Args:
        extra: More columns, at the end.
        count: Show how many of how many are done.
        disable: Show nothing.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    on = console(stderr=True)
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=40 if on.width >= 80 else max(on.width - 64, 4)),
        *([MofNCompleteColumn()] if count else []),
        TimeRemainingColumn(compact=True),
        *extra,
    ]
    return Progress(*columns, console=on, transient=True, disable=disable or not on.is_terminal)


@contextmanager
def progress(total: int, what: str = "windows") -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; yields what moves it on."""
    with bar() as shown:
        task = shown.add_task(what, total=total)
        yield lambda count: shown.advance(task, count)


@contextmanager
def following(what: str, *, quiet: bool = False) -> Iterator[Callable[[str, float | None], None]]:
    """Progress of a stream on standard error; yields what takes a few words and the share done, None if not known.

    A terminal that was closed takes no more text: that is no error of the stream.
    """
    shown = bar(count=False, disable=quiet)
    task = shown.add_task(what, total=None)

    def update(text: str, done: float | None) -> None:
        with suppress(OSError):
            shown.update(task, description=text, total=None if done is None else 1.0, completed=done or 0.0)

    with suppress(OSError):
        shown.start()
    try:
        yield update
    finally:
        with suppress(OSError):
            shown.stop()


@contextmanager
def status(first: str) -> Iterator[Callable[[str], None]]:
    """Say what is being done, on standard error: in one line that changes on a terminal, else in a line a step."""
    from rich.text import Text

    on = console(stderr=True)
    if on.is_terminal:
        with on.status(Text(first)) as line:
            yield lambda text: line.update(Text(text))
        return
    said = ""

    def say(text: str) -> None:
        nonlocal said
        if text != said:
            said = text
            on.print(text, soft_wrap=True)

    say(first)
    yield say


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
