"""Data sets from the Hugging Face hub. Files are only stored, never opened: reading them later is what refuses code."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from mmn_edge.errors import SourceError, UsageError
from mmn_edge.system.extras import require

__all__ = ["DATA_FILES", "download"]

DATA_FILES = ("*.pkl", "*.npz", "*.jsonl", "*.json", "*.csv", "*.txt", "*.md", "LICENSE*")
"""What skeleton data sets consist of; their videos can take many gigabytes."""

_STATE = ".cache"
"""What huggingface_hub leaves in a folder, by which a download that was cut short is known."""


def download(
    repository: str, folder: Path, *, revision: str | None = None, patterns: Sequence[str] = DATA_FILES
) -> tuple[Path, ...]:
    """Download a data set's files; what is there already is not fetched again.

    A token is taken from where huggingface_hub looks for it (``hf auth login``, ``HF_TOKEN``), another hub from
    ``HF_ENDPOINT``.

    Args:
        repository: ``OWNER/NAME`` of a data set.
        folder: Where the files go.
        revision: A branch, tag or commit; the main branch where None.
        patterns: Which files, as shell patterns; a ``*`` stands for slashes too.

    Returns:
        The files, sorted.

    Raises:
        UsageError: The repository's name has another form, or the folder holds something else.
        MissingDependencyError: huggingface_hub is not installed.
        SourceError: The hub cannot be reached, or has no such data set, revision or files.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UsageError(f"{repository!r} is no data set's id: it has the form OWNER/NAME")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder with -o")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _STATE / "huggingface").is_dir():
        raise UsageError(f"{folder} holds something else: name a new folder with -o")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    hub = require("huggingface_hub", extra="hub", purpose="Downloading a data set")
    try:
        hub.snapshot_download(
            repository, repo_type="dataset", revision=revision, local_dir=folder, allow_patterns=list(patterns)
        )
    except Exception as error:  # of requests, httpx, or the package's own, by version
        if isinstance(error, OSError) and error.filename:  # the disk, not the hub
            raise
        kind = type(error).__name__
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), kind)
        advice = (
            "check its id, and where access must be asked for, do so and log in with 'hf auth login'"
            if kind in ("RepositoryNotFoundError", "GatedRepoError")
            else f"what has arrived in {folder} is kept, and the same command goes on from there"
        )
        raise SourceError(
            f"the data set {repository} could not be downloaded ({kind}: {reason.rstrip('.')}): {advice}"
        ) from error
    files = [file for file in folder.rglob("*") if file.is_file() and _STATE not in file.relative_to(folder).parts]
    if not files:
        raise SourceError(f"the data set {repository} has no files named {', '.join(patterns)}")
    return tuple(sorted(files))
