"""Items handed from one thread to another, bounded: either nothing is lost, or the newest wins."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Handover"]

Item = TypeVar("Item")


class Handover(Generic[Item]):
    """What one thread gives and another takes, in order. Nobody spins while waiting.

    Args:
        capacity: Items that may wait.
        newest: When it is full, the oldest waiting item gives way and is counted, as live; otherwise the giver waits,
            as with files.

    Attributes:
        dropped: Items that gave way.
    """

    def __init__(self, capacity: int = 1, *, newest: bool = False) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._newest = newest
        self._changed = threading.Condition()
        self._ended = False
        self._left = False
        self._error: BaseException | None = None
        self.dropped = 0

    def put(self, item: Item) -> bool:
        """Give an item; False if nobody will take it any more."""
        with self._changed:
            if self._newest and len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            while len(self._items) >= self._capacity and not self._left:
                self._changed.wait()
            if self._left:
                return False
            self._items.append(item)
            self._changed.notify_all()
        return True

    def end(self, error: BaseException | None = None) -> None:
        """No more is given; ``error`` is raised where it is taken, after the last item."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> Item | None:
        """Take the oldest item; None at the end, or when none came in ``timeout`` seconds (see :attr:`ended`)."""
        due = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._items and not self._ended:
                rest = None if due is None else due - time.monotonic()
                if rest is not None and rest <= 0:
                    return None
                self._changed.wait(rest)
            if not self._items:
                if self._error is not None:
                    raise self._error
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    @property
    def ended(self) -> bool:
        """Whether all was given, and all of it taken."""
        with self._changed:
            return self._ended and not self._items

    def leave(self) -> None:
        """Nothing more is taken: what waits is let go, and a giver that waits goes on."""
        with self._changed:
            self._left = True
            self._items.clear()
            self._changed.notify_all()
