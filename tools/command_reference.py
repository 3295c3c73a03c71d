"""The command line's reference, made from the commands themselves while the site is built (a hook of MkDocs)."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

PLACE = "<!-- commands -->"
"""What the reference takes the place of in a page."""


def on_page_markdown(markdown: str, **others: Any) -> str:
    """Put the reference into the page that asks for it."""
    if PLACE not in markdown:
        return markdown
    from mmn_edge.cli import cli

    return markdown.replace(PLACE, "\n".join(_sections(cli, "mmn-edge", 2)))


def _sections(command: click.Command, path: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"{'#' * level} {path}\n"
    yield f"```\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    yield _text(inspect.cleandoc(command.help or ""))
    if options := [option for option in command.params if isinstance(option, click.Option) and not option.hidden]:
        yield "| option | |\n|---|---|"
        for option in options:
            names, explained = option.get_help_record(context) or ("", "")
            yield f"| <code>{_cell(_plain(names))}</code> | {_cell(_plain(explained))} |"
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _sections(below, f"{path} {name}", min(level + 1, 3))


def _text(text: str) -> str:
    """Paragraphs as Markdown; one that keeps its lines in the terminal keeps them here."""
    parts = []
    for paragraph in text.split("\n\n"):
        verbatim = paragraph.startswith("\b\n")
        lines = paragraph.removeprefix("\b\n").splitlines()
        if verbatim:
            head = [lines.pop(0).rstrip(":") + ":\n"] if lines[0].rstrip().endswith(":") else []
            parts.append("\n".join([*head, "```", *inspect.cleandoc("\n".join(lines)).splitlines(), "```"]))
        else:
            parts.append(_plain(" ".join(lines)))
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Text whose characters mean nothing in Markdown."""
    return re.sub(r"[\\`*_\[\]{}#|]", lambda found: f"&#{ord(found[0])};", html.escape(text, quote=False))


def _cell(text: str) -> str:
    return " ".join(text.split())
