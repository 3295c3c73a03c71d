"""What ``mmn-edge run`` does with events: options of the decoder, and files by their suffix."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmn_edge.cli import terminal
from mmn_edge.errors import UsageError

if TYPE_CHECKING:
    from mmn_edge.bundle.bundle import Bundle
    from mmn_edge.events.parameters import DecoderParameters
    from mmn_edge.runtime.counters import Counters, SourceCounters
    from mmn_edge.runtime.sinks.sink import Sink

__all__ = [
    "EMIT",
    "SUFFIXES",
    "decoder_options",
    "decoder_parameters",
    "emit_option",
    "open_sinks",
    "recording_name",
    "sink_option",
    "status_line",
]

EMIT = ("events", "predictions", "both")
LINES = (".jsonl", ".ndjson")
SUFFIXES = (*LINES, ".csv", ".eaf", ".textgrid", ".vtt", ".srt")
"""What ``-o`` writes."""

emit_option = click.option(
    "--emit",
    type=click.Choice(EMIT),
    default=EMIT[0],
    show_default=True,
    help="Events (what began and ended when), each window's prediction, or both.",
)


sink_option = click.option(
    "--sink",
    "sink_names",
    multiple=True,
    metavar="SINK",
    help="Send to a program besides: mqtt://HOST, ws://HOST:PORT, http://HOST:PORT (/metrics, /health), or "
    "FILE.jsonl,size=50MB,keep=30d; see docs/guides/sinks.md. Repeatable.",
)


def decoder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--sensitivity`` and ``--decoder``."""
    command = click.option(
        "--decoder",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE.json",
        help="Parameters of the event decoder that replace the bundle's; see docs/reference/events.md.",
    )(command)
    return click.option(
        "--sensitivity",
        type=click.FloatRange(0, 1),
        help="0 to 1: higher finds more events, and more that are none.  [default: the bundle's; 0.5]",
    )(command)


def decoder_parameters(bundle: Bundle, file: Path | None, sensitivity: float | None) -> DecoderParameters:
    """The bundle's parameters, as a file and an option change them.

    Raises:
        UsageError: The file is no JSON object, or names what there is not.
        BundleError: The bundle's own are broken.
    """
    from mmn_edge.runtime.event_stage import parameters_of

    parameters = parameters_of(bundle)
    if file is not None:
        try:
            values = json.loads(file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{file} holds no parameters of the decoder: {error}") from error
        if not isinstance(values, dict):
            raise UsageError(f"{file} holds no parameters of the decoder: it must be a JSON object")
        try:
            parameters = parameters.changed(values)
            parameters.check(bundle.manifest.labels)
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from error
    if sensitivity is not None:
        parameters = parameters.changed({"sensitivity": sensitivity})
    return parameters


def open_sinks(
    stack: ExitStack,
    bundle: Bundle,
    source: str,
    outputs: Sequence[Path],
    *,
    names: Sequence[str] = (),
    live: bool = False,
    emit: str,
    as_json: bool,
    on_note: Callable[[str], None],
    counters: Counters,
) -> list[Sink]:
    """Where events and predictions go; the pipeline enters them, and the files and servers behind them ``stack`` does.

    Args:
        stack: Closes what is opened.
        bundle: The model.
        source: What was named as source.
        outputs: Files, by their suffix.
        names: Further sinks, see :mod:`mmn_edge.runtime.sinks.grammar`.
        live: Whether the source is lived through.
        emit: One of :data:`EMIT`.
        as_json: JSON lines on standard output, also on a terminal.
        on_note: Told in sentences what the user should know.
        counters: The run's.

    Raises:
        UsageError: A file's suffix is that of no format, the format holds no predictions, or no sink is called that.
        MissingDependencyError: A format or sink needs a package that is not installed.
    """
    from mmn_edge.runtime.sinks.annotations import AnnotationSink
    from mmn_edge.runtime.sinks.context import SinkContext
    from mmn_edge.runtime.sinks.grammar import open_sink
    from mmn_edge.runtime.sinks.sink import JsonLinesSink, TableSink
    from mmn_edge.system.files import line_file

    sinks: list[Sink] = []
    media = Path(source) if Path(source).is_file() and Path(source).suffix.lower() not in LINES else None
    context = SinkContext(
        bundle.manifest.labels,
        tuple(counters.sources) if len(counters.sources) > 1 else (recording_name(source),),
        live=live,
        events=emit != EMIT[1],
        predictions=emit != EMIT[0],
        stride=bundle.manifest.window.stride,
        media=media,
        on_note=on_note,
        counters=counters,
    )
    made = [open_sink(name, context) for name in names]
    stack.enter_context(context.servers)
    sinks += made
    for path in outputs:
        if path.suffix.lower() in LINES or not path.suffix:
            sinks.append(JsonLinesSink(stack.enter_context(line_file(path)), str(path)))
            continue
        if emit == EMIT[1]:
            raise UsageError(f"{path} is for events, and --emit predictions leaves them out: name a file .jsonl")
        annotations = AnnotationSink(path, recording_name(source), bundle.manifest.labels, media=media, on_note=on_note)
        sinks.append(annotations)
    if as_json or not (outputs or names or sys.stdout.isatty()):
        sinks.append(JsonLinesSink(sys.stdout))
    elif sys.stdout.isatty() and "table" not in names:
        events, predictions = emit != EMIT[1], emit != EMIT[0]
        stride = bundle.manifest.window.stride
        sinks.append(
            TableSink(
                terminal.console(),
                stride=stride,
                events=events,
                predictions=predictions,
                status=lambda: status_line(counters),
            )
        )
    return sinks


def status_line(counters: Counters) -> str:
    """How the sources of a live run do, in a line each; empty where none is live."""
    lines = []
    for source in counters.sources.values():
        if not source.live:
            continue
        parts = [f"{source.frames_per_second:.1f} frames/s"]
        if source.ages:
            parts.append(f"{source.lag_ms:.0f} ms behind")
        parts += [f"{count} {what}" for what, count in _losses(source) if count]
        if source.state == "failed":
            parts = ["failed"]
        lines.append((f"{source.name}: " if len(counters.sources) > 1 else "") + ", ".join(parts))
    return "\n".join(lines)


def _losses(source: SourceCounters) -> tuple[tuple[str, int], ...]:
    return (
        ("frames dropped", source.dropped),
        ("windows skipped", source.skipped),
        ("reconnects", source.reconnects),
    )


def recording_name(source: str) -> str:
    """What annotations call a source: a file's name without its suffix."""
    from mmn_edge.runtime.sources.address import Address

    return Address.parse(source).name
