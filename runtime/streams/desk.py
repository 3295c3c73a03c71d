"""Who may send: connections, their tokens, how much they send, and which one of them is the stream's."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mmn_edge.errors import DataError, MissingDependencyError
from mmn_edge.runtime.handover import Handover
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.runtime.streams.counts import Notes, StreamCounts
from mmn_edge.runtime.streams.gate import Gate
from mmn_edge.runtime.streams.wire import decode
from mmn_edge.skeleton.upright import UprightWatch

__all__ = ["FIRST_MESSAGE", "MAX_CONNECTIONS", "Desk", "Refused", "Sender"]

MAX_CONNECTIONS = 8

FIRST_MESSAGE = 10.0
"""Seconds until a connection must have sent its first frame, and in which a message that was begun must be complete."""

SILENCE = 1.0
"""Seconds without a frame after which another sender may take over."""

MAX_RATE = 1000.0
"""Messages a second that are taken."""

BURST = 4000.0
"""Messages that are taken at once."""

MAX_BYTES = 32e6
"""Bytes a second that are taken, and at once."""

MAX_BAD = 100
"""Messages in a row that are no frames: then the connection is ended."""


class Refused(Exception):
    """The connection is to be ended; the text says why, and is told to the sender."""


@dataclass(eq=False)
class Sender:
    """One connection, or one address that datagrams come from.

    Attributes:
        name: Its address, for notes.
        close: Ends the connection.
        authorised: Whether it need show no token any more.
        proven: Whether a frame came.
        heard: When the last message came.
    """

    name: str
    close: Callable[[], object]
    authorised: bool
    proven: bool = False
    heard: float = field(default_factory=time.monotonic)
    bad_run: int = 0


class Desk:
    """Takes messages of all senders, on the network's thread, and gives observations of one of them.

    Two sensors at once would make one stream of two rooms: while one sends, others are turned away. One that is silent
    is followed by the next.

    Args:
        token: What senders must show; None asks for nothing.
        handover: Takes the observations.
        counts: What is counted.
        notes: Is told of trouble.
    """

    def __init__(self, token: str | None, handover: Handover[Observation], counts: StreamCounts, notes: Notes) -> None:
        self._token = None if token is None else token.encode()
        self._handover = handover
        self._counts = counts
        self._notes = notes
        self.gate = Gate(counts)
        self._upright = UprightWatch()
        self._senders: list[Sender] = []
        self._active: Sender | None = None
        self._messages = _Bucket(MAX_RATE, BURST)
        self._bytes = _Bucket(MAX_BYTES, MAX_BYTES)

    def welcome(self, name: str, close: Callable[[], object], *, authorised: bool = False) -> Sender:
        """A connection was made; where there are too many, the one that is silent for longest is ended."""
        sender = Sender(name, close, authorised or self._token is None)
        while len(self._senders) >= MAX_CONNECTIONS:
            idle = min((other for other in self._senders if other is not self._active), key=lambda other: other.heard)
            self.leave(idle)
            self._counts.refused += 1
            idle.close()
        self._senders.append(sender)
        return sender

    def leave(self, sender: Sender) -> None:
        """A connection has ended."""
        if sender in self._senders:
            self._senders.remove(sender)

    def shows(self, token: str | None) -> bool:
        """Whether this is the token that is asked for."""
        return self._token is None or hmac.compare_digest((token or "").encode("utf-8", "replace"), self._token)

    def take(self, sender: Sender, message: bytes | DataError) -> None:
        """Take a message.

        Raises:
            Refused: The sender is to be turned away.
        """
        arrived = sender.heard = time.monotonic()
        size = len(message) if isinstance(message, bytes) else 0
        if not (self._messages.pour(1, arrived) and self._bytes.pour(size, arrived)):
            self._counts.too_fast += 1
            self._notes.say("rate", f"{sender.name} sends more than is taken; the rest is left out")
            return
        try:
            self._taken(sender, message, arrived)
        except DataError as error:
            self._bad(sender, str(error))
        except MissingDependencyError as error:
            self._counts.refused += 1
            self._notes.say("package", f"{sender.name} was turned away: {error}")
            raise Refused("MessagePack is not read here: send JSON") from None

    def turned_away(self, name: str) -> None:
        """Somebody came without the token, and was not let in."""
        self._counts.refused += 1
        self._notes.say("token", f"{name} was turned away: it did not show the token")

    def too_long(self, sender: Sender) -> None:
        """A message was longer than is taken, and its connection was ended for it."""
        self._counts.bad += 1
        self._counts.refused += 1
        self._notes.say("bad", f"{sender.name} sent a message that is longer than is taken")

    def _taken(self, sender: Sender, message: bytes | DataError, arrived: float) -> None:
        if isinstance(message, DataError):
            raise message
        values = decode(message)
        if "token" in values or not sender.authorised:
            shown = values.pop("token", None)
            if not sender.authorised and not self.shows(shown if isinstance(shown, str) else None):
                self.turned_away(sender.name)
                raise Refused("the first message must hold the token")
            sender.authorised = True
            if not values or set(values) == {"version"}:
                return
        frame, sequence = self.gate.check(values)
        if self._active is not sender:
            self._take_over(sender, arrived)
        sender.bad_run = 0
        sender.proven = True
        observation = self.gate.take(message, frame, sequence, arrived)
        if observation is None:
            return
        if self._upright.take(observation.frame):
            self._notes.say(
                "upright",
                f"people stand on their heads in what {sender.name} sends: its coordinates grow otherwise than "
                f"those of layout {frame.layout}, and it should say so with axes",
            )
        self._handover.put(observation)

    def _take_over(self, sender: Sender, arrived: float) -> None:
        active = self._active
        if active is not None and active in self._senders and arrived - active.heard < SILENCE:
            self._counts.refused += 1
            self._notes.say(
                "second", f"{sender.name} was turned away: {active.name} sends, and a stream has one sender"
            )
            raise Refused("another sender is sending: a stream has one")
        if active is not None and active in self._senders:
            self.leave(active)
            active.close()
        self.gate.new_sender()
        self._counts.senders += 1
        self._active = sender

    def _bad(self, sender: Sender, why: str) -> None:
        self._counts.bad += 1
        sender.bad_run += 1
        why = why if why.startswith("the message") else f"the message {why}"
        self._notes.say("bad", f"{sender.name} sent what is no frame, and it was left out: {why}")
        if sender.bad_run >= MAX_BAD:
            self._counts.refused += 1
            raise Refused(f"{MAX_BAD} messages in a row are no frames; the last: {why}")


class _Bucket:
    """A rate that may be exceeded for a while.

    Args:
        rate: A second.
        size: At once.
    """

    def __init__(self, rate: float, size: float) -> None:
        self._rate = rate
        self._size = self._free = size
        self._at: float | None = None

    def pour(self, amount: float, now: float) -> bool:
        """Take an amount, if there is room for it."""
        if self._at is not None:
            self._free = min(self._size, self._free + (now - self._at) * self._rate)
        self._at = now
        if amount > self._free:
            return False
        self._free -= amount
        return True
