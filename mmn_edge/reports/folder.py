"""The folder that a report is kept in: never written over anything but an earlier report of its kind."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from mmn_edge.system.replacing import check_replaceable

__all__ = ["DATA", "check_folder"]

DATA = "report.json"
"""The file of a report's data; its ``schema`` tells the kind."""


def check_folder(path: Path, files: Collection[str], family: str, data: str = DATA) -> None:
    """Refuse to write a report over anything but an earlier one.

    Args:
        path: The folder.
        files: The names of a report's files.
        family: What the ``schema`` of its data begins with.
        data: The one of them that holds the data.

    Raises:
        UsageError: ``path`` is a file, or a folder that holds anything else.
    """
    check_replaceable(path, lambda there: _objection(there, set(files), family, data))


def _objection(path: Path, files: Collection[str], family: str, data: str) -> str | None:
    if not path.is_dir():
        return "exists and is no folder"
    names = sorted(entry.name for entry in path.iterdir())
    if others := [name for name in names if name not in files]:
        return f"holds {others[0]}"
    return "is no earlier report" if names and not _is_report(path / data, family) else None


def _is_report(file: Path, family: str) -> bool:
    try:
        return bool(json.loads(file.read_text(encoding="utf-8"))["schema"].startswith(family))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
