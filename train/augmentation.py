"""Augmentation: of the raw clip before the window is taken, where it has an effect, and of the window.

The published code rotates, scales, shifts, jitters and reverses after the window was taken, where nothing of it
reaches the network; :func:`erase` is what does. Shifts and scales are not here: min-max normalisation undoes them.
"""

from __future__ import annotations

import numpy as np

from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.layouts import Layout
from mmn_edge.skeleton.missing import fill_missing
from mmn_edge.train.recipe import Augment

__all__ = ["augment", "crop", "erase"]


def crop(keypoints: FloatArray, share: float, rng: np.random.Generator) -> FloatArray:
    """A random run of at least ``share`` of the frames of ``(T, V, C)``."""
    frames = len(keypoints)
    if share >= 1:
        return keypoints
    length = max(1, round(frames * rng.uniform(share, 1.0)))
    start = int(rng.integers(frames - length + 1))
    return keypoints[start : start + length]


def augment(keypoints: FloatArray, options: Augment, layout: Layout, rng: np.random.Generator) -> FloatArray:
    """Change a clip ``(T, V, C)`` of finite keypoints at random; the result is finite and of the same shape."""
    if options.mirror and rng.random() < options.mirror:
        keypoints = _mirror(keypoints, layout)
    if options.speed and len(keypoints) > 2:
        clock = np.linspace(0.0, 1.0, len(keypoints)) ** np.exp(rng.uniform(-options.speed, options.speed))
        keypoints = keypoints[np.rint(clock * (len(keypoints) - 1)).astype(np.int64)]
    if options.roll and rng.random() < options.roll:
        keypoints = np.roll(keypoints, int(rng.integers(len(keypoints))), axis=0)
    if options.parts:
        keypoints = _move_parts(keypoints, options.parts, layout, rng)
    if options.stray:
        keypoints = _stray(keypoints, options.stray, layout, rng)
    if options.drop_part or options.drop_frames or options.lower_edge:
        keypoints = _hide(keypoints, options, layout, rng)
    if options.rotate or options.tilt or options.shear or options.perspective:
        keypoints = _view(keypoints, options, rng)
    if options.noise:
        extent = float(np.ptp(keypoints, axis=(0, 1)).max())
        keypoints = keypoints + rng.normal(0.0, options.noise * extent, keypoints.shape)
    return keypoints.astype(np.float32)


def erase(window: FloatArray, probability: float, rng: np.random.Generator) -> FloatArray:
    """Zero one coordinate axis, or a run of 4 to 16 frames, of features ``(C, T, V, M)``, each by chance."""
    if rng.random() < probability:
        window = window.copy()
        window[rng.integers(window.shape[0])] = 0.0
    if rng.random() < probability:
        window = window.copy()
        length = int(rng.integers(4, 17))
        start = int(rng.integers(0, max(window.shape[1] - length, 0) + 1))
        window[:, start : start + length] = 0.0
    return window


def _mirror(keypoints: FloatArray, layout: Layout) -> FloatArray:
    order = np.arange(layout.num_joints)
    for one, other in layout.pairs:
        order[[one, other]] = order[[other, one]]
    mirrored = keypoints[:, order].copy()
    mirrored[..., 0] *= -1
    return mirrored


def _move_parts(keypoints: FloatArray, size: float, layout: Layout, rng: np.random.Generator) -> FloatArray:
    """Turn, scale and shift every body part by itself: other proportions, another posture, a gesture made elsewhere."""
    channels = keypoints.shape[2]
    reach = size * float(np.ptp(keypoints, axis=(0, 1)).max())
    moved = keypoints.copy()
    for part in layout.parts.values():
        joints = list(part)
        centre = keypoints[:, joints].mean(axis=(0, 1))
        matrix = np.exp(rng.normal(0.0, size)) * _plane(channels, 0, 1, rng.normal(0.0, size))
        shift = rng.normal(0.0, reach, channels)
        moved[:, joints] = (keypoints[:, joints] - centre) @ matrix.T + centre + shift
    return moved


def _stray(keypoints: FloatArray, probability: float, layout: Layout, rng: np.random.Generator) -> FloatArray:
    """Let limbs swing about their roots for a run of frames, out and back, as where a tracker loses them."""
    frames, _, channels = keypoints.shape
    moved = keypoints.copy()
    for part in layout.parts.values():
        # A limb hangs on the body by one bone, and turns about that bone's end in the limb.
        roots = [one if one in part else other for one, other in layout.bones if (one in part) != (other in part)]
        if len(roots) != 1 or rng.random() >= probability:
            continue
        length = int(rng.integers(1, max(2, frames // 2 + 1)))
        start = int(rng.integers(frames - length + 1))
        angles = rng.uniform(-1.5, 1.5) * np.hanning(length + 2)[1:-1]
        x, y, z = _direction(rng) if channels == 3 else (0.0, 0.0, 1.0)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        turns = (
            np.eye(3) + np.multiply.outer(np.sin(angles), cross) + np.multiply.outer(1 - np.cos(angles), cross @ cross)
        )
        run, joints = slice(start, start + length), list(part)
        root = keypoints[run, roots]
        moved[run, joints] = (keypoints[run, joints] - root) @ turns[:, :channels, :channels].transpose(0, 2, 1) + root
    return moved


def _direction(rng: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    """A unit vector in space, all directions alike."""
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def _hide(keypoints: FloatArray, options: Augment, layout: Layout, rng: np.random.Generator) -> FloatArray:
    """Let a body part and some frames go missing, and fill them in as preprocessing does."""
    hidden = np.zeros(keypoints.shape[:2], dtype=bool)
    frames = len(keypoints)
    if options.drop_part and rng.random() < options.drop_part:
        limbs = [part for part in layout.parts.values() if len(part) <= layout.num_joints // 4]
        if limbs:
            part = limbs[rng.integers(len(limbs))]
            length = frames if rng.random() < 0.5 else int(rng.integers(1, frames + 1))
            start = int(rng.integers(frames - length + 1))
            hidden[start : start + length, list(part)] = True
    if options.lower_edge and keypoints.shape[2] == 2 and rng.random() < options.lower_edge:
        height = keypoints[..., 1]  # y points down
        hidden |= height > rng.uniform(np.median(height), height.max())
    if options.drop_frames:
        hidden |= (rng.random(frames) < rng.uniform(0, options.drop_frames))[:, None]
    if not hidden.any() or hidden.all():
        return keypoints
    return fill_missing(np.where(hidden[..., None], np.float32(np.nan), keypoints), layout.bones)


def _view(keypoints: FloatArray, options: Augment, rng: np.random.Generator) -> FloatArray:
    """The clip as another camera would have seen it."""
    channels = keypoints.shape[2]
    centre = keypoints.mean(axis=(0, 1))
    x = keypoints - centre
    angle = np.deg2rad(rng.uniform(-options.rotate, options.rotate))
    if channels == 2:
        matrix = _plane(2, 0, 1, angle)
    else:
        tilts = np.deg2rad(rng.uniform(-options.tilt, options.tilt, 2))
        matrix = _plane(3, 1, 2, tilts[0]) @ _plane(3, 0, 1, tilts[1]) @ _plane(3, 0, 2, angle)  # y is the vertical
    off_diagonal = ~np.eye(channels, dtype=bool)
    matrix = matrix @ (np.eye(channels) + rng.uniform(-options.shear, options.shear, matrix.shape) * off_diagonal)
    x = x @ matrix.T
    if options.perspective and channels == 2:
        reach = np.abs(x).max() + 1e-9
        x = x * (1 + (x / reach) @ (rng.uniform(-options.perspective, options.perspective, 2) / 2))[..., None]
    moved: FloatArray = (x + centre).astype(np.float32)
    return moved


def _plane(size: int, one: int, other: int, angle: float) -> np.ndarray:  # type: ignore[type-arg]
    """Rotation by ``angle`` in the plane of two axes."""
    matrix = np.eye(size)
    matrix[one, one] = matrix[other, other] = np.cos(angle)
    matrix[one, other], matrix[other, one] = -np.sin(angle), np.sin(angle)
    return matrix
