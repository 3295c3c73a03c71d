"""Words that many messages are made of."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["some"]


def some(names: Iterable[str], most: int = 10) -> str:
    """The first few of many names, and how many more there are: ``a, b and 3 more``."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
