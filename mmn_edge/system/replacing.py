"""The guard of outputs: what is written takes the place of nothing but an earlier one of its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmn_edge.errors import MmnEdgeError, UsageError

__all__ = ["check_replaceable"]


def check_replaceable(
    path: Path, objection: Callable[[Path], str | None], *, error: type[MmnEdgeError] = UsageError
) -> None:
    """Refuse to write over anything but what ``objection`` knows as an earlier output.

    Args:
        path: Where something is to be written.
        objection: What keeps ``path``, which is there, from being replaced, as words that follow the path ("exists and
            is no bundle"); None where nothing does.
        error: What is raised.

    Raises:
        MmnEdgeError: Of the kind ``error``: there is an objection.
    """
    if not path.exists() and not path.is_symlink():
        return
    if (why := objection(path)) is not None:
        raise error(f"{path} {why}, so it was left alone: move that away, or choose another name")
