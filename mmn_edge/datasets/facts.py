"""What is worth knowing of a clip without keeping it, and guesses from that at what nobody wrote down."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.clip import Clip, ClipEntry
from mmn_edge.datasets.posture import crowded_place, turned
from mmn_edge.model.presets import Window
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.clock import doubt
from mmn_edge.skeleton.continuity import jumps
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["ClipFacts", "facts_of", "guess_layouts", "guess_units", "median_seconds"]


@dataclass(frozen=True)
class ClipFacts:
    """A clip that was read, in a few numbers.

    Attributes:
        entry: Where it can be read again.
        label: Class index.
        shape: ``(T, V, C)``.
        missing: ``(V,)`` frames in which each joint was not seen.
        zeros: Joints at exactly the origin or at -1 -1, over all frames; taken for not seen.
        low: ``(C,)`` least coordinates seen.
        high: ``(C,)`` greatest coordinates seen.
        motion: Mean distance that a joint moves from frame to frame, as a share of the clip's extent; 0 where nothing
            moves, or there is one frame.
        digest: Of the keypoints; equal for identical clips.
        frames: Numbers that tell the frames apart in which anything was seen; equal for identical frames.
        floating: How far the hands' roots lie from the body's wrists, as a share of the shoulders' width or the upper
            arm, whichever is longer; the median over frames. None where the layout has no such joints, or they were
            never seen together.
        layout: Its layout where the data set says it.
        turned: By how many degrees the body is turned in the picture; see :func:`mmn_edge.datasets.posture.turned`.
        crowd: How many joints lie at one place exactly, and the place, where those are too many to be true.
        jumps: The frames at which the body is suddenly elsewhere.
        notes: What is odd about whom it shows, and about its time stamps.
        seconds: From its first frame to its last; None where nobody said it, or the time stamps are no clock.
    """

    entry: ClipEntry
    label: int
    shape: tuple[int, int, int]
    missing: npt.NDArray[np.int64]
    zeros: int
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    motion: float
    digest: bytes
    frames: frozenset[int]
    floating: float | None
    layout: str | None
    turned: float | None = None
    crowd: tuple[int, tuple[float, ...]] | None = None
    jumps: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float | None = None

    @property
    def extent(self) -> float:
        """The longest side of the box around everything seen."""
        return float((self.high - self.low).max())


def facts_of(entry: ClipEntry, clip: Clip) -> ClipFacts:
    """Sum up a clip that was read from ``entry``."""
    points = clip.keypoints
    seen = np.isfinite(points).all(axis=-1)
    there = points[seen].astype(np.float64)
    low, high = there.min(axis=0), there.max(axis=0)
    both = seen[1:] & seen[:-1]
    moved = np.linalg.norm(np.diff(points, axis=0)[both], axis=-1)
    extent = float((high - low).max())
    frames, joints, channels = points.shape
    layout = clip.layout or _only_layout(joints, channels)
    return ClipFacts(
        entry=entry,
        label=clip.label,
        shape=(frames, joints, channels),
        missing=(~seen).sum(axis=0),
        zeros=clip.placeholders,
        low=low,
        high=high,
        motion=float(moved.mean()) / extent if moved.size and extent else 0.0,
        digest=hashlib.sha256(repr(points.shape).encode() + np.ascontiguousarray(points).tobytes()).digest(),
        frames=frozenset(
            hash(frame.tobytes()) for frame, any_seen in zip(points, seen.any(axis=1), strict=True) if any_seen
        ),
        floating=_floating(points, layout),
        layout=clip.layout,
        turned=turned(points, layout),
        crowd=crowded_place(points),
        jumps=jumps(points, clip.times),
        notes=(*clip.notes, *_clock_notes(clip)),
        seconds=_seconds(clip),
    )


def _seconds(clip: Clip) -> float | None:
    if clip.times is None or len(clip.times) < 2 or _clock_notes(clip):
        return None
    return float(clip.times[-1] - clip.times[0])


def _clock_notes(clip: Clip) -> tuple[str, ...]:
    wrong = None if clip.times is None else doubt(clip.times.tolist(), Window().seconds)
    return () if wrong is None else (f"its time stamps are no clock: {wrong}",)


def median_seconds(facts: Sequence[ClipFacts]) -> float | None:
    """How long clips are in the median; None where fewer than half of them say it."""
    known = [fact.seconds for fact in facts if fact.seconds is not None]
    return float(np.median(known)) if known and 2 * len(known) >= len(facts) else None


def _only_layout(joints: int, channels: int) -> str | None:
    fitting = guess_layouts(joints, channels)
    return fitting[0] if len(fitting) == 1 else None


def _floating(points: FloatArray, layout: str | None) -> float | None:
    """The median of the distances of hand and wrist, in widths of the body; see :class:`ClipFacts`."""
    names = layouts.get(layout).joints if layout else ()
    needed = [f"{side}_{joint}" for side in ("left", "right") for joint in ("hand_root", "wrist", "elbow", "shoulder")]
    if len(names) != points.shape[1] or not set(needed) <= set(names):
        return None
    place = {joint: points[:, names.index(joint), :2].astype(np.float64) for joint in needed}
    shoulders = np.linalg.norm(place["left_shoulder"] - place["right_shoulder"], axis=-1)
    found = []
    for side in ("left", "right"):
        arm = np.linalg.norm(place[f"{side}_shoulder"] - place[f"{side}_elbow"], axis=-1)
        width = np.fmax(shoulders, arm)
        apart = np.linalg.norm(place[f"{side}_hand_root"] - place[f"{side}_wrist"], axis=-1)
        found.append(apart[width > 0] / width[width > 0])
    ratios = np.concatenate(found)
    ratios = ratios[np.isfinite(ratios)]
    return float(np.median(ratios)) if ratios.size else None


@lru_cache
def guess_layouts(joints: int, channels: int) -> tuple[str, ...]:
    """The known layouts with V joints; those with C coordinates where there are any."""
    fitting = [layout for layout in map(layouts.get, layouts.names()) if layout.num_joints == joints]
    exact = [layout.name for layout in fitting if layout.channels == channels]
    return tuple(exact or [layout.name for layout in fitting])


def guess_units(facts: Sequence[ClipFacts]) -> str:
    """The units of some clips by the range of their values; a few wild clips do not change it."""
    low = np.median([fact.low for fact in facts], axis=0)
    high = np.median([fact.high for fact in facts], axis=0)
    size = float(np.abs([low, high]).max())
    if len(low) == 3:
        return "metres" if 0.2 < float((high - low).max()) < 20 else "millimetres" if size > 200 else "unknown"
    if size > 20:
        return "pixels"
    # Estimators extrapolate what is cut off: legs under a webcam's image reach y = 2.
    return "fractions of the image" if low.min() > -0.1 and high.max() < 3 else "normalised around a centre"
