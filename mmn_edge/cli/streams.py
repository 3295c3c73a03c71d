"""``mmn-edge run`` and ``mmn-edge record``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.event_output import (
    SUFFIXES,
    decoder_options,
    decoder_parameters,
    emit_option,
    sink_option,
)
from mmn_edge.cli.file_batch import NAME, expanded, plan, run_all
from mmn_edge.cli.logs import log_options, note
from mmn_edge.cli.options import (
    OutputFile,
    backend_option,
    enough_seen_option,
    find_bundle,
    model_option,
    precision_option,
)
from mmn_edge.cli.source_options import SOURCE_HELP, keep_apart, open_sources, source_options
from mmn_edge.errors import DataError, SourceError, UsageError

if TYPE_CHECKING:
    from mmn_edge.bundle.bundle import Bundle
    from mmn_edge.events.parameters import DecoderParameters
    from mmn_edge.runtime.backends.backend import Backend
    from mmn_edge.runtime.pipeline import Emit
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
      mmn-edge run --model model.bundle videos/ -o results/ --resume
      mmn-edge run --model model.bundle videos/ -o 'results/{{name}}.eaf'
      mmn-edge run --model model.bundle --camera 0 --record session.jsonl
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
    type=OutputFile(*SUFFIXES, template=NAME),
    help="Write to a file instead of standard output: JSON lines, or annotations. Of several files to a folder, or to "
    "'{name}.eaf' each. Repeatable.",
)
@click.option(
    "--record",
    "recorded",
    type=OutputFile(*LINES),
    metavar="FILE.jsonl",
    help="Record the skeletons as well, so that the run can be replayed exactly.",
)
@click.option("--resume", is_flag=True, help="Skip files whose outputs are there already.")
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
@log_options
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
    recorded: Path | None,
    resume: bool,
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
    from mmn_edge.cli.recognition import Recognition
    from mmn_edge.runtime.sinks.recorded_file import RecordedFile
    from mmn_edge.runtime.sources.address import Address
    from mmn_edge.system.contents import contents
    from mmn_edge.system.files import line_file

    options: dict[str, Any] = {
        "size": size,
        "fps": fps,
        "silence": silence,
        "rotate": rotate,
        "mirror": mirror,
        "speed": speed,
    }
    files = expanded(sources)
    several = len(files) + (camera is not None) > 1 or any(contents(Path(name)) == "folder" for name in sources)
    jobs = plan(files, outputs) if several and outputs else []
    if resume and not jobs:
        raise UsageError("--resume skips what is finished: give a folder as SOURCE, and one to write into with -o")
    first = files[:1] if jobs else files
    opened = open_sources([name for _, name in first], camera=camera, **options)
    if jobs and (camera is not None or any(Address.parse(name).live for _, name in files)):
        raise UsageError("several live sources are not written to files: leave -o out, and each line says its source")
    if not jobs:
        outputs = tuple(Path(str(output).replace(NAME, Address.parse(next(iter(opened))).name)) for output in outputs)
    if recorded is not None and (jobs or len(opened) > 1):
        raise UsageError("--record takes one source; --sink recording:FOLDER records several")
    for output in (*outputs, *([] if recorded is None else [recorded])):
        for name, _ in opened.values():
            keep_apart(name, output)
    live = any(stream.live for _, stream in opened.values())
    bundle, ready = open_ready(find_bundle(model), backend, precision=precision, threads=threads, live=live)
    path = bundle.path

    def reopen() -> tuple[Bundle, Backend, DecoderParameters]:
        again, backed = open_ready(path, backend, precision=precision, threads=threads, live=True)
        return again, backed, decoder_parameters(again, decoder, sensitivity)

    with ready as loaded:
        recognition = Recognition(
            bundle,
            loaded,
            emit=cast("Emit", emit),
            parameters=decoder_parameters(bundle, decoder, sensitivity),
            enough_seen=enough_seen,
            duration=duration,
            sink_names=sink_names,
            as_json=as_json,
            reopen=reopen if live else None,
        )
        if not jobs:
            with ExitStack() as stack:
                further = []
                if recorded is not None:
                    further.append(RecordedFile(stack.enter_context(line_file(recorded)), recorded, on_note=note))
                recognition.run(opened, outputs, further=further)
            return
        run_all(
            jobs,
            lambda job, written, prefix: recognition.run(
                open_sources([str(job.source)], camera=None, **options), written, prefix=prefix
            ),
            resume=resume,
        )


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
