"""A group of commands whose modules are imported when they are asked for: the first line waits for none but its own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mmn_edge.cli.help import HelpContext, fit

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["LazyGroup", "Place"]


class Place(NamedTuple):
    """Where a command is.

    Attributes:
        module: Dotted.
        summary: The first sentence of its help, which ``--help`` and completion show without importing it.
        attribute: Its name in the module; the command's own where None.
    """

    module: str
    summary: str
    attribute: str | None = None


class LazyGroup(click.Group):
    """A group of commands that are named by where they are.

    Args:
        name: Of the group.
        places: By the commands' names.
    """

    context_class = HelpContext

    def __init__(self, name: str | None = None, *, places: Mapping[str, Place], **settings: Any) -> None:
        super().__init__(name, commands=_Commands(places), **settings)
        self.places = places

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write names and summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(name)) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands and options."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=self._summary(name)) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def _summary(self, name: str) -> str:
        place = self.places.get(name)
        return place.summary if place else self.commands[name].get_short_help_str()


class _Commands(MutableMapping[str, click.Command]):
    """Commands by name; getting one imports its module."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._known: dict[str, Place | click.Command] = dict(places)

    def __getitem__(self, name: str) -> click.Command:
        known = self._known[name]
        if isinstance(known, Place):
            known = getattr(importlib.import_module(known.module), known.attribute or name)
            assert isinstance(known, click.Command)
            fit(known)
            self._known[name] = known
        return known

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
