"""A sender's clock mapped onto ours."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Moment", "SenderClock"]

WINDOW = 30.0
"""Seconds over which the smallest delay is taken. Clocks that drift apart by 200 millionths differ by 6 ms then."""

BUCKET = 1.0
"""Seconds whose smallest delay is kept as one."""

STEP = 1.0
"""Seconds by which a clock must jump for it to be a step: networks delay, and clocks that drift do so slowly."""

RECENT = 16
"""Frames of which no more than :data:`MOST_STEPS` may be steps; else the stamps are no seconds, and left as they are.
Whoever reads the stream then sees what they are."""

MOST_STEPS = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was.

    Attributes:
        time: Seconds in the stream: the sender's, moved where its clock stepped so that they run on.
        captured: The same on our monotonic clock.
        stepped: Whether the sender's clock stepped here.
    """

    time: float
    captured: float
    stepped: bool


class SenderClock:
    """Maps time stamps of a sender onto our clock.

    A message takes some time, of which nothing is known but that it varies: so the smallest difference between arrival
    and time stamp in the last :data:`WINDOW` seconds counts as that of the clocks. What every message takes at least
    is part of it, and no part of any age. A difference that grows is followed after that window, one that shrinks at
    once; a jump between two frames is a step of the clock.
    """

    def __init__(self) -> None:
        self._stamp: float | None = None
        self._arrived = 0.0
        self._time = 0.0
        self._shift = 0.0
        self._least: deque[tuple[float, float]] = deque()
        self._steps: deque[bool] = deque(maxlen=RECENT)

    @property
    def stamp(self) -> float | None:
        """The newest time stamp taken; None before the first."""
        return self._stamp

    @property
    def erratic(self) -> bool:
        """Whether so many steps came of late that the stamps are no clock."""
        return sum(self._steps) > MOST_STEPS

    def take(self, stamp: float, arrived: float, *, follows: bool = True, same_sender: bool = True) -> Moment:
        """Take a frame's time stamp.

        Args:
            stamp: Seconds by the sender's clock.
            arrived: Seconds by ours, monotonic; not before that of the frame before.
            follows: Whether it may directly follow the frame before; where frames were lost in between, a long time
                between two is no step.
            same_sender: False where somebody else sends now, or the same program anew: then its clock may be any.
        """
        stepped = self._jumped(stamp, arrived, follows) if same_sender else False
        anew = self._stamp is not None and (stepped or (not same_sender and not self._goes_on(stamp, arrived)))
        self._steps.append(stepped)
        if anew and not self.erratic:
            self._shift = self._time + (arrived - self._arrived) - stamp
            self._least.clear()
        self._stamp, self._arrived = stamp, arrived
        self._time = stamp + self._shift
        return Moment(self._time, stamp + self._offset(arrived, arrived - stamp), stepped)

    def _jumped(self, stamp: float, arrived: float, follows: bool) -> bool:
        if self._stamp is None:
            return False
        passed = stamp - self._stamp
        if passed < 0:
            return True
        # A frame that was delayed less than all those before would be no step: it must run ahead of any of them.
        earlier = arrived - stamp < min(least for _, least in self._least) - STEP
        return follows and earlier and passed - (arrived - self._arrived) > STEP

    def _goes_on(self, stamp: float, arrived: float) -> bool:
        if self._stamp is None:
            return False
        passed = stamp - self._stamp
        return passed >= 0 and abs(passed - (arrived - self._arrived)) <= STEP

    def _offset(self, arrived: float, difference: float) -> float:
        """The smallest difference of the window, with that of the newest frame."""
        if self._least and arrived - self._least[-1][0] < BUCKET:
            begin, least = self._least[-1]
            self._least[-1] = (begin, min(least, difference))
        else:
            self._least.append((arrived, difference))
        while self._least[0][0] < arrived - WINDOW:
            self._least.popleft()
        return min(least for _, least in self._least)
