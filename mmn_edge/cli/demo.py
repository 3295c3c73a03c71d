"""``mmn-edge demo``: the whole path on a machine with nothing but this package."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmn_edge.cli import timeline
from mmn_edge.errors import MmnEdgeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmn_edge.datasets.synthetic.clips import Segment

__all__ = ["Match", "demo", "recognised", "score"]

REST = "rest"
MIN_PROBABILITY = 0.5
MIN_PREDICTIONS = 2
MERGE_SECONDS = 0.75


@dataclass(frozen=True)
class Match:
    """How recognised movements compare with the truth.

    Attributes:
        rows: Pairs ``(truth, recognised)``, either may be None; in order of time.
        precision: Share of recognised movements that are true.
        recall: Share of true movements that were recognised.
    """

    rows: tuple[tuple[Segment | None, Segment | None], ...]
    precision: float
    recall: float


@click.command()
@click.option("--seconds", type=click.FloatRange(min=10), default=90.0, show_default=True, help="Length of the script.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Another person, another script."
)
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
    help="Where the bundle, the recording and the predictions go.",
)
def demo(seconds: float, seed: int, speed: float, output: Path) -> None:
    """See it work: convert a small checkpoint, play a scripted synthetic person, compare with the script.

    The checkpoint comes with the package; mmn-edge train made it from synthetic motion (docs/guides/training.md says
    how).
    Everything shown is computed now. It shows that the whole path works, and says nothing about real people.

    \b
    Examples:
      mmn-edge demo
      mmn-edge demo --seed 11 --speed 1
    """
    from mmn_edge.datasets.synthetic import clips
    from mmn_edge.skeleton import recording
    from mmn_edge.system.files import atomic_file

    output.mkdir(parents=True, exist_ok=True)
    bundle, stream = output / "demo.bundle", output / "script.jsonl"
    click.secho("1. checkpoint -> bundle", bold=True)
    checkpoint = resources.files("mmn_edge") / "data" / "demo.pt"
    with resources.as_file(checkpoint) as path:
        _call("convert", str(path), "-o", str(bundle))

    click.secho(f"\n2. a scripted person: {seconds:g} s of skeletons, {speed:g} x real time", bold=True)
    session = clips.script(seconds, seed)
    with atomic_file(stream) as partial, partial.open("w", encoding="utf-8") as file:
        recording.write_frames(file, session.frames())
    command = [
        *_COMMAND,
        "run",
        "--emit",
        "predictions",
        "--model",
        str(bundle),
        str(stream),
        "--speed",
        str(speed),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        predictions = list(_follow(process, output / "predictions.jsonl"))
        summary = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise MmnEdgeError(f"mmn-edge run failed with exit code {process.returncode}: {summary.strip()}")

    click.secho("\n3. recognised against the script", bold=True)
    match = score(session.segments, recognised(predictions))
    click.echo(f"{'script':46} {'recognised':46}")
    for truth, found in match.rows:
        mark = "✓" if truth and found else "missed" if truth else "false alarm"
        click.echo(f"{_span(truth):46} {_span(found):46} {mark}")
    found_count = sum(found is not None for _, found in match.rows)
    click.echo(
        f"\nprecision {match.precision:.0%} of {found_count} recognised, recall {match.recall:.0%} of "
        f"{len(session.segments)} in the script (synthetic people, seed {seed}: this is no figure for real ones)"
    )
    picture = output / "timeline.svg"
    with atomic_file(picture) as partial:
        partial.write_text(timeline.svg(match, seconds), encoding="utf-8")
    click.echo(f"a picture of it: {picture}")
    click.secho("\n4. latency", bold=True)
    click.echo(summary.strip())
    click.echo(f"\nNext: {sys.executable} -m mmn_edge run --camera 0 --model {bundle}   (needs the extra 'camera')")


_COMMAND = [sys.executable, "-m", "mmn_edge"]


def _call(*arguments: str) -> None:
    """Run mmn-edge as a user would, in a process of its own; what it says of a failure needs no repetition."""
    code = subprocess.run([*_COMMAND, *arguments], check=False).returncode
    if code:
        raise click.exceptions.Exit(code)


def _follow(process: subprocess.Popen[str], log: Path) -> Iterator[dict[str, Any]]:
    """Yield predictions as they are printed, keep them in a file, and show each change of mind."""
    shown = None
    with log.open("w", encoding="utf-8") as file:
        for line in process.stdout or ():
            file.write(line)
            prediction = json.loads(line)
            label = prediction["label"]
            if label not in (shown, None) and (label == REST or prediction["probability"] >= MIN_PROBABILITY):
                shown = label
                text = f"  {prediction['time']:6.2f} s  {shown:28} {prediction['probability']:6.1%}"
                click.secho(text, dim=shown == REST, bold=shown != REST)
            yield prediction


def recognised(predictions: Sequence[dict[str, Any]]) -> list[Segment]:
    """Runs of confident predictions of one class, as segments of the stream.

    A class counts from two predictions on; short interruptions are bridged. Each prediction speaks of the window before
    it, so that a segment's times lag the movement.
    """
    from mmn_edge.datasets.synthetic.clips import Segment

    runs: list[tuple[float, float, str, int]] = []
    for prediction in predictions:
        if prediction["label"] in (REST, None) or prediction["probability"] < MIN_PROBABILITY:
            continue
        now, label = prediction["time"], prediction["label"]
        if runs and runs[-1][2] == label and now - runs[-1][1] <= MERGE_SECONDS:
            start, _, _, count = runs[-1]
            runs[-1] = (start, now, label, count + 1)
        else:
            runs.append((now, now, label, 1))
    return [Segment(start, end, label) for start, end, label, count in runs if count >= MIN_PREDICTIONS]


def score(truth: Sequence[Segment], found: Sequence[Segment], *, lag: float = 2.0) -> Match:
    """Match recognised segments with true ones: same class, overlapping, each used once.

    Args:
        truth: What the script says.
        found: What was recognised.
        lag: Seconds that a prediction may trail the movement's end: the window's length.
    """
    free = list(truth)
    rows: list[tuple[Segment | None, Segment | None]] = []
    for segment in found:
        hit = next(
            (t for t in free if t.label == segment.label and segment.start <= t.end + lag and segment.end >= t.start),
            None,
        )
        if hit is not None:
            free.remove(hit)
        rows.append((hit, segment))
    hits = sum(t is not None for t, _ in rows)
    rows += [(t, None) for t in free]
    rows.sort(key=lambda row: next(segment.start for segment in row if segment is not None))
    return Match(tuple(rows), hits / len(found) if found else 0.0, hits / len(truth) if truth else 0.0)


def _span(segment: Segment | None) -> str:
    return f"{segment.start:6.1f} - {segment.end:5.1f} s  {segment.label}" if segment else ""
