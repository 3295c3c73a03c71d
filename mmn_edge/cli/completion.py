"""Shell completion of names: presets, layouts, recipes and their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import click
from click.shell_completion import CompletionItem

__all__ = ["among", "of_recipe_fields", "of_recipes"]

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def among(names: Iterable[str]) -> Complete:
    """Complete one of ``names``."""
    known = tuple(names)

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]

    return complete


def of_recipes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a recipe that comes with mmn-edge, else a file."""
    from mmn_edge.train import recipe

    found = [CompletionItem(name) for name in recipe.names() if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def of_recipe_fields(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete ``section.field=``."""
    from mmn_edge.train.recipe import Recipe

    return [CompletionItem(f"{name}=") for name in _fields(Recipe) if name.startswith(incomplete)]


def _fields(kind: Any, prefix: str = "") -> list[str]:
    hints = get_type_hints(kind)
    found: list[str] = []
    for field in fields(kind):
        inner = hints[field.name]
        if is_dataclass(inner):
            found += _fields(inner, f"{field.name}.")
        elif field.compare:
            found.append(f"{prefix}{field.name}")
    return found
