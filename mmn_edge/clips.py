"""Skeleton data sets on disk: annotation pickles of PYSKL and MMAction2, and the authors' label/data pairs.

Pickles can run code when they are loaded; these are read by an unpickler that admits numpy arrays and plain values
only. Formats: https://github.com/kennymckormick/pyskl (data/README) and ``docs/training.md``.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from mmn_edge.errors import DataError
from mmn_edge.skeleton import FloatArray

__all__ = ["Clip", "ClipSet", "load_pickle", "read_clips", "splits"]


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled clip.

    Attributes:
        name: The data set's name for it (``frame_dir``).
        label: Class index.
        keypoints: Float32 ``(T, V, C)`` of the first person; NaN where a joint was not seen.
    """

    name: str
    label: int
    keypoints: FloatArray


@dataclass(frozen=True)
class ClipSet:
    """Labelled clips of one split, all with the same joints.

    Attributes:
        clips: The clips in the data set's order.
        class_names: Names of the classes where the file holds them.
    """

    clips: tuple[Clip, ...]
    class_names: tuple[str, ...] | None

    @property
    def num_classes(self) -> int:
        """Classes: as many as are named, or one more than the highest label."""
        return len(self.class_names) if self.class_names else 1 + max(clip.label for clip in self.clips)


class _Unpickler(pickle.Unpickler):
    """Admits what arrays and plain containers need, by name, and nothing else."""

    ADMITTED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy.core.numeric", "_frombuffer"),
            ("numpy._core.numeric", "_frombuffer"),
            ("_codecs", "encode"),
            ("builtins", "set"),
            ("builtins", "frozenset"),
            ("builtins", "complex"),
            ("collections", "OrderedDict"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise _RefusedError(f"{module}.{name}")
        return super().find_class(module.replace("numpy._core", "numpy.core") if _OLD_NUMPY else module, name)


class _RefusedError(pickle.UnpicklingError):
    """A pickle asked for something that is not data."""


_OLD_NUMPY = int(np.__version__.split(".")[0]) < 2


def load_pickle(path: Path) -> Any:
    """Load a pickle of plain values and numpy arrays.

    Raises:
        DataError: The file is missing, no pickle, truncated, or asks for anything else, which is not run.
    """
    try:
        with path.open("rb") as file:
            return _load(file)
    except _RefusedError as error:
        raise DataError(
            f"{path} was not opened: it asks for {error}, which is no array and could run code; a data set holds "
            "numpy arrays and plain values only"
        ) from error
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{path} is no readable pickle ({type(error).__name__}: {error})") from error


def _load(file: IO[bytes]) -> Any:
    return _Unpickler(file, encoding="latin1").load()


def splits(path: Path) -> tuple[str, ...]:
    """The splits that a data set names, such as ``("train", "test")``; empty where it has none."""
    if path.is_dir():
        return tuple(s for s in ("train", "val", "test") if (path / f"{s}_data.pkl").is_file())
    content = load_pickle(path)
    return tuple(content.get("split", {})) if isinstance(content, dict) else ()


def read_clips(path: Path, split: str | None = None) -> ClipSet:
    """Read the clips of one split.

    Args:
        path: An annotation pickle, or a folder of the authors' ``{train,val,test}_{data,label}.pkl``.
        split: The split's name; all clips where None (pickles only).

    Raises:
        DataError: Missing or broken files, an unknown split, clips without frames or with differing joints.
    """
    clips: tuple[Clip, ...]
    if path.is_dir():
        clips, names = _read_folder(path, split or "val"), None
    else:
        clips, names = _read_annotations(path, split)
    if not clips:
        raise DataError(f"{path} holds no clips" + (f" in split {split}" if split else ""))
    first = clips[0]
    for clip in clips:
        if clip.keypoints.shape[1:] != first.keypoints.shape[1:]:
            raise DataError(
                f"{path} mixes layouts: clip {first.name} has (V, C) = {first.keypoints.shape[1:]} and clip "
                f"{clip.name} has {clip.keypoints.shape[1:]}"
            )
        if names is not None and clip.label >= len(names):
            raise DataError(f"{path}: clip {clip.name} has label {clip.label}, and there are {len(names)} classes")
    return ClipSet(clips, names)


def _read_folder(path: Path, split: str) -> tuple[Clip, ...]:
    """The authors' format: clips joined by name, in the label file's order; the authors use no scores."""
    data = load_pickle(path / f"{split}_data.pkl")
    labels = load_pickle(path / f"{split}_label.pkl")
    try:
        by_name = {entry["frame_dir"]: entry for entry in data["annotations"]}
        pairs = [(entry["file_name"], entry["label"]) for entry in labels]
    except (TypeError, KeyError) as error:
        raise DataError(f"{path}/{split}_*.pkl are not in the authors' format: {error!r} is missing") from error
    absent = [name for name, _ in pairs if name not in by_name]
    if absent:
        raise DataError(f"{path}/{split}_data.pkl lacks {len(absent)} labelled clips, the first is {absent[0]}")
    return tuple(_clip(by_name[name], label, path, use_scores=False) for name, label in pairs)


def _read_annotations(path: Path, split: str | None) -> tuple[tuple[Clip, ...], tuple[str, ...] | None]:
    content = load_pickle(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise DataError(f'{path} is no annotation pickle: it needs "annotations", as in PYSKL and MMAction2')
    entries = content["annotations"]
    if not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f'{path} is no annotation pickle: "annotations" must be a list of mappings')
    if split is not None:
        known = content.get("split") or {}
        if not isinstance(known, dict) or split not in known:
            raise DataError(f"{path} has no split {split!r}: it has {', '.join(map(str, known)) or 'none'}")
        wanted = _names_of(known[split], path, split)
        absent = wanted - {entry.get("frame_dir") for entry in entries}
        if absent:
            raise DataError(
                f"{path}: split {split} names {len(absent)} clips that are not there, such as {min(absent)}"
            )
        entries = [entry for entry in entries if entry.get("frame_dir") in wanted]
    names = content.get("class_names")
    if names is not None and not isinstance(names, list | tuple):
        raise DataError(f'{path}: "class_names" must be a list of names, not {names!r}')
    clips = tuple(_clip(entry, entry.get("label"), path) for entry in entries)
    return clips, tuple(str(name) for name in names) if names is not None else None


def _names_of(split: Any, path: Path, name: str) -> set[str]:
    if not isinstance(split, list | tuple | set | np.ndarray) or not all(isinstance(entry, str) for entry in split):
        raise DataError(f"{path}: split {name} must be a list of clip names")
    return set(split)


def _clip(entry: dict[str, Any], label: Any, path: Path, *, use_scores: bool = True) -> Clip:
    name = str(entry.get("frame_dir"))
    try:
        keypoints = np.asarray(entry["keypoint"], dtype=np.float32)[0]
        label = int(label)
        scores = entry.get("keypoint_score") if use_scores else None
        seen = np.asarray(scores, dtype=np.float32)[0] > 0 if scores is not None else None
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise DataError(
            f'{path}: clip {name} needs "keypoint" (M, T, V, C), a label, and "keypoint_score" (M, T, V) or none '
            f"({error!r})"
        ) from error
    if keypoints.ndim != 3 or 0 in keypoints.shape or label < 0:
        raise DataError(f"{path}: clip {name} has keypoints of shape (T, V, C) = {keypoints.shape}, label {label}")
    if seen is not None:
        if seen.shape != keypoints.shape[:2]:
            raise DataError(f"{path}: clip {name} has scores of another shape than its keypoints")
        keypoints = np.where(seen[..., None], keypoints, np.float32(np.nan))
    return Clip(name, label, keypoints)
