"""``mmn-edge replay``: a recording through another model or version, and where that differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.event_output import decoder_options, decoder_parameters
from mmn_edge.cli.options import (
    OutputFile,
    backend_option,
    enough_seen_option,
    find_bundle,
    model_option,
    precision_option,
)
from mmn_edge.errors import GateError, UsageError

if TYPE_CHECKING:
    from mmn_edge.events.decoder import Event
    from mmn_edge.events.differences import Differences
    from mmn_edge.runtime.counters import SourceCounters
    from mmn_edge.runtime.recognizer import Prediction

__all__ = ["replay"]

LINES = (".jsonl", ".ndjson")
PICTURES = (".svg", ".png", ".pdf")
SHOWN = 20


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@model_option
@click.option(
    "--check",
    "baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.jsonl",
    help="Compare with these predictions and events, and end with exit code 10 where anything differs.",
)
@click.option("--source", metavar="NAME", help="With --check: whose lines of FILE to take, where there are several.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="P",
    help="With --check: by so much a probability may differ where the class is the same.  [default: 0, bit for bit]",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=OutputFile(*LINES, *PICTURES, ".json"),
    help="Predictions and events (.jsonl); with --check also what differs (.json), or a timeline of it (.svg, .png, "
    ".pdf). Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="What differs, as JSON; without --check what was found.")
@click.option("--all", "everything", is_flag=True, help="Print all that differs, and not the first 20.")
@decoder_options
@enough_seen_option
@backend_option
@precision_option
@click.option("--threads", type=click.IntRange(1, 256), help="Threads of ONNX Runtime on the CPU.")
def replay(
    recording: Path,
    model: Path | None,
    baseline: Path | None,
    source: str | None,
    tolerance: float,
    outputs: tuple[Path, ...],
    as_json: bool,
    everything: bool,
    sensitivity: float | None,
    decoder: Path | None,
    enough_seen: float | None,
    backend: str | None,
    precision: str | None,
    threads: int | None,
) -> None:
    """Run RECORDING through a model as fast as it goes, and say where that differs from an earlier run.

    The recording of a live run (run --sink recording:FOLDER) says which windows were run: the same are run again, in
    the same calls, so that the same model gives the same predictions and events bit for bit. Ages, latencies and the
    time of day are not compared.

    \b
    Examples:
      mmn-edge replay session.jsonl -m old.bundle -o old.jsonl
      mmn-edge replay session.jsonl -m new.bundle --check old.jsonl
      mmn-edge replay session.jsonl -m new.bundle --check old.jsonl -o differences.svg
      mmn-edge replay session.jsonl -m int8.bundle --check old.jsonl --tolerance 0.05 --json
    """
    from mmn_edge.events.differences import compare, draw_differences, read_lines, split
    from mmn_edge.reports.raster import check_pictures, write_picture
    from mmn_edge.system.files import atomic_file

    for path in outputs:
        if path.resolve() in (recording.resolve(), *([baseline.resolve()] if baseline else [])):
            raise UsageError(f"{path} is both input and output: name another file to write")
        if baseline is None and path.suffix.lower() not in LINES:
            raise UsageError(f"{path} is for what differs: give --check FILE, or name a file .jsonl")
        if path.suffix.lower() in PICTURES:
            check_pictures(path.suffix)
    before = None if baseline is None else read_lines(baseline, source=source)
    items = _replayed(recording, model, sensitivity, decoder, enough_seen, backend, precision, threads)
    lines = [item.to_dict() for item in items]
    texts = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
    for path in outputs:
        if path.suffix.lower() in LINES:
            with atomic_file(path) as partial:
                partial.write_text("".join(texts), encoding="utf-8")
    if before is None:
        if as_json or not outputs:
            click.echo("".join(texts), nl=False)
        return
    # As JSON gives them back, so that the same numbers are the same.
    now = split(json.loads(text) for text in texts)
    found = compare(before, now, tolerance=tolerance)
    document = json.dumps(found.to_dict(), indent=1, ensure_ascii=False)
    for path in outputs:
        if path.suffix.lower() in PICTURES:
            write_picture(path, draw_differences(before, now, found, recording.name))
        elif path.suffix.lower() == ".json":
            with atomic_file(path) as partial:
                partial.write_text(document + "\n", encoding="utf-8")
    if as_json:
        click.echo(document)
    else:
        _print(found, None if everything else SHOWN)
    if not found.same:
        raise GateError(
            f"the replay differs from {baseline}: {found.differing} of {found.predictions} predictions, "
            f"{found.changed_events} events"
        )


def _replayed(
    recording: Path,
    model: Path | None,
    sensitivity: float | None,
    decoder: Path | None,
    enough_seen: float | None,
    backend: str | None,
    precision: str | None,
    threads: int | None,
) -> Sequence[Event | Prediction]:
    from mmn_edge.cli.engines import open_ready
    from mmn_edge.runtime.pipeline import Pipeline
    from mmn_edge.runtime.sinks.collected import CollectedSink
    from mmn_edge.runtime.sources.recordings import RecordingSource

    bundle, ready = open_ready(find_bundle(model), backend, precision=precision, threads=threads)
    sink = CollectedSink()
    with ready as loaded, terminal.following("replaying") as follow:

        def tell(counters: SourceCounters, done: float | None) -> None:
            if counters.frames % 100 == 1:
                follow(f"{counters.time:.1f} s, {counters.events} events", done)

        pipeline = Pipeline(
            {recording.name: RecordingSource(recording)},
            bundle,
            loaded,
            emit="both",
            parameters=decoder_parameters(bundle, decoder, sensitivity),
            enough_seen=enough_seen,
            on_note=lambda text: click.echo(f"note: {text}", err=True),
            on_frame=tell,
        )
        with pipeline:
            pipeline.run([sink])
    return sink.items


def _print(found: Differences, shown: int | None) -> None:
    if found.same:
        click.echo(f"no difference: {found.predictions} predictions, {found.events[1]} events")
        return
    click.echo(
        f"predictions  {found.differing} of {found.predictions} differ: {found.relabelled} another class, "
        f"{found.only_before} only before, {found.only_now} only now; a probability by {found.largest:.3g} at most"
    )
    click.echo(f"events       {found.events[0]} before, {found.events[1]} now, {found.changed_events} not the same")
    rows: list[list[str]] = [_row(one) for one in found.found[:shown]]
    header = ["what", "before", "now", "person", "from s", "to s", "windows", "by"]
    terminal.show(header, rows, words=3)
    if shown is not None and len(found.found) > shown:
        click.echo(f"and {len(found.found) - shown} more (--all prints them, -o FILE.json keeps them)")


def _row(one: Any) -> list[str]:
    by = f"{one.change:.3g} s" if one.what == "event" else f"{one.change:.3g}"
    count = str(one.count) if one.count else ""
    return [
        one.what,
        one.before or "-",
        one.now or "-",
        str(one.person),
        f"{one.start:.2f}",
        f"{one.end:.2f}",
        count,
        by,
    ]
