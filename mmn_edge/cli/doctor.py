"""``mmn-edge doctor``: what this machine is, and what keeps mmn-edge from working on it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import click

from mmn_edge.cli import terminal
from mmn_edge.errors import GateError, UsageError

__all__ = ["doctor"]

ENCLOSED = (
    "etc/os-release",
    "etc/nv_tegra_release",
    "etc/nvpmodel.conf",
    "var/lib/nvpmodel/status",
    "proc/device-tree/model",
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/swaps",
    "proc/driver/nvidia/version",
    "usr/local/cuda/version.json",
)
"""Files that say what a machine is, and nothing of who uses it."""

MAX_ENCLOSED_BYTES = 1 << 20


@click.command()
@click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="Also look for what keeps this bundle, or its engines, from running here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option(
    "--archive",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.zip",
    help="Also write the result, and the files that say what machine this is, into a ZIP file to send with a report.",
)
def doctor(model: Path | None, as_json: bool, archive: Path | None) -> None:
    """Say what this machine is, and what keeps mmn-edge from working on it.

    Each problem comes with the command that mends it. Errors keep something from working that is meant to work
    here; hints do not. The exit code is 10 where there is an error.

    \b
    Examples:
      mmn-edge doctor
      mmn-edge doctor --model ma52.bundle
      mmn-edge doctor --json
      mmn-edge doctor --archive doctor.zip
    """
    from mmn_edge.bundle.bundle import Bundle
    from mmn_edge.doctor import facts, rules

    if archive is not None and archive.suffix.lower() != ".zip":
        raise UsageError(f"{archive} is no name of a ZIP file: end it in .zip")
    bundle = Bundle.open(model) if model is not None else None
    with terminal.status("looking at this machine"):
        found = facts.collect()
    findings = rules.examine(found, bundle)
    errors = [finding for finding in findings if finding.level == rules.ERROR]
    result = {
        "schema_version": 1,
        "ok": not errors,
        "machine": found.to_dict(),
        "findings": [finding.to_dict() for finding in findings],
    }
    if archive is not None:
        _archive(archive, result)
    if as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        terminal.glossary(list(found.to_dict().items()))
        click.echo()
        for finding in findings:
            click.echo(terminal.paragraph(f"{finding.level}: {finding.subject}: {finding.problem}"))
            click.echo(f"    {finding.mend}")
        if not findings:
            click.echo("no problem found")
    if errors:
        subjects = ", ".join(dict.fromkeys(finding.subject for finding in errors))
        raise GateError(
            f"{len(errors)} check{'s' if len(errors) > 1 else ''} failed ({subjects}): the commands above mend that"
        )


def _archive(path: Path, result: dict[str, Any]) -> None:
    """The result and :data:`ENCLOSED`; serial numbers are left out."""
    from mmn_edge.system.files import atomic_file

    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("doctor.json", json.dumps(result, indent=2, ensure_ascii=False))
        for name in ENCLOSED:
            try:
                with (Path("/") / name).open("rb") as file:
                    content = file.read(MAX_ENCLOSED_BYTES)
            except OSError:
                continue
            lines = [line for line in content.splitlines(True) if not line.lower().startswith(b"serial")]
            pack.writestr(name, b"".join(lines))
