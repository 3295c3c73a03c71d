"""MediaPipe Holistic landmarks kept as arrays: many clips in one ``.npz``, as sign language collections have them.

.. code-block:: text

    pose (N, T, 33, 4)         x, y, z, visibility; x and y as fractions of the image
    left_hand (N, T, 21, 3)    x, y, z; all zero: not seen
    right_hand (N, T, 21, 3)
    face (N, T, F, 3)          optional; face_index (F,) tells which of the 468 points of the mesh
    label (N,)                 class index
    class_names (K,)           optional
    sequence (N,)              optional; the number of the clip within its class
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.formats.pose_files import PoseSequence, observed
from mmn_edge.errors import DataError

__all__ = ["LAYOUT", "check", "class_names", "is_holistic", "names", "sequence"]

LAYOUT = "mediapipe-holistic"

# The landmark lists follow one another in the layout, as in mmn_edge.runtime.pose.mediapipe.
_POSE, _HAND, _FACE = 33, 21, 468
_LEFT, _RIGHT, _MESH = _POSE, _POSE + _HAND, _POSE + 2 * _HAND

_HIPS = (23, 24)

VISIBLE = 0.5
"""Visibility of a pose joint whose place is asked."""

FARTHEST = 4.0
"""Fractions of the image; legs that are cut off are put at 2 to 3, and the middle of all joints lies within 0..1."""

CENTRED = 0.005
"""Of whatever unit: nearer to the origin the middle of the hips is in its place by definition."""

Arrays = dict[str, npt.NDArray[Any]]


def is_holistic(arrays: Arrays) -> bool:
    """Whether these are the arrays of this format, by their names."""
    return {"pose", "left_hand", "right_hand", "label"} <= set(arrays)


def check(arrays: Arrays, path: Path) -> None:
    """Hold the arrays against the format.

    Raises:
        DataError: A shape, a type or a unit is another one, or a label has no name.
    """
    label = arrays["label"]
    count = len(label) if label.ndim == 1 else 0
    frames = arrays["pose"].shape[1] if arrays["pose"].ndim == 4 else 0
    if not count or not frames or label.dtype.kind not in "iu":
        raise DataError(f'{path}: "label" must hold a class index a clip, and "pose" be (N, T, {_POSE}, 4)')
    points = len(arrays["face_index"]) if "face_index" in arrays else _FACE
    shapes = {"pose": (_POSE, 4), "left_hand": (_HAND, 3), "right_hand": (_HAND, 3), "face": (points, 3)}
    for key, shape in shapes.items():
        array = arrays.get(key)
        if array is not None and (array.shape != (count, frames, *shape) or array.dtype.kind != "f"):
            raise DataError(
                f'{path}: "{key}" must be floats of shape {(count, frames, *shape)}, not {array.dtype} of shape '
                f"{array.shape}"
            )
    index = arrays.get("face_index")
    if index is not None and (index.dtype.kind not in "iu" or len(set(index.tolist())) != points):
        raise DataError(f'{path}: "face_index" must hold different whole numbers')
    if index is not None and not ((index >= 0) & (index < _FACE)).all():
        raise DataError(f'{path}: "face_index" must be within 0..{_FACE - 1}, the points of the face mesh')
    if "sequence" in arrays and arrays["sequence"].shape != (count,):
        raise DataError(f'{path}: "sequence" must have shape {(count,)}, not {arrays["sequence"].shape}')
    _check_units(arrays, path)
    known = class_names(arrays)
    if known is not None and len(set(known)) != len(known):
        raise DataError(f'{path}: "class_names" names a class twice')
    if label.min() < 0 or (known is not None and label.max() >= len(known)):
        raise DataError(f'{path}: "label" runs from {label.min()} to {label.max()}, which are not all classes')


def _check_units(arrays: Arrays, path: Path) -> None:
    """Refuse pixels, and metres around the hips, where fractions of the image are meant: all of them are just numbers.

    The middle of what was seen is asked, for single joints are extrapolated far beyond the image.
    """
    pose = arrays["pose"]
    for key in ("pose", "left_hand", "right_hand", "face"):
        if key not in arrays:
            continue
        part = arrays[key][..., :2]
        seen = pose[..., 3] > VISIBLE if key == "pose" else arrays[key].any(axis=(2, 3))
        middle = float(np.nanmedian(np.abs(part[seen]))) if part[seen].size else 0.0
        if middle > FARTHEST:
            raise DataError(
                f'{path}: x and y of "{key}" are no fractions of the image, as they must be: their middle is '
                f"{middle:.3g}; divide pixels by the width and height of the image"
            )
    there = pose[..., :2].any(axis=(2, 3))
    hips = np.abs(pose[there][:, list(_HIPS), :2].mean(axis=1))
    if hips.size and float(np.nanmedian(hips)) < CENTRED:
        raise DataError(
            f'{path}: "pose" has the hips at the origin, as MediaPipe\'s world landmarks do, in metres: fractions of '
            "the image are needed (pose_landmarks, not pose_world_landmarks)"
        )


def class_names(arrays: Arrays) -> tuple[str, ...] | None:
    """The names of the classes, exactly as they stand there, or None."""
    found = arrays.get("class_names")
    return None if found is None else tuple(str(name) for name in found.ravel())


def names(arrays: Arrays, stem: str) -> tuple[str, ...]:
    """A name for every clip: the file, the class and the clip's number in it."""
    known = class_names(arrays)
    labels = [known[label] if known else str(label) for label in arrays["label"].tolist()]
    numbers = arrays["sequence"].tolist() if "sequence" in arrays else range(len(labels))
    return tuple(f"{stem}/{label}/{number}" for label, number in zip(labels, numbers, strict=True))


def sequence(arrays: Arrays, clip: int, size: tuple[int, int]) -> PoseSequence:
    """One clip in layout ``mediapipe-holistic``, as the live estimator would have given it.

    The score of a pose joint is its visibility, that of hands and face is 1; a part that is all zero was not seen.

    Args:
        arrays: The file's arrays, checked.
        clip: Which clip.
        size: Width and height of the images in pixels.
    """
    frames = arrays["pose"].shape[1]
    keypoints = np.full((frames, _MESH + _FACE, 2), np.nan, np.float32)
    scores = np.zeros(keypoints.shape[:2], np.float32)
    mesh = arrays["face_index"] if "face_index" in arrays else np.arange(_FACE)
    places = {
        "pose": np.arange(_POSE),
        "left_hand": np.arange(_LEFT, _RIGHT),
        "right_hand": np.arange(_RIGHT, _MESH),
        "face": _MESH + mesh,
    }
    for key, joints in places.items():
        if key not in arrays:
            continue
        part = arrays[key][clip].astype(np.float32)
        seen = part.any(axis=(1, 2))[:, None]
        keypoints[:, joints] = part[..., :2] * np.array(size, np.float32)
        scores[:, joints] = seen * (part[..., 3] if key == "pose" else np.float32(1))
    return observed(f"clip {clip}", keypoints, scores, LAYOUT)
