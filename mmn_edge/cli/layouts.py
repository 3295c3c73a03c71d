"""``mmn-edge layouts``: the skeleton layouts, and the joint mappings between them."""

from __future__ import annotations

from pathlib import Path

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.completion import among
from mmn_edge.errors import UsageError
from mmn_edge.reports import layout_drawing as drawing
from mmn_edge.skeleton import layouts as registry
from mmn_edge.skeleton import mappings

__all__ = ["layouts"]


@click.group(invoke_without_command=True)
@click.pass_context
def layouts(context: click.Context) -> None:
    """List and draw skeleton layouts, and show how their joints are mapped.

    A layout says which joint is which. A stream in one layout can feed a model trained on another where there
    is a mapping between the two.

    \b
    Examples:
      mmn-edge layouts
      mmn-edge layouts show ma52
      mmn-edge layouts show ma52 --svg ma52.svg
      mmn-edge layouts map mediapipe-holistic ma52
    """
    if context.invoked_subcommand is not None:
        return
    header = ("layout", "joints", "coordinates", "maps to", "what it is")
    rows = []
    for name in registry.names():
        layout = registry.get(name)
        targets = [target for source, target in mappings.names() if source == name]
        rows.append((name, str(layout.num_joints), f"{layout.channels}-D", " ".join(targets) or "-", layout.title))
    terminal.show(header, rows, words=len(header))


@layouts.command()
@click.argument("name", shell_complete=among(registry.names()))
@click.option("--svg", "svg_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the drawing to FILE.")
def show(name: str, svg_file: Path | None) -> None:
    """Draw the layout NAME and print its joints, bones, left-right pairs and centre.

    Left and right in joint names are the person's own; the person faces you, so their left is on your right.

    \b
    Examples:
      mmn-edge layouts show imigue
      mmn-edge layouts show halpe136 --svg halpe136.svg
    """
    layout = registry.get(name)
    click.echo(f"{layout.name}: {layout.title}\n")
    click.echo(drawing.text(layout))
    click.echo("\njoints in the order of the parts (the order MMN is fed): " + " ".join(map(str, layout.order)))
    click.echo("bones (start-end): " + " ".join(f"{start}-{end}" for start, end in layout.bones))
    click.echo("left-right pairs: " + " ".join(f"{one}/{other}" for one, other in layout.pairs))
    centre = "none" if layout.centre is None else f"{layout.centre} {layout.joints[layout.centre]}"
    click.echo(f"centre: {centre}")
    axes = ", ".join(f"{name} {direction}" for name, direction in zip("xyz", layout.axes, strict=False))
    click.echo(f"coordinates: {layout.channels}, as seen from the camera they grow to: {axes}")
    click.echo(f"source: {layout.source}")
    if layout.note:
        click.echo(f"note: {layout.note}")
    if svg_file is not None:
        try:
            svg_file.write_text(drawing.svg(layout), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {svg_file} ({error.strerror}): name a file in a writable folder") from error
        click.echo(f"wrote {svg_file}")


@layouts.command("map")
@click.argument("source", shell_complete=among(registry.names()))
@click.argument("target", shell_complete=among(registry.names()))
def show_mapping(source: str, target: str) -> None:
    """Print how each joint of layout TARGET is made from layout SOURCE.

    Of several alternatives the first whose joints are all seen is used. A joint is exact (the same point),
    derived (a midpoint, an extrapolation, a copy) or missing.

    \b
    Examples:
      mmn-edge layouts map halpe136 ma52
      mmn-edge layouts map mediapipe-holistic imigue
    """
    mapping = mappings.get(source, target)
    rows = [(str(i), joint.name, joint.status, joint.expression) for i, joint in enumerate(mapping.joints)]
    terminal.show(("", target, "status", source), rows, words=4)
    counts = {"exact": 0, "derived": 0, "missing": 0}
    for joint in mapping.joints:
        counts[joint.status] += 1
    click.echo("\n" + ", ".join(f"{count} {status}" for status, count in counts.items()))
    if mapping.note:
        click.echo(f"note: {mapping.note}")
