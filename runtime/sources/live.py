"""Live images: a thread captures, the newest image wins, and a device that was lost is opened again."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mmn_edge.errors import SourceError
from mmn_edge.runtime.handover import Handover
from mmn_edge.runtime.sources.devices import Device, Shot
from mmn_edge.runtime.sources.images import UPRIGHT, Image, Orientation, opencv

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FIRST_WAIT", "LAST_WAIT", "SILENCE", "LiveImages"]

SILENCE = 10.0
"""Seconds without an image, after which a device is given up and opened again."""

FIRST_WAIT = 1.0
LAST_WAIT = 60.0
"""Seconds before a device is opened again: at first, and at most; each time twice as long."""

STEADY = 10.0
"""Seconds that a device must deliver before the next failure is waited for as the first one was."""

OPENING = 30.0
"""Seconds that a device may take to open before it counts as hanging."""

LEAVING = 2.0
"""Seconds that the end waits for a thread that is held up in a device."""

MAX_STUCK = 3
"""Threads held up in a device that never comes back; after that many no further one is started."""

QUIET = 60.0
"""Seconds between two notes of a device that comes and goes."""


class LiveImages:
    """The newest images of a device, for as long as the stream is wanted.

    Images that arrive while the last one is in use are dropped and counted. Where the device fails, or hangs, it is
    opened again after 1 s, then after twice as long each time, up to a minute; other sources go on meanwhile. Time is
    that of the monotonic clock when an image was captured, from 0 at the first one; it runs on while the device is
    away.

    Args:
        make: Makes the device; called for each attempt to open it.
        orientation: How to turn the images.
        silence: Seconds without an image after which the device counts as lost.
        patient: Wait for a device that is not there yet, rather than raise on entry.
        on_note: Told in a sentence that the device was lost, and that it is back.

    Raises:
        MissingDependencyError: On entry, if OpenCV is not installed.
        SourceError: On entry, unless ``patient``, if the device cannot be opened.
    """

    live = True
    done = None

    def __init__(
        self,
        make: Callable[[], Device],
        orientation: Orientation = UPRIGHT,
        *,
        silence: float = SILENCE,
        patient: bool = False,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._make = make
        self._orientation = orientation
        self._silence = silence
        self._patient = patient
        self._note = on_note
        self._stopping = threading.Event()
        self._handed = Handover[tuple[Shot, int]](1, newest=True)
        self._capturer: _Capturer | None = None
        self._stuck: list[_Capturer] = []
        self._shown = ""
        self._lost: float | None = None  # when the device was lost, until it is back
        self._said = -math.inf
        self._said_lost = False
        self._waits = 0
        self._delivered = False
        self.reconnects = 0

    @property
    def dropped(self) -> int:
        """Images that came and were never yielded."""
        return self._handed.dropped

    @property
    def note(self) -> str | None:
        """How often the device was lost."""
        times = "once" if self.reconnects == 1 else f"{self.reconnects} times"
        return f"{self._shown} was lost and found again {times}" if self.reconnects else None

    def __enter__(self) -> Self:
        opencv()
        device = self._make()
        self._shown = device.shown
        if not self._patient:
            try:
                device.open()
            except BaseException:
                device.close()
                raise
        self._capturer = _Capturer(self, device, opened=not self._patient)
        self._capturer.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self._capturer is not None:
            self._capturer.thread.join(LEAVING)

    def stop(self) -> None:
        """Have the iteration end."""
        self._stopping.set()
        if self._capturer is not None:
            self._capturer.cancel()
        self._handed.end()

    def __iter__(self) -> Iterator[Image]:
        """Yield the newest image, each once, as they come."""
        start: float | None = None
        last = -1.0
        cv2 = opencv()
        while not self._stopping.is_set():
            taken = self._handed.take(self._silence / 4)
            if taken is None:
                if not self._handed.ended:
                    self._watch()
                continue
            shot, connection = taken
            start = shot.captured if start is None else start
            if (moment := shot.captured - start) <= last:
                continue  # the driver's stamp says that it is the image before once more
            last = moment
            pixels = self._orientation.turned(shot.bgr, cv2)
            yield Image(
                moment,
                pixels,
                (time.monotonic() - shot.captured) * 1000,
                captured=shot.captured,
                origin=shot.origin,
                connection=connection,
            )

    def make(self) -> Device:
        """The device, not yet opened."""
        return self._make()

    def took(self, shot: Shot) -> bool:
        """An image came; False if none is wanted any more."""
        if self._lost is not None:
            away, self._lost = time.monotonic() - self._lost, None
            self.reconnects += self._delivered
            if self._said_lost:
                anew = ": persons and windows begin anew" if self._delivered else ""
                self._note(f"{self._shown} is back after {away:.0f} s{anew}")
        self._delivered = True
        return self._handed.put((shot, self.reconnects))

    def lost(self, error: SourceError, steady: float) -> float:
        """The device failed after ``steady`` seconds of images; returns the seconds to wait before it is opened."""
        now = time.monotonic()
        if steady > STEADY:
            self._waits = 0
        if self._lost is None:
            self._lost = now
            self._said_lost = now - self._said >= QUIET
            if self._said_lost:
                self._said = now
                self._note(f"{error}. It is opened again, after {FIRST_WAIT:g} to {LAST_WAIT:g} s each time")
        self._waits += 1
        return min(FIRST_WAIT * 2.0 ** min(self._waits - 1, 16), LAST_WAIT)

    def failed(self, error: BaseException) -> None:
        """Something that no further attempt mends."""
        self._handed.end(error)

    def _watch(self) -> None:
        """Give up a device that hangs, and open it again; called where no image has come for a while."""
        capturer = self._capturer
        if capturer is None or not capturer.overdue(self._silence):
            return
        capturer.cancel()
        self._stuck = [other for other in (*self._stuck, capturer) if other.thread.is_alive()]
        wait = self.lost(SourceError(f"{self._shown} gave no image for {self._silence:g} s"), capturer.steady())
        if len(self._stuck) >= MAX_STUCK:
            self.failed(SourceError(f"{self._shown} hangs, also when it is opened again: restart the camera"))
            return
        self._capturer = _Capturer(self, self._make(), wait=wait)
        self._capturer.thread.start()


class _Capturer:
    """One thread that opens a device, reads it until it is lost, and opens it again.

    Args:
        owner: Who wants the images.
        device: The first device.
        opened: Whether it is open.
        wait: Seconds before it is opened.
    """

    def __init__(self, owner: LiveImages, device: Device, *, opened: bool = False, wait: float = 0.0) -> None:
        self._owner = owner
        self._device = device
        self._opened = opened
        self._wait = wait
        self._cancelled = threading.Event()
        self._sign: float | None = None  # the last sign of life; None while it waits by itself
        self._first: float | None = None  # first image of this connection
        self.thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def cancel(self) -> None:
        """Have the thread end, as soon as the device lets it; what it gives later is not wanted."""
        self._cancelled.set()
        self._device.interrupt()

    def overdue(self, silence: float) -> bool:
        """Whether the device has given no sign of life for too long."""
        sign = self._sign
        limit = OPENING if self._first is None else silence
        return sign is not None and time.monotonic() - sign > limit

    def steady(self) -> float:
        """For how long it has given images, seconds."""
        return 0.0 if self._first is None else time.monotonic() - self._first

    def _run(self) -> None:
        try:
            while not self._cancelled.wait(self._wait):
                try:
                    self._read()
                    return
                except SourceError as error:
                    if not self._cancelled.is_set():
                        self._wait = self._owner.lost(error, self.steady())
                finally:
                    self._device.close()
                if self._cancelled.is_set():
                    return
                self._sign = self._first = None
                self._opened = False
                self._device = self._owner.make()
        except BaseException as error:
            if not self._cancelled.is_set():
                self._owner.failed(error)

    def _read(self) -> None:
        """Hand on images until nobody wants them; SourceError where the device fails."""
        self._sign = time.monotonic()
        if not self._opened:
            self._device.open()
        while True:
            shot = self._device.read()
            self._sign = time.monotonic()
            if self._first is None:
                self._first = self._sign
            if self._cancelled.is_set() or not self._owner.took(shot):
                return
