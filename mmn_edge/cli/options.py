"""What several commands share: the model to use, and lists of numbers."""

from __future__ import annotations

from pathlib import Path

import click

from mmn_edge.bundle.bundle import MANIFEST, PRECISIONS, bundle_files
from mmn_edge.errors import UsageError

__all__ = ["backend_option", "find_bundle", "model_option", "numbers", "precision_option"]

model_option = click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    envvar="MMN_EDGE_MODEL",
    help="The bundle to use.  [default: $MMN_EDGE_MODEL, or the only bundle in this folder]",
)

backend_option = click.option(
    "--backend",
    metavar="NAME",
    help="What runs a bundle: tensorrt, tensorrt-rtx, onnxruntime, openvino, onnxruntime-cuda, onnxruntime-tensorrt or "
    "onnxruntime-tensorrt-rtx.  [default: the bundle's engine where it fits this machine, else onnxruntime]",
)

precision_option = click.option(
    "--precision",
    metavar="NAME",
    help=f"Which of the bundle's models: {', '.join(PRECISIONS)}.  [default: the advised one, or the newest engine's, "
    "or fp32]",
)


def find_bundle(named: Path | None) -> Path:
    """The bundle to use: the named one, or the only one in the current folder.

    Raises:
        UsageError: None is named, and there is none or more than one.
    """
    if named is not None:
        return named
    folders = (path.parent for path in Path.cwd().glob(f"*/{MANIFEST}"))
    found = sorted(folder for folder in folders if not folder.name.startswith(".") and bundle_files(folder))
    if len(found) == 1:
        return found[0].relative_to(Path.cwd())
    reason = f"this folder holds {len(found)} bundles" if found else "this folder holds no bundle"
    raise UsageError(
        f"no model was named and {reason}: give one with --model BUNDLE (mmn-edge convert CHECKPOINT makes one)"
    )


def numbers(text: str, option: str) -> list[int]:
    """Parse ``"1,2,4"``.

    Raises:
        UsageError: Something else.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} takes whole numbers with commas between, not {text!r}") from None
