"""Many files through one model: each gets outputs of its own, and finished ones can be skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mmn_edge.errors import DataError, MmnEdgeError, SourceError, UsageError
from mmn_edge.system.contents import contents

__all__ = ["NAME", "Job", "expanded", "plan", "run_all"]

NAME = "{name}"
"""Stands in an output's name for what a source is called."""

KINDS = ("recording", "video")

UNFINISHED = ".unfinished"
"""Stands before the suffix of an output until its source was read to the end."""


@dataclass(frozen=True)
class Job:
    """A file, and what it is to become.

    Attributes:
        source: The file, a video or recording.
        outputs: What is written.
    """

    source: Path
    outputs: tuple[Path, ...]

    @property
    def finished(self) -> bool:
        """Whether every output is there, and none is older than the source."""
        try:
            made = [output.stat().st_mtime_ns for output in self.outputs]
            return bool(made) and min(made) >= self.source.stat().st_mtime_ns
        except OSError:
            return False

    @property
    def unfinished(self) -> tuple[Path, ...]:
        """Where it is written until it is finished; what an interrupted run leaves is there to be looked at."""
        return tuple(path.with_name(f"{path.stem}{UNFINISHED}{path.suffix}") for path in self.outputs)


def expanded(sources: Sequence[str]) -> list[tuple[str, str]]:
    """Sources with the files of each folder in its place: what they are called, relative to their folder, and names.

    Raises:
        UsageError: A folder holds neither a video nor a recording.
    """
    found: list[tuple[str, str]] = []
    for name in sources:
        folder = Path(name)
        if contents(folder) != "folder":
            found.append((Path(name).name, name))
            continue
        inside = sorted(path for path in folder.rglob("*") if not _hidden(path.relative_to(folder)))
        files = [path for path in inside if path.is_file() and contents(path) in KINDS]
        if not files:
            raise UsageError(
                f"{name} is a folder without a video or recording: as SOURCE give one that holds some. Clips of a data "
                "set are measured by mmn-edge evaluate"
            )
        found += [(str(path.relative_to(folder)), str(path)) for path in files]
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def plan(files: Sequence[tuple[str, str]], outputs: Sequence[Path]) -> list[Job]:
    """What each of several files becomes.

    Args:
        files: What they are called, and their names; see :func:`expanded`.
        outputs: With ``{name}`` in them.

    Raises:
        UsageError: An output would be written by several files, or over a source.
    """
    for output in outputs:
        if NAME not in str(output):
            raise UsageError(
                f"several sources are not written to the one file {output}: name a folder, -o {output.stem}/, or what "
                f"each is called, -o '{output.parent / NAME}{output.suffix}'"
            )
    stems = [str(Path(called).parent / _stem(called)) for called, _ in files]
    jobs = []
    for (called, source), stem in zip(files, stems, strict=True):
        name = stem if stems.count(stem) == 1 else called
        jobs.append(Job(Path(source), tuple(Path(str(output).replace(NAME, name)) for output in outputs)))
    written = [output for job in jobs for output in job.outputs]
    twice = next((output for output in written if written.count(output) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} would be written by several sources: give them names that differ")
    sources = {os.path.realpath(job.source) for job in jobs}
    over = next((output for output in written if os.path.realpath(output) in sources), None)
    if over is not None:
        raise UsageError(f"{over} is both source and output: name another folder to write into")
    return jobs


def _stem(called: str) -> str:
    name = Path(called).name
    return name.split(".")[0] or name


def run_all(jobs: Sequence[Job], run: Callable[[Job, Sequence[Path], str], bool], *, resume: bool) -> None:
    """Run files one after another; one that fails is told of, and the others go on.

    Args:
        jobs: The files.
        run: Runs one, writing to the files given, with words for its progress; False if there is nothing more to do.
        resume: Skip those that are finished.

    Raises:
        MmnEdgeError: The first failure, at the end.
    """
    left = [job for job in jobs if not (resume and job.finished)]
    if len(left) < len(jobs):
        click.echo(f"{len(jobs) - len(left)} of {len(jobs)} files are finished and skipped", err=True)
    failures: list[MmnEdgeError] = []
    for number, job in enumerate(left, 1):
        label = f"[{number}/{len(left)}] {job.source}"
        click.echo(label, err=True)
        try:
            going = run(job, job.unfinished, f"[{number}/{len(left)}] {job.source.name}: ")
        except (SourceError, DataError) as error:
            failures.append(error)
            click.echo(f"{job.source} failed, the others go on: {error}", err=True)
            continue
        if not going:
            return
        for written, output in zip(job.unfinished, job.outputs, strict=True):
            written.replace(output)
    if failures:
        kept = f" (what was read is in *{UNFINISHED}.*)" if any(p.exists() for j in left for p in j.unfinished) else ""
        click.echo(f"{len(failures)} of {len(left)} files failed{kept}", err=True)
        raise failures[0]
