"""How help texts are shown: in the width of the terminal, and whole."""

from __future__ import annotations

import shutil
import textwrap

import click

__all__ = ["HelpContext", "fit"]

_WHOLE = 1000
_VERBATIM = "\b\n"


class _Formatter(click.HelpFormatter):
    """Breaks example lines that are too long, so that they can still be pasted into a shell."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        if width is None:  # click takes no fewer than 50 columns, whatever the terminal has
            width = max(min(shutil.get_terminal_size().columns, max_width or 80) - 2, 30)
        super().__init__(indent_increment, width, max_width)

    def write_text(self, text: str) -> None:
        """Write paragraphs; those that begin with a backspace keep their lines, as far as these fit."""
        room = max(self.width - self.current_indent, 11)
        paragraphs = text.split("\n\n")
        super().write_text("\n\n".join(_fitting(paragraph, room) for paragraph in paragraphs))


class HelpContext(click.Context):
    """Shows help in the width of the terminal; examples that do not fit are broken as a shell takes them."""

    formatter_class = _Formatter


def fit(command: click.Command) -> None:
    """Have a command, and those below it, show their help in full: no summary ends in dots, no line is too long."""
    command.context_class = HelpContext
    command.short_help = command.short_help or command.get_short_help_str(_WHOLE)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            fit(below)


def _fitting(paragraph: str, room: int) -> str:
    if not paragraph.startswith(_VERBATIM):
        return paragraph
    lines: list[str] = []
    for line in paragraph.splitlines():
        if len(line) <= room:
            lines.append(line)
            continue
        words = line.lstrip()
        indent = " " * min(len(line) - len(words), 6)
        command, _, meaning = words.partition("  ")
        lines += _broken(command, indent, room, shell=command.startswith(("mmn-edge ", "torchrun ")))
        if meaning:
            lines += _broken(meaning.strip(), indent + "    ", room)
    return "\n".join(lines)


def _broken(words: str, indent: str, room: int, *, shell: bool = False) -> list[str]:
    lines = textwrap.wrap(
        words,
        max(room - 2, 12),
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:] if shell else lines
