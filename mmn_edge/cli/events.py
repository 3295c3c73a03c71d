"""``mmn-edge events``: convert, compare and draw annotations and events."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.completion import among
from mmn_edge.cli.event_tuning import tune
from mmn_edge.errors import UsageError

if TYPE_CHECKING:
    from mmn_edge.model.labels import Labels

__all__ = ["events"]

FORMATS = ("csv", "elan", "praat", "webvtt", "srt", "mma52")
"""Those that are written, as :data:`mmn_edge.events.formats.FORMATS` names them."""


@click.group()
def events() -> None:
    """Convert, compare and draw annotations and events: who did what from when to when.

    Read are tables (recording,person,start,end,label,score,annotator), ELAN's .eaf, Praat's .TextGrid, BORIS's tables,
    .vtt and .srt as written here, MMA-52's predictions (.csv, .zip), and what 'mmn-edge run --json' prints (.jsonl). A
    file recordings.csv beside them says what was watched: a recording in which nothing happened is something else than
    one that nobody annotated.

    \b
    Examples:
      mmn-edge events convert coded.eaf coded.csv
      mmn-edge events score truth.csv predicted.csv
      mmn-edge events plot truth.csv predicted.csv -o timeline.svg
      mmn-edge events recordings videos -o recordings.csv
      mmn-edge events tune recordings/ annotations/ --model model.bundle
    """


events.add_command(tune)


json_option = click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads annotations."""
    for option in (
        click.option(
            "--tier",
            "tiers",
            multiple=True,
            metavar="PATTERN",
            help="Read only these tiers of ELAN and Praat, such as '*gestures'.",
        ),
        click.option(
            "--labels",
            metavar="SET",
            help="The classes: ma52, imigue, a .txt file with one a line, or a bundle. Other labels are refused.",
        ),
    ):
        function = option(function)
    return function


@events.command()
@click.argument("source", metavar="A", type=click.Path(path_type=Path))
@click.argument("target", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--to",
    metavar="FORMAT",
    shell_complete=among(FORMATS),
    help=f"The format of B: {', '.join(FORMATS)}.  [default: by B's suffix]",
)
@click.option("--media", type=click.Path(path_type=Path), help="The video that an .eaf is to be opened with.")
@click.option("--force", is_flag=True, help="Replace the file B if it is there.")
@json_option
@reading_options
def convert(
    source: Path,
    target: Path,
    to: str | None,
    media: Path | None,
    force: bool,
    as_json: bool,
    labels: str | None,
    tiers: tuple[str, ...],
) -> None:
    """Write the annotations of A, a file or a folder, to B in another format.

    B's suffix is the format: .csv, .eaf, .TextGrid, .vtt, .srt, or .zip for MMA-52's. All but .csv and .zip hold one
    recording: for several, B is a new folder, and --to says what is in it. What a format cannot hold is said.

    \b
    Examples:
      mmn-edge events convert talk.eaf talk.csv
      mmn-edge events convert talk.csv talk.eaf --media talk.mp4
      mmn-edge events convert boris.tsv coded --to elan
      mmn-edge events convert coded predictions.zip --labels ma52
      mmn-edge events convert mmad_truth.csv truth.csv --to csv
      mmn-edge events convert truth.csv mmad_truth.csv --to mma52
    """
    from mmn_edge.events.formats import read, write, write_folder

    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"{target} is a folder that holds something, and was left alone: name a new one")
    if target.is_file() and not force:
        raise UsageError(f"{target} exists and was left alone: name another with B, or give --force to replace it")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target} is what is read: name another file or folder to write to")
    if media is not None and (target.suffix.lower() != ".eaf" or not media.is_file()):
        raise UsageError("--media is a video that is there, for an .eaf")
    known = label_set(labels)
    found = read(source, labels=known, tiers=tiers)
    folder = target.is_dir() or not target.suffix
    if folder and to is None:
        raise UsageError(f"{target} has no suffix that says its format: give one, or name the format with --to")
    if folder:
        lost = write_folder(found, target, to=str(to), labels=known)
    else:
        lost = write(found, target, to=to, labels=known, media=media)
    recordings = len(found.annotated)
    if as_json:
        facts = {"events": len(found.intervals), "recordings": recordings, "notes": [*found.notes], "lost": [*lost]}
        click.echo(json.dumps({"written": str(target), **facts}, indent=1, ensure_ascii=False))
        return
    terminal.warn([*found.notes, *lost])
    click.echo(
        f"wrote {target}: {_number(len(found.intervals), 'event')} of {_number(recordings, 'recording')}", err=True
    )


@events.command()
@click.argument("truth", type=click.Path(path_type=Path))
@click.argument("predicted", type=click.Path(path_type=Path))
@click.option(
    "--persons",
    type=click.Choice(["auto", "match", "ignore"]),
    default="auto",
    show_default=True,
    help="Must persons agree: where the truth names several, always, never.",
)
@click.option("--resamples", type=click.IntRange(0, 100_000), default=1000, show_default=True, help="Of the bootstrap.")
@json_option
@reading_options
def score(
    truth: Path,
    predicted: Path,
    persons: str,
    resamples: int,
    as_json: bool,
    labels: str | None,
    tiers: tuple[str, ...],
) -> None:
    """Compare PREDICTED events with the TRUTH; both are files or folders of annotations.

    With the files of two annotators it is their agreement. Intervals (95 %) are what other recordings of the same kind
    may give. Measures by frame and by hour need a recordings.csv beside the truth.

    \b
    Examples:
      mmn-edge events score truth.csv predicted.csv
      mmn-edge events score coded_by_ann coded_by_bob
      mmn-edge events score truth predicted --labels ma52 --json > scores.json
      mmn-edge events score mmad_truth.csv predictions.zip
    """
    from mmn_edge.cli.event_scores import print_scores
    from mmn_edge.events.formats import read
    from mmn_edge.events.pairing import as_one_recording
    from mmn_edge.events.scoring import score as compare

    known = label_set(labels)
    sets = [read(path, labels=known, tiers=tiers) for path in (truth, predicted)]
    if truth.is_file() and predicted.is_file():
        sets[1] = as_one_recording(*sets)
    with terminal.bar(count=False) as bar:
        task = bar.add_task("comparing", total=None)
        scores = compare(
            *sets,
            labels=known,
            persons=persons,
            resamples=resamples,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        click.echo(json.dumps(scores.to_dict(), indent=1, ensure_ascii=False))
    else:
        print_scores(scores)


@events.command()
@click.argument("sets", nargs=-1, required=True, metavar="[TRUTH] PREDICTED", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A picture (.svg, .png, .pdf), or a folder for one of each recording.",
)
@click.option("--recording", metavar="NAME", help="Draw only this one.")
@click.option("--format", "kind", type=click.Choice(["svg", "png", "pdf"]), default="svg", help="In a folder.")
@click.option("--from", "start", type=click.FloatRange(min=0), metavar="SECONDS", help="Begin here.")
@click.option("--until", "end", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="End here.")
@click.option(
    "--strip",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Time in one line of the picture.  [default: all, or 30 s where there is more than 45]",
)
@click.option("--width", type=click.IntRange(300, 10_000), default=1000, show_default=True, help="In pixels.")
@click.option(
    "--persons", type=click.Choice(["auto", "match", "ignore"]), default="auto", show_default=True, help="As for score."
)
@json_option
@reading_options
def plot(
    sets: tuple[Path, ...],
    output: Path,
    recording: str | None,
    kind: str,
    start: float | None,
    end: float | None,
    strip: float | None,
    width: int,
    persons: str,
    as_json: bool,
    labels: str | None,
    tiers: tuple[str, ...],
) -> None:
    """Draw annotations over time: rows by person and body part, the TRUTH above what was PREDICTED.

    Body parts are those of the label set that has all labels, or of --labels; else each class has a row. What was
    matched at IoU 0.5 has another colour than what was missed or is not true.

    \b
    Examples:
      mmn-edge events plot talk.eaf -o talk.svg
      mmn-edge events plot truth.csv predicted.csv --recording talk -o talk.pdf
      mmn-edge events plot truth predicted -o pictures --format png
      mmn-edge events plot truth.csv predicted.csv --recording talk --from 30 --until 45 -o detail.png
    """
    from mmn_edge.events.formats import read
    from mmn_edge.events.pairing import as_one_recording
    from mmn_edge.events.picture import draw
    from mmn_edge.reports.raster import check_pictures, write_picture

    if len(sets) > 2:
        raise UsageError("plot draws one set of annotations, or the truth and one other")
    folder = output.is_dir() or not output.suffix
    check_pictures(f".{kind}" if folder else output.suffix)
    known = label_set(labels)
    read_sets = [read(path, labels=known, tiers=tiers) for path in sets]
    if len(sets) == 2 and all(path.is_file() for path in sets):
        read_sets[1] = as_one_recording(*read_sets)
    names = sorted({name for one in read_sets for name in one.annotated})
    if recording is not None:
        names = [recording]
    elif not folder and len(names) != 1:
        raise UsageError(
            f"{output} shows one recording, and there are {len(names)}: choose one with --recording, or name a folder"
        )
    truth = read_sets[0] if len(read_sets) == 2 else None
    written = []
    for name in names:
        svg = draw(
            read_sets[-1],
            name,
            truth=truth,
            labels=known,
            persons=persons,
            start=start,
            end=end,
            strip=strip,
            width=width,
        )
        path = output / f"{name}.{kind}" if folder else output
        if folder and Path(name).name != name:
            raise UsageError(f"recording {name!r} cannot be the name of a file")
        write_picture(path, svg)
        written.append(str(path))
        if not as_json:
            click.echo(f"wrote {path}", err=True)
    if as_json:
        click.echo(json.dumps({"written": written}, indent=1, ensure_ascii=False))


@events.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The new recordings.csv."
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@json_option
def recordings(paths: tuple[Path, ...], output: Path, force: bool, as_json: bool) -> None:
    """Make a recordings.csv of PATHS: recordings (.jsonl), videos, or folders of them.

    It says how long each is, and that all of it was watched. Edit watched_from and watched_to where that is not so, and
    empty both where nobody annotated it.

    \b
    Examples:
      mmn-edge events recordings videos -o annotations/recordings.csv
      mmn-edge events recordings talk.mp4 session.jsonl -o recordings.csv
    """
    from mmn_edge.cli.lengths import measure
    from mmn_edge.events.formats.table import write_recordings

    if output.exists() and not force:
        raise UsageError(f"{output} exists and was left alone: name another with -o, or give --force to replace it")
    found = measure(paths)
    write_recordings(output, found)
    if as_json:
        listed = [{"recording": one.name, "duration_s": one.duration_s, "fps": one.fps} for one in found]
        click.echo(json.dumps({"written": str(output), "recordings": listed}, indent=1, ensure_ascii=False))
        return
    hours = sum(entry.watched[1] - entry.watched[0] for entry in found if entry.watched) / 3600
    click.echo(
        f"wrote {output}: {_number(len(found), 'recording')}, {hours:.2f} hours, all taken as watched: edit it where "
        "that is not so",
        err=True,
    )


def label_set(text: str | None) -> Labels | None:
    """The classes that ``--labels`` names: a set that comes with mmn-edge, a ``.txt`` file, or a bundle.

    Raises:
        UsageError: There is no such set.
    """
    from mmn_edge.model import labels as label_sets

    if text is None:
        return None
    path = Path(text)
    if text in label_sets.names() or not path.exists():
        return label_sets.get(text)
    if path.is_dir():
        from mmn_edge.bundle.bundle import Bundle

        return Bundle.open(path).manifest.labels
    from mmn_edge.datasets.formats.folder import read_classes

    return label_sets.Labels(read_classes(path))


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
