"""What ``run`` and ``record`` share: how sources are named, asked of, and kept apart from what is written."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmn_edge.cli.logs import note
from mmn_edge.errors import UsageError

if TYPE_CHECKING:
    from mmn_edge.runtime.sources.source import Source

__all__ = ["SOURCE_HELP", "keep_apart", "open_sources", "source_options"]

SOURCE_HELP = """SOURCE is a skeleton recording (.jsonl, .jsonl.gz), - for the same on standard input, a video file, a
    camera (camera:0, csi:0, rtsp://HOST/PATH, http://HOST/PATH, gst:PIPELINE), skeletons from the network (tcp://:9000,
    udp://, ws://), or synthetic (a made-up person; synthetic:seconds=60,seed=3). Videos are read upright. NAME= before
    it is what it is called."""

MAX_SIDE = 16_384
"""Pixels."""


def _pixels(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Width and height, from ``1280x720``."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", value)
    if found is None or not all(0 < int(side) <= MAX_SIDE for side in found.groups()):
        raise click.BadParameter(f"{value!r} is no size: write width and height, such as 1280x720", context, parameter)
    return int(found[1]), int(found[2])


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--camera`` and how images are taken: ``--size``, ``--fps``, ``--silence``, ``--rotate``, ``--mirror``."""
    options = (
        click.option("--camera", type=click.IntRange(min=0), help="Short for the source camera:INDEX."),
        click.option("--size", callback=_pixels, metavar="WxH", help="Ask a camera for images of this size: 1280x720."),
        click.option(
            "--fps",
            type=click.FloatRange(min=0, min_open=True, max=1000),
            metavar="RATE",
            help="Ask a camera for so many images a second.",
        ),
        click.option(
            "--silence",
            type=click.FloatRange(min=1, max=3600),
            default=10.0,
            show_default=True,
            metavar="SECONDS",
            help="Open a camera anew when no image has come for so long.",
        ),
        click.option(
            "--rotate",
            type=click.Choice(["0", "90", "180", "270"]),
            default="0",
            help="Turn images clockwise by so many degrees first: for a camera mounted on its side.",
        ),
        click.option("--mirror", is_flag=True, help="Swap left and right: for a camera whose image is a mirror's."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def open_sources(
    sources: Sequence[str],
    *,
    camera: int | None,
    size: tuple[int, int] | None,
    fps: float | None,
    silence: float,
    rotate: str,
    mirror: bool,
    speed: float | None = None,
) -> dict[str, tuple[str, Source]]:
    """The sources that were named, not yet opened, by what they are called: their names as given, and themselves.

    Several live sources are waited for where they are not there yet: one that is off keeps none of the others.

    Raises:
        UsageError: None is named, one is named twice, or an option does not fit.
        SourceError: A file is not there.
    """
    from mmn_edge.runtime.sources.address import Address, distinct_names
    from mmn_edge.runtime.sources.grammar import LiveOptions, open_source
    from mmn_edge.runtime.sources.images import Orientation

    given = (*sources, *(() if camera is None else (f"camera:{camera}",)))
    if not given:
        raise UsageError("name a source: a recording, a video, -, synthetic, or --camera 0")
    if len(set(given)) < len(given):
        raise UsageError("a source is named twice: name each once")
    addresses = [Address.parse(name) for name in given]
    names = distinct_names(addresses) if len(given) > 1 else [addresses[0].label or addresses[0].shown]
    several = len(given) > 1
    opened: dict[str, tuple[str, Source]] = {}
    for address, called, text in zip(addresses, names, given, strict=True):
        live = LiveOptions(
            size=size,
            rate=fps,
            silence=silence,
            patient=several,
            on_note=lambda said, called=called: note(f"{called}: {said}" if several else said),  # type: ignore[misc]
        )
        source = open_source(text, speed=speed, orientation=Orientation(int(rotate), mirror), live=live)
        opened[called] = (address.text, source)
    return opened


def keep_apart(source: str, output: Path | None) -> None:
    """Refuse to write over what is read, however the two are spelled."""
    if output is None or not output.is_file():
        return
    try:
        read = os.fstat(sys.stdin.fileno()) if source == "-" else Path(source).stat()
    except (OSError, ValueError, AttributeError):  # no file, or a standard input that is none
        return
    if os.path.samestat(read, output.stat()):
        raise UsageError(f"{output} is both source and output: name another file to write")
