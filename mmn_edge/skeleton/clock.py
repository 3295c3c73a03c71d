"""Whether the time stamps of a stream are a clock in seconds: frame numbers and milliseconds parse just as well."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from statistics import median

__all__ = ["MIN_INSTANTS", "StreamClock", "doubt"]

MIN_INSTANTS = 8
"""Distinct moments that a window must hold: with fewer, a movement of half a second is a step from pose to pose."""

STILL = 32
"""Frames in a row with one time stamp from which on the clock stands still; sensors that write one line a person
repeat it for each of them."""

FEW = 3
"""Steps of the clock from which on a stream is doubted; it is judged by :data:`MIN_INSTANTS` - 1 of them."""

MILLISECONDS = 5.0
"""Seconds between frames from which on they are probably milliseconds."""

SLACK = 1e-6
"""Seconds; time stamps that passed through decimal text may be off by less."""


class StreamClock:
    """Follows the time stamps of a stream.

    A pause between two frames is no fault of a clock, so it is the median of the last steps that counts.

    Args:
        seconds: Length of the window that the stream is cut into.
        instants: Distinct moments that a window must hold.
    """

    def __init__(self, seconds: float, instants: int = MIN_INSTANTS) -> None:
        self._seconds = seconds
        self._instants = instants
        self._recent: deque[float] = deque()
        self._steps: deque[float] = deque(maxlen=max(instants - 1, FEW))
        self._frames: deque[int] = deque([0], maxlen=self._steps.maxlen)
        self._was_good = False

    def tick(self, time: float) -> None:
        """Take the time of the next frame, seconds."""
        if not self._recent or time > self._recent[-1]:
            if self._recent:
                self._steps.append(time - self._recent[-1])
                self._frames.append(0)
            self._recent.append(time)
        self._frames[-1] += 1
        while self._recent[0] < time - self._seconds - SLACK:
            self._recent.popleft()
        self._was_good = self._was_good or self.enough

    @property
    def enough(self) -> bool:
        """Whether the last window of the stream holds enough distinct moments for a prediction."""
        return len(self._recent) >= self._instants

    @property
    def doubt(self) -> str | None:
        """What makes the time stamps no clock, as far as the last of them tell; None where nothing does."""
        if self._frames[-1] >= STILL:
            return self._standing_still()
        if self.enough or len(self._steps) < FEW or not self._is_coarse():
            return None
        return self._coarse()

    @property
    def verdict(self) -> str | None:
        """The doubt where it is certain: there never was a window's worth of moments, and enough frames have come."""
        certain = self._frames[-1] >= STILL or len(self._steps) == self._steps.maxlen
        return self.doubt if certain and not self._was_good else None

    @property
    def lapse(self) -> str | None:
        """The doubt where the clock has been a good one before."""
        return self.doubt if self._was_good else None

    def last_word(self) -> str | None:
        """The verdict at the end of the stream, after which nothing more comes that could speak for the clock."""
        if self._was_good:
            return None
        if not self._steps and self._frames[-1] >= self._instants:
            return self._standing_still()
        return self.doubt

    def _is_coarse(self) -> bool:
        return median(self._steps) * (self._instants - 1) > self._seconds + SLACK

    def _standing_still(self) -> str:
        return f"{self._frames[-1]} frames in a row have the time {self._recent[-1]:g} s: the clock stands still"

    def _coarse(self) -> str:
        step = median(self._steps)
        held = 1 + int((self._seconds + SLACK) / step)
        if median(itertools.islice(self._frames, 0, max(len(self._frames) - 1, 1))) >= 2:
            question = "are the times rounded?"
        elif step >= MILLISECONDS:
            question = "are these milliseconds?"
        elif abs(step - round(step)) < SLACK:
            question = "are these frame numbers?"
        else:
            question = f"they are {step:.3g} s apart."
        frames = f"{held} frame{'' if held == 1 else 's'}" if "rounded" not in question else f"{held} different times"
        return f"a window of {self._seconds:g} s holds only {frames}: {question} Times are seconds"


def doubt(times: Iterable[float], seconds: float) -> str | None:
    """What makes the time stamps of a whole recording no clock, for windows of ``seconds``; None where nothing does."""
    clock = StreamClock(seconds)
    for time in times:
        clock.tick(time)
        if clock.verdict:
            return clock.verdict
    return clock.last_word()
