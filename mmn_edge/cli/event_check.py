"""What ``mmn-edge data check`` prints of annotated recordings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import terminal
from mmn_edge.system.words import some

if TYPE_CHECKING:
    from mmn_edge.events.check import EventReport

__all__ = ["print_events"]


def print_events(report: EventReport, *, as_json: bool, shown: int | None) -> None:
    """Print a report.

    Args:
        report: What was found.
        as_json: As one JSON document.
        shown: Findings of a kind to print at most; all where None.
    """
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
        return
    click.echo(report.path)
    quiet = f", nothing happened in {report.quiet}" if report.quiet else ""
    click.echo(f"  annotated    {report.recordings} recording{'' if report.recordings == 1 else 's'}{quiet}")
    click.echo(f"  watched      {'not known' if report.hours is None else f'{report.hours:.2f} hours'}")
    click.echo(f"  events       {report.events}, {_durations(report.durations)}")
    if report.persons:
        click.echo(f"  persons      {some(report.persons)}")
    if report.annotators:
        click.echo(f"  annotators   {some(report.annotators)}")
    if report.at_once is not None:
        shares = [f"{100 * share:.1f} %" for share in report.at_once]
        click.echo(f"  at once      none {shares[0]}, one {shares[1]}, two {shares[2]}, more {shares[3]} of the time")
    rows = []
    for entry in report.classes:
        spread = [f"{value:.1f}" for value in entry.durations] if entry.durations else ["-"] * 3
        rows.append([entry.name, str(entry.events), str(entry.recordings), f"{entry.seconds:.0f}", *spread])
    if rows:
        terminal.show(["class", "events", "recordings", "seconds", "5 %", "median s", "95 %"], rows, words=1)
    for title, found in (("problems", report.problems), ("warnings", report.warnings)):
        click.echo(f"{title}: {len(found) or 'none'}")
        for finding in found[:shown]:
            click.echo(terminal.paragraph(finding, indent="  "))
        if shown is not None and len(found) > shown:
            click.echo(f"  and {len(found) - shown} more (--all prints them)")


def _durations(values: tuple[float, float, float] | None) -> str:
    return "{1:.1f} s long (5 to 95 %: {0:.1f} to {2:.1f} s)".format(*values) if values else "nothing happened"
