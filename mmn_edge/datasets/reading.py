"""Skeleton data sets on disk: annotation pickles, the authors' label/data pairs, and folders with a ``labels.csv``.

The formats are documented in ``docs/reference/data-formats.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmn_edge.datasets.check import findings, read_entries
from mmn_edge.datasets.clip import Clip, ClipEntry, ClipSource, is_trained_on
from mmn_edge.datasets.facts import ClipFacts
from mmn_edge.datasets.findings import Finding, grouped
from mmn_edge.datasets.formats import annotation_files, folder
from mmn_edge.datasets.values import placeholder_labels
from mmn_edge.errors import DataError, LayoutError
from mmn_edge.skeleton.missing import ScoreScale
from mmn_edge.system.contents import contents

__all__ = ["Clip", "ClipEntry", "ClipSet", "ClipSource", "open_source", "read_clips", "splits"]


@dataclass(frozen=True)
class ClipSet:
    """Labelled clips of one split, all with the same joints.

    Attributes:
        clips: The clips in the data set's order.
        class_names: Names of the classes where the data set holds them.
        layout: Name of the skeleton layout where the data set says it.
        facts: What is known of each clip, in the same order.
        findings: What everybody who uses them should know: clips that were left out, and what is odd about the others.
    """

    clips: tuple[Clip, ...]
    class_names: tuple[str, ...] | None
    layout: str | None = None
    facts: tuple[ClipFacts, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def num_classes(self) -> int:
        """Classes: as many as are named, or one more than the highest label."""
        return len(self.class_names) if self.class_names else 1 + max(clip.label for clip in self.clips)


def open_source(path: Path, split: str | None = None, *, scale: ScoreScale | None = None) -> ClipSource:
    """Open a data set: read its lists, not its clips.

    Args:
        path: An annotation pickle; a folder with ``labels.csv``; or a folder of the authors'
            ``{train,val,test}_{data,label}.pkl``.
        split: The only split that is of interest, where only one is.
        scale: What the scores mean, where the data set does not say so.

    Raises:
        DataError: It is none of these, or its lists are broken.
    """
    kind = contents(path)
    if kind in ("bundle", "checkpoint"):
        raise DataError(f"{path} is a {kind}, what recognises: a data set holds labelled clips")
    if kind == "recording":
        raise DataError(
            f"{path} is one recording: a data set is a folder of them with a {folder.LABELS}, or what mmn-edge data "
            "import makes of one subfolder a class"
        )
    if _holds_pairs(path):
        return annotation_files.open_pairs(path, split)
    return folder.open_folder(path, scale) if path.is_dir() else annotation_files.open_pickle(path, scale)


def splits(path: Path) -> tuple[str, ...]:
    """The splits that a data set names, such as ``("train", "test")``; empty where it has none."""
    return annotation_files.pairs(path) if _holds_pairs(path) else tuple(open_source(path).splits)


def read_clips(
    path: Path | str, split: str | None = None, *, progress: Callable[[int, int], None] | None = None
) -> ClipSet:
    """Read the clips of one split.

    Args:
        path: What :func:`open_source` opens.
        split: The split's name; where None, all clips, or the authors' validation split.
        progress: Called after every clip with how many are done and how many there are.

    A clip that is broken (a label that is no class, no frames, infinite coordinates, nothing ever seen) or absent is
    left out, and named among the findings; where half of the clips are, there is something wrong with all of them.

    Raises:
        DataError: Missing or broken files, an unknown split, differing joints, or half of the clips broken.
        LayoutError: Clips in different layouts, or in one that is unknown.
    """
    path = Path(path)
    if split is None and _holds_pairs(path):
        split = "val"
    source = open_source(path, split)
    entries = source.of_split(split)
    absent = source.absent(split) if split is not None else ()
    if not entries and not absent:
        raise DataError(f"{path} holds no clips" + (f" in split {split}" if split else ""))
    read: list[Clip] = []
    facts, broken = read_entries(entries, progress, read.append)
    total = len(entries) + len(absent)
    if 2 * len(absent) >= total:
        raise DataError(f"{path}: split {split} names {len(absent)} clips that are not there, the first is {absent[0]}")
    if 2 * (len(broken) + len(absent)) >= total:
        first_error = broken[0][1]
        if total == 1:
            raise first_error
        raise type(first_error)(
            f"{len(broken)} of {len(entries)} clips cannot be used, the first: {first_error} "
            f"('mmn-edge data check {path}' lists them all)"
        )
    clips = tuple(read)
    first = clips[0]
    for clip in clips:
        if clip.layout != first.layout:
            raise LayoutError(
                f"{path} mixes layouts: clip {first.name} is in {first.layout or 'one that is not named'} and clip "
                f"{clip.name} in {clip.layout or 'one that is not named'}"
            )
        if clip.keypoints.shape[1:] != first.keypoints.shape[1:]:
            raise DataError(
                f"{path} mixes layouts: clip {first.name} has (V, C) = {first.keypoints.shape[1:]} and clip "
                f"{clip.name} has {clip.keypoints.shape[1:]}"
            )
    left_out = [(name, f"{error}: left out") for name, error in broken]
    left_out += [(name, f"split {split} names clip {name}, which is not there: left out") for name in absent]
    found = [*grouped(left_out), *findings(facts)]
    if split is None or not is_trained_on(split):
        found += placeholder_labels(facts, split)
    return ClipSet(clips, source.class_names, first.layout, tuple(facts), tuple(found))


def _holds_pairs(path: Path) -> bool:
    return path.is_dir() and not (path / folder.LABELS).is_file()
