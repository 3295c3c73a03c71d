"""``mmn-edge demo``: the whole path on a machine with nothing but this package."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmn_edge.errors import MmnEdgeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmn_edge.datasets.synthetic.scenes import Scene
    from mmn_edge.events.interval import AnnotationSet

__all__ = ["demo"]

NAME = "scene"
"""The recording's, in its annotations."""


@click.command()
@click.option("--seconds", type=click.FloatRange(min=10), default=90.0, show_default=True, help="Length of the scene.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Another person, another scene.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    help="1: real time.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Where the bundle, the recording, the events and the picture go.",
)
def demo(seconds: float, seed: int, speed: float, output: Path) -> None:
    """See it work: convert a small checkpoint, play a synthetic scene, compare the events with what was played.

    In the scene one person does several things at once, or nothing. The checkpoint comes with the package; mmn-edge
    train made it from other scenes (docs/guides/training.md says how). Everything shown is computed now. It shows that
    the whole path works, and says nothing about real people.

    \b
    Examples:
      mmn-edge demo
      mmn-edge demo --seed 11 --speed 1
    """
    from mmn_edge.datasets.synthetic import scenes
    from mmn_edge.events import formats
    from mmn_edge.events.picture import draw
    from mmn_edge.events.scoring import score
    from mmn_edge.model import labels
    from mmn_edge.skeleton import recording
    from mmn_edge.system.files import atomic_file

    output.mkdir(parents=True, exist_ok=True)
    bundle, stream = output / "demo.bundle", output / f"{NAME}.jsonl"
    click.secho("1. checkpoint -> bundle", bold=True)
    with resources.as_file(resources.files("mmn_edge") / "data" / "scenes.pt") as path:
        _call("convert", str(path), "-o", str(bundle))

    click.secho(f"\n2. a person in a scene: {seconds:g} s of skeletons, shown at {speed:g} x real time", bold=True)
    scene = scenes.scene(seconds, seed)
    with atomic_file(stream) as partial, partial.open("w", encoding="utf-8") as file:
        recording.write_frames(file, scene.frames())
    command = [*_COMMAND, "run", "--model", str(bundle), str(stream), "--json"]
    events = output / "events.csv"
    with subprocess.Popen(
        [*command, "-o", str(events)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in _follow(process, output / "events.jsonl", speed):
            click.echo(line)
        summary = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise MmnEdgeError(f"mmn-edge run failed with exit code {process.returncode}: {summary.strip()}")

    click.secho("\n3. events against what was played", bold=True)
    names = labels.get("synthetic-scenes")
    truth = _truth(scene)
    formats.write(truth, output / "truth.csv")
    predicted = formats.read(events, labels=names)
    scores = score(truth, predicted, labels=names)
    measures = scores.measures
    click.echo(
        f"{scores.truth} played, {scores.predicted} found: event F1 {_percent(measures['event_f1'])} at IoU 0.5, "
        f"detection mAP {_percent(measures['detection_map'])} over IoU 0.1 to 0.9\n"
        f"(synthetic people, seed {seed}: these are no figures for real ones)"
    )
    picture = output / "timeline.svg"
    with atomic_file(picture) as partial:
        partial.write_text(draw(predicted, NAME, truth=truth, labels=names), encoding="utf-8")
    click.echo(f"a picture of it, what was played above what was found: {picture}")
    click.secho("\n4. latency", bold=True)
    click.echo(summary.strip())
    click.echo(f"\nNext: {sys.executable} -m mmn_edge run --camera 0 --model {bundle}   (needs the extra 'camera')")


_COMMAND = [sys.executable, "-m", "mmn_edge"]


def _call(*arguments: str) -> None:
    """Run mmn-edge as a user would, in a process of its own; what it says of a failure needs no repetition."""
    code = subprocess.run([*_COMMAND, *arguments], check=False).returncode
    if code:
        raise click.exceptions.Exit(code)


def _follow(process: subprocess.Popen[str], log: Path, speed: float) -> Iterator[str]:
    """Keep the events that are printed in a file, and yield a line for each that begins or ends, when its time comes.

    The pace is only shown: a stream that is played in real time skips windows where the machine is too slow for it.
    """
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        for line in process.stdout or ():
            file.write(line)
            event = json.loads(line)
            time.sleep(max(began + event["time"] / speed - time.monotonic(), 0.0))
            if event["kind"] == "start":
                yield click.style(f"  {event['time']:6.2f} s  {event['label']} ...", bold=True)
            elif event["kind"] == "end":
                yield click.style(f"  {event['time']:6.2f} s  {event['label']}: {_span(event)}", dim=True)


def _span(event: dict[str, Any]) -> str:
    return f"{event['onset']:.1f} to {event['offset']:.1f} s"


def _truth(scene: Scene) -> AnnotationSet:
    from mmn_edge.events.interval import AnnotationSet, Interval

    intervals = [
        Interval(NAME, round(m.start, 6), round(m.end, 6), m.label, str(person))
        for person, movements in enumerate(scene.movements)
        for m in movements
    ]
    return AnnotationSet(tuple(intervals), {}, frozenset({NAME}))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
