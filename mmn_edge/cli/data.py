"""``mmn-edge data``: check, import and download data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.completion import among
from mmn_edge.datasets import splits
from mmn_edge.datasets.hub import DATA_FILES
from mmn_edge.errors import DataError, UsageError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.missing import ScoreScale

if TYPE_CHECKING:
    from mmn_edge.datasets.check import Report
    from mmn_edge.datasets.findings import Finding
    from mmn_edge.datasets.importing import ImportedSet

__all__ = ["data"]

SHOWN = 20
"""Problems and warnings that are printed without ``--all``."""


@click.group()
def data() -> None:
    """Check, import and download skeleton data sets.

    \b
    Examples:
      mmn-edge data check nw_ucla.pkl -o report
      mmn-edge data import recordings -o mine.pkl --to ma52
      mmn-edge data download OWNER/NAME
    """


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--split", help="Only this split.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for pictures of it.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--all", "everything", is_flag=True, help=f"Name every clip, and print more than {SHOWN} findings.")
@click.pass_context
def check(
    context: click.Context, path: Path, split: str | None, output: Path | None, as_json: bool, everything: bool
) -> None:
    """Describe the data set at PATH and list all that is wrong with it.

    PATH is an annotation pickle, a folder with labels.csv, or a folder in the authors' format; or annotations of whole
    recordings (.csv, .eaf, .TextGrid ...), in a folder with the recordings or alone. Problems are clips that
    cannot be used, splits that name absent clips, and clips that are both trained on and held out; the exit code is 3
    where there are any. With -o a folder gets index.html, contact_sheet.svg (a clip of every class), classes.svg and
    lengths.svg.

    \b
    Examples:
      mmn-edge data check nw_ucla.pkl
      mmn-edge data check data/MA52 --split train
      mmn-edge data check recordings -o report
      mmn-edge data check nw_ucla.pkl --json > report.json
      mmn-edge data check coded
    """
    from mmn_edge.cli.event_check import print_events
    from mmn_edge.datasets.check import check as check_data_set
    from mmn_edge.datasets.reading import open_source
    from mmn_edge.datasets.report import check_folder, write_report
    from mmn_edge.events.check import check as check_events
    from mmn_edge.events.dataset import is_annotated, open_annotated

    if is_annotated(path):
        if output is not None or split is not None:
            raise UsageError(
                f"{path} holds intervals: --split and -o are for clips (mmn-edge events plot draws intervals)"
            )
        with _progress("reading recordings") as progress:
            found = check_events(open_annotated(path), progress=progress)
        print_events(found, as_json=as_json, shown=None if everything else SHOWN)
        if found.problems:
            context.exit(DataError.exit_code)
        return
    if output is not None:
        check_folder(output)
    source = open_source(path, split)
    with _progress("reading clips") as progress:
        report = check_data_set(source, split, progress=progress)
    if output is not None:
        write_report(report, output)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print_report(report, everything)
    if output is not None:
        click.echo(f"wrote {output / 'index.html'}", err=True)
    if report.problems:
        context.exit(DataError.exit_code)


@data.command("import")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The new pickle.")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="LAYOUT",
    shell_complete=among(layouts.names()),
    help=f"One of {', '.join(layouts.names())}.",
)
@click.option(
    "--from",
    "source",
    metavar="LAYOUT",
    shell_complete=among(layouts.names()),
    help="The layout of the inputs, where they do not name it.",
)
@click.option(
    "--image-size", default="640x480", show_default=True, metavar="WxH", help="Of landmarks that are fractions."
)
@click.option(
    "--split",
    "plan",
    metavar="NAME=SHARE,...",
    help=f"Splits to draw, class by class.  [default: the inputs' own, or {splits.DEFAULT}]",
)
@click.option(
    "--split-by",
    type=click.Choice(["random", "order", *splits.GROUPS]),
    default="random",
    show_default=True,
    help="Draw at random; take the first clips of a class for the first split; or keep all clips of a recording, a "
    "person or a session together.",
)
@click.option("--folds", type=click.IntRange(min=2), metavar="N", help="Draw N equal splits instead: fold0, fold1, ...")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the random split.")
@click.option(
    "--classes",
    type=click.Path(exists=True, path_type=Path),
    help="Number the classes as in this data set, or text file with one name a line.",
)
@click.option(
    "--score-scale",
    type=float,
    metavar="NUMBER",
    help="The score that means 1, where the inputs do not say so: 100 for per cent; 1 for an estimator whose scores "
    "exceed 1 by right.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def import_(
    inputs: tuple[Path, ...],
    output: Path,
    target: str,
    source: str | None,
    image_size: str,
    plan: str | None,
    split_by: str,
    folds: int | None,
    seed: int,
    classes: Path | None,
    score_scale: float | None,
    force: bool,
) -> None:
    """Make a data set in one layout out of INPUTS, the output of pose estimators.

    INPUTS are folders with one subfolder a class, or with labels.csv, of recordings (.jsonl, .jsonl.gz), AlphaPose
    results (.json) or OpenPose frames (a folder a clip); .npz files of MediaPipe Holistic landmarks; or data sets.
    Joints are mapped as 'mmn-edge layouts map' shows. Joints that were not seen stay so: score 0. The clips are in
    the splits that the inputs name, or in one that is called all, and in train and val.

    \b
    Examples:
      mmn-edge data import recordings -o mine.pkl --to ma52
      mmn-edge data import isl18_holistic.npz -o isl18.pkl --to ma52
      mmn-edge data import recordings -o mine.pkl --to ma52 --split-by person --folds 5
      mmn-edge data import openpose_clips -o clips.pkl --to imigue --split train=0.7,val=0.15,test=0.15
      mmn-edge data import alphapose -o clips.pkl --to ma52 --score-scale 100
      mmn-edge data import halpe.pkl --from halpe136 -o clips.pkl --to ma52 --classes isl18.pkl
    """
    from mmn_edge.datasets import importing

    if output.exists() and not force:
        raise UsageError(
            f"{output} exists and was left alone: name another file with -o, or give --force to replace it"
        )
    if plan and folds:
        raise UsageError("--folds draws splits of its own: leave --split out")
    shares = splits.parse(plan) if plan else None
    for name in (target, *([source] if source else [])):
        layouts.get(name)
    found = importing.open_inputs(
        inputs, size=_size(image_size), class_names=_classes(classes), scale=_scale(score_scale)
    )
    with _progress("importing clips") as progress:
        imported = importing.convert(found, target, source=source, progress=progress)
    drawn = importing.splits_of(imported, shares, seed=seed, by=split_by, folds=folds)
    importing.write(imported, drawn, output, force=force)
    for note in found.notes:
        click.echo(note, err=True)
    terminal.warn(imported.findings, output)
    _print_import(imported, drawn, output)


@data.command()
@click.argument("repository")
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="[default: the name in REPOSITORY]"
)
@click.option("--revision", help="A branch, tag or commit of the data set.")
@click.option("--include", multiple=True, metavar="PATTERN", help=f"Files to fetch.  [default: {' '.join(DATA_FILES)}]")
def download(repository: str, output: Path | None, revision: str | None, include: tuple[str, ...]) -> None:
    """Download the data set REPOSITORY (OWNER/NAME) from the Hugging Face hub.

    The id stands on the data set's page; so do its licence and whether you must ask for access first (then log in with
    'hf auth login'). Files are stored and not opened: pickles that could run code are refused when they are read.

    \b
    Examples:
      mmn-edge data download OWNER/NAME
      mmn-edge data download OWNER/NAME -o data/MA52 --revision main --include "*.pkl"
    """
    from mmn_edge.datasets import hub

    folder = output or Path(repository.rpartition("/")[2] or "data")
    files = hub.download(repository, folder, revision=revision, patterns=include or DATA_FILES)
    for file in files:
        click.echo(f"{file}  {file.stat().st_size / 1e6:.1f} MB")


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    with terminal.bar() as bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def _print_report(report: Report, everything: bool) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmn_edge.datasets.report import figures

    console = terminal.console()
    console.print(Text(report.path, "bold"))
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    for label, text in figures(report):
        facts.add_row(label, Text(text))
    console.print(facts)
    narrow = console.width < 60 + 8 * len(report.splits)  # the bars would leave the names no room
    if report.classes and narrow:
        rows = [
            [entry.name, *(str(entry.splits[split]) for split in report.splits), str(entry.clips)]
            for entry in report.classes
        ]
        terminal.show(["class", *report.splits, "clips"], rows, words=1, on=console)
    elif report.classes:
        most = max(entry.clips for entry in report.classes)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("", justify="right", style="dim")
        table.add_column("class")
        for split in report.splits:
            table.add_column(Text(split), justify="right")
        table.add_column("clips", justify="right")
        table.add_column("", min_width=20, no_wrap=True)
        for entry in report.classes:
            counts = [str(entry.splits[split]) for split in report.splits]
            bar = "█" * round(20 * entry.clips / most) if most else ""
            table.add_row(str(entry.index), Text(entry.name), *counts, str(entry.clips), Text(bar, "blue"))
        console.print(table)
    for title, style, lines in (("problems", "red", report.problems), ("warnings", "yellow", report.warnings)):
        _print_findings(console.print, title, style, lines, everything)


def _print_findings(
    show: Callable[..., None], title: str, style: str, found: Sequence[Finding], everything: bool
) -> None:
    from rich.text import Text

    show(Text(f"{title}: {len(found) or 'none'}", f"bold {style}" if found else "bold"))
    for finding in found if everything else found[:SHOWN]:
        show(Text(f"  {finding}"), soft_wrap=True)
        if everything and len(finding.clips) > 1:
            show(Text(f"    {', '.join(finding.clips)}", "dim"), soft_wrap=True)
    if len(found) > SHOWN and not everything:
        show(Text(f"  and {len(found) - SHOWN} more (--all prints them)"))


def _print_import(imported: ImportedSet, splits: Mapping[str, Sequence[str]], output: Path) -> None:
    annotations = imported.annotations
    classes = len({entry["label"] for entry in annotations})
    named = f" of {len(imported.class_names)} named" if imported.class_names else ""
    seen = sum(int((entry["keypoint_score"] > 0).sum()) for entry in annotations)
    joints = sum(entry["keypoint_score"].size for entry in annotations)
    click.echo(f"{len(annotations)} clips in {classes} classes{named}, layout {imported.layout}")
    click.echo("splits: " + ", ".join(f"{split} {len(names)}" for split, names in splits.items()))
    loose = {entry["frame_dir"] for entry in annotations}.difference(*splits.values())
    if loose:
        click.echo(
            f"warning: {len(loose)} clips are in no split, such as {min(loose)}: not all inputs have splits; draw them "
            "for all with --split",
            err=True,
        )
    click.echo(f"joints not seen: {1 - seen / joints:.1%}")
    if imported.left_out:
        click.echo(
            f"left out, for nobody is seen in them: {len(imported.left_out)} ({', '.join(imported.left_out[:10])}"
            f"{', ...' if len(imported.left_out) > 10 else ''})",
            err=True,
        )
    click.echo(f"wrote {output}")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise UsageError(f"--image-size takes width and height in pixels, such as 640x480, not {text!r}")
    return int(match[1]), int(match[2])


def _scale(full: float | None) -> ScoreScale | None:
    if full is None:
        return None
    try:
        return ScoreScale.declared(full, "--score-scale")
    except DataError as error:
        raise UsageError(str(error)) from None


def _classes(path: Path | None) -> tuple[str, ...] | None:
    from mmn_edge.datasets.formats.folder import read_classes
    from mmn_edge.datasets.reading import open_source

    if path is None:
        return None
    if path.suffix == ".txt":
        return read_classes(path)
    names = open_source(path).class_names
    if names is None:
        raise DataError(f"{path} names no classes: --classes takes a data set that does, or a .txt file")
    return names
