"""The clips that models are evaluated on: read, numbered as the model numbers its classes, and given its joints."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmn_edge.datasets import reading as clip_files
from mmn_edge.datasets.check import read_entries
from mmn_edge.datasets.clip import Clip, are_withheld, is_trained_on, make_clip
from mmn_edge.datasets.duplicates import held_out_from, leaks_between, shared_recordings
from mmn_edge.datasets.facts import ClipFacts
from mmn_edge.datasets.findings import Finding, counted
from mmn_edge.datasets.formats.annotation_files import total_frames
from mmn_edge.datasets.formats.pickles import load_pickle
from mmn_edge.errors import DataError, LayoutError, UsageError
from mmn_edge.evaluation.metrics import Indices
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.skeleton import clock, layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.inputs import ModelInputs
from mmn_edge.skeleton.layouts import Layout
from mmn_edge.skeleton.missing import ENOUGH_SEEN, ScoreScale
from mmn_edge.system.words import some

__all__ = [
    "EvaluationSet",
    "align",
    "align_models",
    "as_live",
    "default_split",
    "fitted_keypoints",
    "is_trained_on",
    "read",
    "read_unlabelled",
]

TIME_SLACK = 1e-6
"""Seconds; time stamps that passed through decimal text may be off by less."""

Note = Callable[[str], None]
"""Takes a sentence that the report must hold."""


@dataclass(frozen=True)
class EvaluationSet:
    """Clips of one split.

    Attributes:
        path: Where they came from.
        split: The split's name; None means all clips.
        clips: The clips in the data set's order, labels in its own numbering.
        class_names: The data set's names of its classes; None where it holds none.
        layout: Name of the clips' layout; None where nobody said it.
        labelled: Whether the labels mean anything.
        findings: Clips that were left out, and what is odd about the others.
    """

    path: Path
    split: str | None
    clips: tuple[Clip, ...]
    class_names: tuple[str, ...] | None
    layout: str | None
    labelled: bool = True
    findings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How reports call it, such as ``jhmdb.pkl:test``."""
        return f"{self.path.name}:{self.split}" if self.split else self.path.name

    @property
    def described(self) -> str:
        """The same with the number of clips."""
        return f"{self.name}, {len(self.clips)} clips"


def default_split(path: Path) -> str | None:
    """``val``, or ``test`` where there is no val, or the one split named after either, such as ``xsub_val``.

    None (all clips) where the data set has no splits, or none that anything is trained on.

    Raises:
        UsageError: It has a split to train on, and none or several to measure on.
    """
    known = clip_files.splits(path)
    if exact := [split for split in ("val", "test") if split in known]:
        return exact[0]
    held_out = [split for split in known if re.search(r"(^|[\W_])(val|test)", split, re.IGNORECASE)]
    if len(held_out) == 1:
        return held_out[0]
    if held_out or any(is_trained_on(split) for split in known):
        raise UsageError(
            f"{path} has the splits {', '.join(known)}: name the one to measure on (--split; in training --val-split, "
            "in quantization --eval-split)"
        )
    return None


def read(path: Path, split: str | None, *, layout: str | None = None) -> EvaluationSet:
    """Read the labelled clips of one split.

    Args:
        path: What :func:`mmn_edge.datasets.reading.read_clips` reads.
        split: The split; all clips where None.
        layout: The layout, where the data set does not say it.

    Raises:
        DataError: Missing or broken files, an unknown split, no clips.
        LayoutError: The data set says that its layout is another one.
    """
    content = clip_files.read_clips(path, split)
    layout = _layout(path, content.layout, layout)
    found = (*content.findings, *_trained_on(path, split, content.facts))
    return EvaluationSet(path, split, content.clips, content.class_names, layout, findings=found)


def _trained_on(path: Path, split: str | None, facts: Sequence[ClipFacts]) -> list[Finding]:
    """What of a split the same data set trains on, under the same name or another."""
    if split is None or is_trained_on(split):
        return []
    source = clip_files.open_source(path)
    found: list[Finding] = []
    for other in source.splits:
        if not is_trained_on(other) or not held_out_from(other, split):
            continue
        training, _ = read_entries(source.of_split(other))
        names = {fact.entry.name for fact in training}
        both = [fact.entry.name for fact in facts if fact.entry.name in names]
        found += counted(both, f"of split {split} in split {other} too: what is trained on is not held out")
        found += leaks_between(training, facts, other, split)
        found += shared_recordings(training, facts, other, split)
    return found


def read_unlabelled(path: Path, split: str | None, *, layout: str | None = None) -> EvaluationSet | None:
    """Read the clips of a split whose labels are withheld, as those of MA-52's test split are.

    That is a ``{split}_data.pkl`` in the authors' format without a label file, or with one that lists names only, or an
    annotation pickle. A label that is absent or negative is withheld.

    Returns:
        The clips, or None where the split has labels or is in another format.

    Raises:
        DataError: The files are broken.
    """
    file = path / f"{split}_data.pkl" if path.is_dir() else path
    if file.suffix != ".pkl" or not file.is_file():
        return None
    content = load_pickle(file)
    content = content if isinstance(content, dict) else {"annotations": content}
    entries, names = content.get("annotations"), content.get("split")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    listed, names = entries, names.get(split) if isinstance(names, dict) else None
    if path.is_dir():  # there the label file alone says what clips are
        listed, label_file = [], path / f"{split}_label.pkl"
        if label_file.is_file():
            listed = load_pickle(label_file)
            if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
                return None
            names = [entry.get("file_name") for entry in listed]
    by_name = {str(entry.get("frame_dir")): entry for entry in entries}
    wanted = list(by_name) if names is None else [str(name) for name in names]
    if not path.is_dir() and names is not None:
        listed = [by_name[name] for name in wanted if name in by_name]
    if not entries or not are_withheld([entry.get("label") for entry in listed]):
        return None
    if absent := [name for name in wanted if name not in by_name]:
        raise DataError(f"{file} lacks {len(absent)} clips of split {split}, the first is {absent[0]}")
    own = content.get("layout")
    scale = ScoreScale.declared(content["score_scale"], str(file)) if "score_scale" in content else None
    clips = []
    for name in wanted:
        scores = None if path.is_dir() else by_name[name].get("keypoint_score")  # the authors' are not used
        points, frames = by_name[name].get("keypoint"), total_frames(by_name[name])
        where = f"{file}: clip {name}"
        clips.append(make_clip(where, name, 0, points, scores, layout=own, frames=frames, scale=scale))
    return EvaluationSet(path, split, tuple(clips), None, _layout(path, own, layout), labelled=False)


def _layout(path: Path, own: str | None, named: str | None) -> str | None:
    if named is not None:
        layouts.get(named)
        if own not in (None, named):
            raise LayoutError(f"{path} says that its layout is {own}: leave --layout {named} out")
    return own or named


def align(data: EvaluationSet, model: Labels, note: Note) -> tuple[Indices, Labels]:
    """The clips' labels in the model's numbering, matched by name where both sides have names.

    Names match exactly or, failing that, without regard to case, spaces and punctuation.

    Args:
        data: The clips.
        model: The model's classes.
        note: Is told what a reader of the numbers should know.

    Returns:
        Class indices ``(N,)``, and the model's classes, named as the data names them where the model only numbers them.

    Raises:
        DataError: Clips of classes that the model does not know, all listed; or counts that do not fit.
    """
    labels = np.array([clip.label for clip in data.clips], dtype=np.int64)
    names = data.class_names
    if names is None or _is_numbered(model):
        count = len(names) if names else int(labels.max()) + 1
        if count > len(model) or (names is not None and count != len(model)):
            raise DataError(
                f"{data.path} has {count} classes and the model {len(model)}, and "
                f"{'the model' if names else 'the data set'} does not name them, so that they cannot be matched: "
                "evaluate on the classes that the model was trained on"
            )
        note(f"Classes were matched by number, because the {'model' if names else 'data set'} does not name them.")
        return labels, Labels(names) if names is not None else model
    targets = _match(names, model.classes, data.path)
    lost = sorted({int(label) for label in labels if targets[label] is None})
    if lost:
        raise DataError(
            f"{data.path} has clips of {len(lost)} classes that the model does not know: "
            f"{', '.join(names[index] for index in lost)} (it knows {some(model.classes)})"
        )
    if targets != list(range(len(model))):
        note(
            f"The data set numbers its {len(names)} classes differently from the model's {len(model)}: they were "
            "matched by name."
        )
    if unknown := [name for name, target in zip(names, targets, strict=True) if target is None]:
        note(f"The data set names classes that the model does not know, without clips in this split: {some(unknown)}.")
    return np.array([targets[label] for label in labels], dtype=np.int64), model


def align_models(reference: Labels, other: Labels, name: str) -> Indices:
    """Where each of the reference's classes is found among another model's, ``(K,)``.

    Raises:
        UsageError: The models do not have the same classes.
    """
    if len(reference) == len(other) and (_is_numbered(reference) or _is_numbered(other)):
        return np.arange(len(reference), dtype=np.int64)
    found = _match(reference.classes, other.classes, name)
    absent = [class_ for class_, index in zip(reference.classes, found, strict=True) if index is None]
    if absent or len(reference) != len(other):
        which = f"it lacks {some(absent)}" if absent else f"it has {len(other)} classes and not {len(reference)}"
        raise UsageError(f"{name} cannot be compared with the first model, {which}: evaluate them one by one")
    return np.array(found, dtype=np.int64)


def _match(names: Sequence[str], known: Sequence[str], origin: object) -> list[int | None]:
    """For each name its index among ``known``, None where it has none."""
    exact = {name: index for index, name in enumerate(known)}
    loose: dict[str, list[int]] = {}
    for index, name in enumerate(known):
        loose.setdefault(_plain(name), []).append(index)
    found: list[int | None] = []
    for name in names:
        candidates = [exact[name]] if name in exact else loose.get(_plain(name), [])
        found.append(candidates[0] if len(candidates) == 1 else None)
    owners: dict[int, str] = {}
    for name, target in zip(names, found, strict=True):
        if target is None:
            continue
        if target in owners:
            raise DataError(
                f"{origin} has two classes that are both the model's {known[target]!r}: {owners[target]!r} and {name!r}"
            )
        owners[target] = name
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _is_numbered(labels: Labels) -> bool:
    return labels.classes == Labels.numbered(len(labels)).classes


def as_live(data: EvaluationSet, keypoints: Sequence[FloatArray], window: Window, note: Note) -> list[FloatArray]:
    """Clips as a live window holds them: of one that is longer, by its time stamps, the middle.

    A clip without time stamps, or with ones that are no clock, is taken whole, and nothing is claimed about it.

    Args:
        data: The clips.
        keypoints: For every clip ``(L, V, C)``.
        window: The live window.
        note: Is told what a reader of the numbers should know.
    """
    lengths = {
        index: float(clip.times[-1] - clip.times[0])
        for index, clip in enumerate(data.clips)
        if clip.times is not None and len(clip.times) > 1 and clock.doubt(clip.times.tolist(), window.seconds) is None
    }
    found = list(keypoints)
    longer = [index for index, seconds in lengths.items() if seconds > window.seconds and window.misses(seconds)]
    for index in longer:
        times = data.clips[index].times
        assert times is not None
        begin = (times[0] + times[-1] - window.seconds) / 2
        first, last = np.searchsorted(times, (begin - TIME_SLACK, begin + window.seconds + TIME_SLACK))
        found[index] = found[index][first:last]
    middle = float(np.median(list(lengths.values()))) if lengths else window.seconds
    if longer:
        note(
            f"{len(longer)} of {len(found)} clips are longer than the model's live window of {window.seconds:g} s: of "
            f"each the middle {window.seconds:g} s were used, as a stream gives them. If it was trained on whole clips "
            f"({middle:.3g} s in the median here), convert it with --window {middle:.2g}."
        )
    elif window.misses(middle):
        note(
            f"The clips are {middle:.3g} s long in the median, and the model's live window has {window.seconds:g} s: "
            "live, it holds more than such a clip."
        )
    return found


def fitted_keypoints(
    data: EvaluationSet,
    arch: Architecture,
    layout: Layout | None,
    bones: Sequence[tuple[int, int]],
    note: Note,
    *,
    enough_seen: float = ENOUGH_SEEN,
) -> list[FloatArray]:
    """The clips as a model takes them: its joints, its coordinates, nothing missing.

    Args:
        data: The clips.
        arch: The model's network.
        layout: The layout of its joints; None where unknown.
        bones: Along these a joint never seen is filled in.
        note: Is told what a reader of the numbers should know.
        enough_seen: Share of the model's joints that a clip should show.

    Returns:
        For every clip ``(L, V, C)``, finite.

    Raises:
        LayoutError: The joints or coordinates do not fit and cannot be made to.
        DataError: A third coordinate that is no confidence in a layout of two.
    """
    if arch.num_people != 1:
        raise LayoutError(
            f"the model takes {arch.num_people} persons at once, and data sets are evaluated person by person"
        )
    inputs = ModelInputs(data.layout, layout, joints=arch.num_joints, channels=arch.in_channels, bones=bones)
    if layout is not None and inputs.is_mapped:
        note(f"Joints were mapped from layout {data.layout} to {layout.name}.")
    channels = layouts.get(data.layout).channels if data.layout else data.clips[0].keypoints.shape[2]
    if arch.in_channels < channels == data.clips[0].keypoints.shape[2] and (layout is None or layout.channels > 2):
        note(f"Of {channels} coordinates per joint only the first {arch.in_channels} were used.")
    prepared, scarce = [], 0
    for clip in data.clips:
        keypoints, share = inputs.take(clip.keypoints, clip.scores, f"{data.path}: clip {clip.name}")
        scarce += share < enough_seen
        prepared.append(keypoints)
    if scarce:
        note(
            f"{scarce} of {len(prepared)} clips show less than {100 * enough_seen:g} % of the model's joints: their "
            "answers count here, and a live stream would get none."
        )
    return prepared
