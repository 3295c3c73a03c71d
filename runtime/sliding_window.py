"""The sliding window: the last seconds of one tracked person, by time stamp."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from mmn_edge.model.presets import Window
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.missing import fill_missing, share_seen
from mmn_edge.skeleton.preprocess import resample_indices

__all__ = ["Contents", "PersonWindow"]

MAX_FRAMES = 16_384
"""Frames kept at most, so that a stream whose clock stands still does not fill the memory."""

TIME_SLACK = 1e-6
"""Seconds; time stamps that passed through decimal text may be off by less."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a window held at a moment; the window itself may go on.

    Attributes:
        times: Seconds of its frames.
        keypoints: ``(V, C)`` of each, NaN where a joint was not seen.
    """

    times: tuple[float, ...]
    keypoints: tuple[FloatArray, ...]

    def cut(self, frames: int, bones: tuple[tuple[int, int], ...]) -> tuple[FloatArray, float]:
        """The window as ``(frames, V, C)``, finite, and the share of its joints that was seen, 0 to 1."""
        keypoints = np.stack(self.keypoints)
        picked = resample_indices(np.array(self.times), frames)
        return fill_missing(keypoints, bones)[picked], share_seen(keypoints[picked])


class PersonWindow:
    """Collects one person's frames and says when a prediction is due.

    The first prediction is due when the window is full, then one every stride. A person who is not seen for half a
    window begins anew: what lies further back says nothing about the movement that goes on now.

    Args:
        window: Frames, length and stride.
        bones: Bones of the layout, for joints that were never seen.
    """

    def __init__(self, window: Window, bones: tuple[tuple[int, int], ...]) -> None:
        self._window = window
        self._bones = bones
        self._times: deque[float] = deque(maxlen=MAX_FRAMES)
        self._keypoints: deque[FloatArray] = deque(maxlen=MAX_FRAMES)
        self._missed: deque[float] = deque(maxlen=MAX_FRAMES)
        self._due = 0.0
        self._predicted = False

    @property
    def last_seen(self) -> float:
        """Time of the newest frame with the person in it, seconds."""
        return self._times[-1]

    def push(self, time: float, keypoints: FloatArray) -> bool:
        """Add a frame ``(V, C)``, NaN where a joint was not seen; True if a prediction is due now."""
        if self._times and time - self.last_seen > self._window.max_gap:
            self._times.clear()
            self._keypoints.clear()
            self._missed.clear()
        for missed in self._missed:
            self._times.append(missed)
            self._keypoints.append(np.full_like(keypoints, np.nan))
        self._missed.clear()
        if not self._times:
            self._due = time + self._window.seconds
            self._predicted = False
        self._times.append(time)
        self._keypoints.append(keypoints)
        while self._times[0] < time - self._window.seconds - TIME_SLACK:
            self._times.popleft()
            self._keypoints.popleft()
        if time < self._due - TIME_SLACK:
            return False
        self._due += self._window.stride * (1 + (time + TIME_SLACK - self._due) // self._window.stride)
        self._predicted = True
        return True

    def miss(self, time: float) -> None:
        """Tell of a frame without the person; it counts once the person is back, as one in which nothing was seen."""
        self._missed.append(time)

    def unfinished(self) -> bool:
        """True if the person left, or the stream ended, before the first prediction was due."""
        return not self._predicted

    def instants(self) -> int:
        """Distinct moments in the window at which the person was there."""
        pairs = zip(self._times, self._keypoints, strict=True)
        return len({time for time, keypoints in pairs if np.isfinite(keypoints).any()})

    def contents(self) -> Contents:
        """What it holds now."""
        return Contents(tuple(self._times), tuple(self._keypoints))

    def cut(self) -> tuple[FloatArray, float]:
        """The window as ``(T, V, C)``, finite, and the share of its joints that was seen, 0 to 1."""
        return self.contents().cut(self._window.frames, self._bones)
