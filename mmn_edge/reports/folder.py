"""The folder that a report is kept in: never written over anything but an earlier report of its kind."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from mmn_edge.errors import UsageError

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
    if path.is_dir():
        others = sorted({entry.name for entry in path.iterdir()} - set(files))
        if not any(path.iterdir()) or (not others and _is_report(path / data, family)):
            return
        what = f"holds {others[0]}" if others else "is no earlier report"
        raise UsageError(f"{path} {what}, so it was left alone: choose another folder with -o")
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists and is no folder, so it was left alone: choose another with -o")


def _is_report(file: Path, family: str) -> bool:
    try:
        return bool(json.loads(file.read_text(encoding="utf-8"))["schema"].startswith(family))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
