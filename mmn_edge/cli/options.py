"""What several commands share: the model to use, and lists of numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from mmn_edge.bundle.bundle import bundle_files
from mmn_edge.bundle.manifest import MANIFEST, PRECISIONS
from mmn_edge.errors import UsageError
from mmn_edge.system.contents import contents

__all__ = [
    "OutputFile",
    "backend_option",
    "enough_seen_option",
    "find_bundle",
    "model_option",
    "numbers",
    "precision_option",
]


class OutputFile(click.Path):
    """A file to write: no folder, and of a kind that its suffix does not contradict.

    Args:
        suffixes: Those that fit, first the one to propose. A name without a suffix fits, and so does a device.
        template: What stands for a source's name where several are written to a folder; None takes no folder.
    """

    # What other programs would take a file of that name for.
    FOREIGN = frozenset(
        f".{name}"
        for group in (
            "avi m4v mkv mov mp4 webm",
            "csv eaf srt textgrid tsv vtt xlsx",
            "gz json jsonl ndjson npy npz onnx pickle pkl pt pth zip",
            "html ini jpg md pdf png svg toml txt xml yaml yml",
        )
        for name in group.split()
    )

    def __init__(self, *suffixes: str, template: str | None = None) -> None:
        super().__init__(dir_okay=False)
        self._suffixes = suffixes
        self._template = template

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The path; UsageError of click where it does not fit."""
        text = os.fsdecode(value)
        if self._template is not None and (text.endswith(("/", os.sep)) or Path(text).is_dir()):
            return Path(text) / f"{self._template}{self._suffixes[0]}"
        if text.endswith(("/", os.sep)):
            self.fail(f"{text} names a folder: name a file, such as {text}out{self._suffixes[0]}", parameter, context)
        path = Path(os.fsdecode(super().convert(value, parameter, context)))
        suffix = path.suffix.lower()
        if suffix in self.FOREIGN and suffix not in self._suffixes and not str(path).startswith("/dev/"):
            self.fail(
                f"{path} would not hold what its name says: what is written is {' or '.join(self._suffixes)}, such as "
                f"{path.with_suffix(self._suffixes[0]).name}",
                parameter,
                context,
            )
        return path


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

enough_seen_option = click.option(
    "--enough-seen",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of a window's joints, 0 to 1, that must have been seen for an answer.  [default: the bundle's]",
)

NO_BUNDLES = {
    "checkpoint": "make one of it with mmn-edge convert",
    "recording": "give it as SOURCE, and the bundle with --model",
    "video": "give it as SOURCE, and the bundle with --model",
    "data set": "mmn-edge evaluate BUNDLE --data measures one on it",
    "ONNX model": "give the folder that it lies in",
}
"""What is given for a bundle by mistake, and what to do with it."""


def find_bundle(named: Path | None) -> Path:
    """The bundle to use: the named one, or the only one in the current folder.

    Raises:
        UsageError: None is named, and there is none or more than one; or what is named is something else.
    """
    if named is not None:
        if named.name == MANIFEST:
            return named.parent
        kind = contents(named)
        if kind in NO_BUNDLES:
            raise UsageError(f"{named} is a {kind}, and a model is a bundle: {NO_BUNDLES[kind]}")
        return named
    folders = (path.parent for path in Path.cwd().glob(f"*/{MANIFEST}"))
    found = sorted(folder for folder in folders if not folder.name.startswith(".") and bundle_files(folder))
    if len(found) == 1:
        return found[0].relative_to(Path.cwd())
    reason = f"this folder holds {len(found)} bundles" if found else "this folder holds no bundle"
    raise UsageError(
        f"no model was named and {reason}: give one with --model BUNDLE (mmn-edge convert CHECKPOINT makes one)"
    )


def numbers(text: str, option: str, *, most: int) -> list[int]:
    """Parse ``"1,2,4"``.

    Raises:
        UsageError: Something else, or a number that is not from 1 to ``most``.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) <= len(str(most)) and 1 <= int(part) <= most for part in parts):
        raise UsageError(f"{option} takes whole numbers from 1 to {most} with commas between, not {text!r}")
    return [int(part) for part in parts]
