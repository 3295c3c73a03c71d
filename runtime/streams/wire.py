"""What comes over the wire: bytes cut into messages, and messages decoded. See ``docs/reference/wire-format.md``.

A message is a frame as JSON, or as MessagePack with the same keys. On TCP a JSON message is a line, and a MessagePack
message has its length before it, in 4 bytes; datagrams and WebSocket messages hold one message each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mmn_edge.errors import DataError
from mmn_edge.system.extras import require

__all__ = ["MAX_MESSAGE", "VERSION", "Splitter", "StreamBroken", "check_version", "decode"]

VERSION = 1

MAX_MESSAGE = 1024 * 1024
"""Bytes of a message: 64 persons of 137 joints as JSON take less than a third."""

MAX_ITEMS = 1024
"""Of a list or map of MessagePack: its reader takes room for as many as are announced."""

LENGTH = 4
"""Bytes of the length before a MessagePack message on TCP; the first is 0, as no text begins."""

_METHODS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS ", b"DELETE ", b"CONNECT ")


class StreamBroken(DataError):
    """A byte stream in which the next message cannot be found; only a new connection helps."""


def decode(message: bytes) -> dict[str, Any]:
    """The keys and values of a message.

    Raises:
        DataError: It is neither JSON nor MessagePack, or no map; the message has no subject: "is not JSON (...)".
        MissingDependencyError: It is MessagePack, and the package is not installed.
    """
    if len(message) > MAX_MESSAGE:
        raise DataError(f"is longer than {MAX_MESSAGE} bytes")
    if message[:1] in (b"{", b"[", b" ", b"\t", b"\r", b"\n", b'"') or message[:1].isalnum():
        try:
            values = json.loads(message.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"is not JSON ({_reason(error)})") from None
    else:
        values = _unpack(message)
    if not isinstance(values, dict):
        raise DataError("is no frame, but a " + type(values).__name__)
    return values


def check_version(values: dict[str, Any]) -> None:
    """Raise DataError where a message says that it is of a version that is not read."""
    version = values.get("version", VERSION)
    if isinstance(version, bool) or version != VERSION:
        raise DataError(f"is of another version than {VERSION}: this mmn-edge is older than its sender")


def _unpack(message: bytes) -> Any:
    msgpack = require("msgpack", extra="stream", purpose="Reading MessagePack")
    if message[:1] == b"\0" and int.from_bytes(message[:LENGTH], "big") == len(message) - LENGTH:
        message = message[LENGTH:]  # the length of TCP, sent in a datagram or WebSocket message too
    try:
        return msgpack.unpackb(
            message,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=0,
            strict_map_key=True,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise DataError(f"is not MessagePack ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:80]


class Splitter:
    """Cuts the bytes of a TCP connection into messages: JSON lines or MessagePack, told by the first byte."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._packed: bool | None = None
        self._skipping = False
        self._first = True

    @property
    def begun(self) -> bool:
        """Whether a message has begun that is not complete."""
        return bool(self._rest) or self._skipping

    def feed(self, data: bytes) -> Iterator[bytes | DataError]:
        """Take bytes; the messages that they complete, and an error in place of a line that is too long.

        Raises:
            StreamBroken: A message is announced as longer than is taken, or a browser speaks.
        """
        self._rest += data
        if self._packed is None and self._rest:
            self._packed = self._rest[0] == 0
        return self._messages() if self._packed else self._lines()

    def _messages(self) -> Iterator[bytes | DataError]:
        while len(self._rest) >= LENGTH:
            length = int.from_bytes(self._rest[:LENGTH], "big")
            if length > MAX_MESSAGE:
                raise StreamBroken(f"a message of {length} bytes is announced, and at most {MAX_MESSAGE} are taken")
            if len(self._rest) < LENGTH + length:
                return
            message = bytes(self._rest[LENGTH : LENGTH + length])
            del self._rest[: LENGTH + length]
            yield message

    def _lines(self) -> Iterator[bytes | DataError]:
        begin = 0
        try:
            while (end := self._rest.find(b"\n", max(begin, self._searched))) >= 0:
                line = bytes(self._rest[begin:end])
                begin = self._searched = end + 1
                if self._skipping:
                    self._skipping = False
                elif len(line) > MAX_MESSAGE:
                    yield DataError(f"is longer than {MAX_MESSAGE} bytes")
                elif line.strip():
                    if self._first and line.startswith(_METHODS):
                        raise StreamBroken("a browser speaks: this is no web server")
                    line = line.removeprefix(b"\xef\xbb\xbf") if self._first else line
                    self._first = False
                    yield line
        finally:
            del self._rest[:begin]
            self._searched = len(self._rest)
        if len(self._rest) > MAX_MESSAGE:
            self._rest.clear()
            self._searched = 0
            if not self._skipping:
                self._skipping = True
                yield DataError(f"is longer than {MAX_MESSAGE} bytes")
