from __future__ import annotations

import json
import struct

import msgpack
import pytest

from mmn_edge.errors import DataError
from mmn_edge.runtime.streams.wire import MAX_MESSAGE, Splitter, StreamBroken, check_version, decode


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
def test_lines_cut_anywhere(size: int) -> None:
    text = b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"b": 2}\n{"c"'
    splitter, found = Splitter(), []
    for begin in range(0, len(text), size):
        found += splitter.feed(text[begin : begin + size])
    assert found == [b'{"a": 1}\r', b'{"b": 2}']
    assert splitter.begun
    assert list(splitter.feed(b": 3}\n")) == [b'{"c": 3}']
    assert not splitter.begun


@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_packed_messages_cut_anywhere(size: int) -> None:
    messages = [msgpack.packb({"a": k}) for k in range(3)] + [b""]
    data = b"".join(struct.pack(">I", len(message)) + message for message in messages)
    splitter, found = Splitter(), []
    for begin in range(0, len(data), size):
        found += splitter.feed(data[begin : begin + size])
    assert found == messages
    assert not splitter.begun


def test_line_that_is_too_long_takes_no_more_room_than_a_line() -> None:
    splitter, found = Splitter(), []
    for _ in range(100):
        found += splitter.feed(b"x" * 100_000)
        assert len(splitter._rest) <= MAX_MESSAGE
    found += splitter.feed(b"\n{}\n")
    assert [str(item) for item in found[:-1]] == [f"is longer than {MAX_MESSAGE} bytes"]
    assert found[-1] == b"{}"


def test_message_announced_as_too_long() -> None:
    with pytest.raises(StreamBroken, match="at most"):
        list(Splitter().feed(struct.pack(">I", MAX_MESSAGE + 1)))


DEEP = 100_000


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "is not MessagePack"),
        (b"{", "is not JSON"),
        (b"[]", "is no frame, but a list"),
        (b"3", "is no frame, but a int"),
        (b'{"a": ' + b"[" * DEEP, "is not JSON"),
        (b"\x81\xa1a" + b"\x91" * DEEP, "is not MessagePack"),
        (b"\x81\xa1a\xdd\xff\xff\xff\xff", "is not MessagePack"),  # a list of 4 thousand million
        (b"\x81\xa1a\xc6\xff\xff\xff\xff", "is not MessagePack"),  # as many bytes
        (b"\xdf\xff\xff\xff\xff", "is not MessagePack"),
        (b"\x81\xa1a\xd6\xff\x00\x00\x00\x00", "is not MessagePack"),  # a time stamp
        (b"\x81\x01\x02", "is not MessagePack"),  # a key that is no text
        (b"\x80\x80", "is not MessagePack"),
        (b'{"a": "\xff"}', "is not JSON"),
        (b" " * (MAX_MESSAGE + 1), "is longer"),
    ],
)
def test_messages_that_are_none(message: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=f"^{reason}") as caught:
        decode(message)
    assert len(str(caught.value)) < 200


def test_both_encodings_say_the_same() -> None:
    values = {"time": 1.5, "persons": [{"keypoints": [[1.0, 2.0], None]}], "layout": "é"}
    packed = msgpack.packb(values)
    assert decode(json.dumps(values).encode()) == decode(packed) == values
    assert decode(struct.pack(">I", len(packed)) + packed) == values


def test_versions() -> None:
    check_version({})
    check_version({"version": 1})
    for version in (2, "1", None, True, 0, [1]):
        with pytest.raises(DataError, match="another version than 1"):
            check_version({"version": version})
