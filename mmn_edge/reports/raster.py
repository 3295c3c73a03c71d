"""Pictures for papers and slides: SVG as PNG or PDF."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from mmn_edge.errors import MissingDependencyError, UsageError
from mmn_edge.system.extras import require
from mmn_edge.system.files import atomic_file

__all__ = ["SUFFIXES", "check_pictures", "write_picture"]

SUFFIXES = (".svg", ".png", ".pdf")
SCALE = 2.0
"""Pixels of a PNG for each of the SVG."""


def check_pictures(suffix: str) -> None:
    """Refuse what cannot be written, before any work.

    Raises:
        UsageError: The suffix is no picture's.
        MissingDependencyError: CairoSVG, or the cairo library that it needs, is not installed.
    """
    if suffix.lower() not in SUFFIXES:
        raise UsageError(f"a picture ends in {', '.join(SUFFIXES)}, not in {suffix!r}")
    if suffix.lower() != ".svg":
        _cairo()


def write_picture(path: Path, svg: str) -> None:
    """Write a picture in the format of its suffix, whole or not at all.

    Raises:
        UsageError: The suffix is no picture's.
        MissingDependencyError: See :func:`check_pictures`.
    """
    suffix = path.suffix.lower()
    check_pictures(suffix)
    data = svg.encode()
    if suffix == ".png":
        data = _cairo().svg2png(bytestring=data, scale=SCALE)
    elif suffix == ".pdf":
        data = _cairo().svg2pdf(bytestring=data)
    with atomic_file(path) as partial:
        partial.write_bytes(data)


def _cairo() -> ModuleType:
    try:
        return require("cairosvg", extra="pictures", purpose="Writing PNG and PDF")
    except OSError as error:
        raise MissingDependencyError(
            "Writing PNG and PDF needs the cairo library, which is not installed: install it with your system's "
            "packages (apt install libcairo2), or write .svg"
        ) from error
