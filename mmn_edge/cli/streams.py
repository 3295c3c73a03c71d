"""``mmn-edge run`` and ``mmn-edge record``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.event_output import (
    SUFFIXES,
    decoder_options,
    decoder_parameters,
    emit_option,
    open_sinks,
    sink_option,
)
from mmn_edge.cli.options import (
    OutputFile,
    backend_option,
    enough_seen_option,
    find_bundle,
    model_option,
    precision_option,
)
from mmn_edge.cli.run_summary import summary
from mmn_edge.cli.source_options import SOURCE_HELP, keep_apart, note, open_sources, source_options
from mmn_edge.errors import BundleError, DataError, SourceError, UsageError

if TYPE_CHECKING:
    from mmn_edge.runtime.counters import SourceCounters
    from mmn_edge.runtime.sources.source import Observation

__all__ = ["record", "run"]

LINES = (".jsonl", ".ndjson")
"""What a file of JSON lines may be called."""


@click.command(
    help=f"""Recognise micro-actions in SOURCE.

    {SOURCE_HELP}

    Events say what began and ended when, several at once. On a terminal a live table is shown; otherwise, or with
    --json, JSON lines are printed, one for each start, update and end. They come from predictions (--emit), which are
    made for every person each stride of stream time, once a whole window of them has been seen; somebody who is there
    for less than that gives one on leaving. The suffix of -o says what is written: JSON lines (.jsonl), or a file of
    annotations (.csv, .eaf, .TextGrid, .vtt, .srt).

    \b
    Examples:
      mmn-edge run --camera 0
      mmn-edge run --model model.bundle talk.avi --json > events.jsonl
      mmn-edge run --model model.bundle talk.mp4 -o talk.eaf -o talk.vtt
      mmn-edge run --model model.bundle talk.avi --emit predictions -o predictions.jsonl
      mmn-edge run --model model.bundle session.jsonl --speed 1
      mmn-edge run --model model.bundle --camera 0 --backend tensorrt
      sensor | mmn-edge run --model model.bundle -
      mmn-edge run --model model.bundle --camera 0 --size 1280x720 --fps 30
      mmn-edge run --model model.bundle 'rtsp://me:${{PASSWORD}}@192.168.1.20/stream1'
      mmn-edge run --model model.bundle door=camera:0 desk=camera:1 --json
      mmn-edge run --model build/demo/demo.bundle synthetic:seconds=30
    """
)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@source_options
@model_option
@click.option("--json", "as_json", is_flag=True, help="JSON lines, also on a terminal.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=OutputFile(*SUFFIXES),
    help="Write to a file instead of standard output: JSON lines, or annotations. Repeatable.",
)
@sink_option
@emit_option
@decoder_options
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Replay at this multiple of real time.  [default: as fast as possible]",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop after this much of the stream.",
)
@enough_seen_option
@backend_option
@precision_option
@click.option("--threads", type=click.IntRange(1, 256), help="Threads of ONNX Runtime on the CPU.")
def run(
    sources: tuple[str, ...],
    camera: int | None,
    size: tuple[int, int] | None,
    fps: float | None,
    silence: float,
    model: Path | None,
    as_json: bool,
    outputs: tuple[Path, ...],
    sink_names: tuple[str, ...],
    emit: str,
    sensitivity: float | None,
    decoder: Path | None,
    speed: float | None,
    duration: float | None,
    rotate: str,
    mirror: bool,
    enough_seen: float | None,
    backend: str | None,
    precision: str | None,
    threads: int | None,
) -> None:
    """See the decorator: the help text shares a paragraph with record."""
    from mmn_edge.cli.engines import open_ready
    from mmn_edge.runtime.pipeline import Emit, Pipeline

    opened = open_sources(
        sources,
        camera=camera,
        size=size,
        fps=fps,
        silence=silence,
        rotate=rotate,
        mirror=mirror,
        speed=speed,
    )
    names = [name for name, _ in opened.values()]
    streams = {called: stream for called, (_, stream) in opened.items()}
    if outputs and len(names) > 1:
        raise UsageError("several sources are not written to one file: leave -o out, and each line says its source")
    for output in outputs:
        for name in names:
            keep_apart(name, output)
    live = any(stream.live for stream in streams.values())
    bundle, ready = open_ready(find_bundle(model), backend, precision=precision, threads=threads, live=live)
    failure: BaseException | None = None
    with ExitStack() as stack:
        loaded = stack.enter_context(ready)
        progress = _Progress()
        pipeline = Pipeline(
            streams,
            bundle,
            loaded,
            emit=cast(Emit, emit),
            parameters=decoder_parameters(bundle, decoder, sensitivity),
            enough_seen=enough_seen,
            duration=duration,
            on_note=note,
            on_frame=progress.frame,
        )
        stack.enter_context(pipeline)
        counters = pipeline.counters
        sinks = open_sinks(
            stack,
            bundle,
            names[0],
            outputs,
            names=sink_names,
            live=live,
            emit=emit,
            as_json=as_json,
            on_note=note,
            counters=counters,
        )
        # Where events are seen, they tell how far it is.
        progress.follow = stack.enter_context(terminal.following("starting", quiet=sys.stdout.isatty()))
        try:
            pipeline.run(sinks)
        except BrokenPipeError:
            # The reader has gone, as in `mmn-edge run ... | head`: no error. Nothing is left to flush to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        except (SourceError, DataError, OSError, KeyboardInterrupt) as error:
            if not counters.predictions and (outputs or not isinstance(error, KeyboardInterrupt)):
                raise  # nothing to keep: an earlier output file stays
            failure = error  # raised below, after the summary of what was predicted until now
    recognizers = list(pipeline.recognizers.values())
    click.echo(summary(counters, recognizers, bundle.manifest.window), err=True)
    for stream in streams.values() if failure is None or isinstance(failure, KeyboardInterrupt) else ():
        if stream.note is not None:  # Ctrl-C is how a live stream ends
            click.echo(f"note: {stream.note}", err=True)
    if failure is not None:
        raise failure
    if 0 < counters.predictions == sum(recognizer.not_finite for recognizer in recognizers):
        raise BundleError(
            f"{bundle.path} gave no finite number for any window ({loaded.precision} on {loaded.name}): try another "
            "--precision, or train or convert it again"
        )


class _Progress:
    """Tells the terminal how far the streams are, not oftener than it can be read."""

    EVERY = 0.1

    def __init__(self) -> None:
        self.follow: Callable[[str, float | None], None] = lambda text, done: None
        self._told = 0.0

    def frame(self, counters: SourceCounters, done: float | None) -> None:
        """A frame has come."""
        now = time.monotonic()
        if now - self._told >= self.EVERY:
            self._told = now
            self.follow(f"{counters.time:.1f} s, {counters.events} events", done)


@click.command(
    help=f"""Record the skeletons of SOURCE, so that the session can be replayed exactly.

    {SOURCE_HELP}

    The recording (JSON Lines, one frame a line, see docs/reference/recordings.md) gives the same predictions as the
    session
    itself. What was recorded until the source failed, the disk was full or Ctrl-C is kept.

    \b
    Examples:
      mmn-edge record --camera 0 -o session.jsonl
      mmn-edge record talk.avi -o talk.jsonl
      mmn-edge run --model model.bundle session.jsonl
    """
)
@click.argument("source", required=False)
@source_options
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(*LINES),
    help="The recording to write (.jsonl).",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop after this much of the stream.",
)
def record(
    source: str | None,
    camera: int | None,
    size: tuple[int, int] | None,
    fps: float | None,
    silence: float,
    output: Path,
    duration: float | None,
    rotate: str,
    mirror: bool,
) -> None:
    """See the decorator: the help text shares a paragraph with run."""
    from mmn_edge.skeleton import recording
    from mmn_edge.system.files import line_file

    if source is not None and camera is not None:
        raise UsageError("name one source: a recording, a video, -, synthetic, or --camera 0")
    opened = open_sources(
        () if source is None else (source,),
        camera=camera,
        size=size,
        fps=fps,
        silence=silence,
        rotate=rotate,
        mirror=mirror,
    )
    name, (text, stream) = next(iter(opened.items()))
    keep_apart(text, output)
    failure: Exception | None = None
    somebody = False
    with stream, line_file(output) as file, terminal.following("recording, Ctrl-C to stop") as follow:
        try:
            for observation in _limited(stream, duration):
                file.write(recording.format_frame(observation.frame) + "\n")
                somebody = somebody or bool(observation.frame.persons)
                follow(
                    f"recorded {file.lines} frames, {observation.frame.time:.1f} s"
                    + ("" if somebody else ", nobody seen yet"),
                    stream.done,
                )
            if not file.lines:
                raise SourceError(f"no frame came from {name}, so nothing was written")
        except KeyboardInterrupt:
            if not file.lines:
                raise  # nothing to keep: an earlier output file stays
        except (SourceError, DataError, OSError) as error:
            if not file.lines:
                raise
            failure = error
    click.echo(f"wrote {output}: {file.lines} frames", err=True)
    if failure is not None:
        raise failure
    if stream.note is not None:
        click.echo(f"note: {stream.note}", err=True)
    if not somebody:
        raise SourceError(
            f"nobody was seen in any frame of {name}: check that a person is in view, the light, and which way is up "
            "(--rotate turns the images)"
        )


def _limited(observations: Iterable[Observation], duration: float | None) -> Iterator[Observation]:
    """The observations of the first ``duration`` seconds of stream time."""
    iterator = iter(observations)
    if duration is None:
        yield from iterator
        return
    first = next(iterator, None)
    if first is not None:
        yield first
        end = first.frame.time + duration
        yield from takewhile(lambda observation: observation.frame.time <= end, iterator)
