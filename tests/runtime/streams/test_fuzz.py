"""Hostile bytes: what comes over the wire is refused in a sentence, whatever it is, and takes little memory."""

from __future__ import annotations

import contextlib
import json
import random
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmn_edge.runtime.handover import Handover
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.runtime.streams.counts import Notes, StreamCounts
from mmn_edge.runtime.streams.desk import Desk, Refused, Sender
from mmn_edge.runtime.streams.wire import Splitter, StreamBroken

from .conftest import values

HOSTILE = (
    b"[" * 2000,
    b'{"a":' * 500,
    b"\x91" * 2000,
    b"\xdc\x04\x00" * 600,
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"9" * 5000,
    b"1e999",
    b"NaN",
    b"-Infinity",
    b'"' + b"x" * 5000 + b'"',
    b"\\ud800",
    b"\x00\x0f\xff\xff",
    b"null,",
    b'"score_scale": 1e-320,',
    b'"axes": ["up", "right"],',
)

keys = st.sampled_from(
    ["time", "layout", "persons", "id", "keypoints", "scores", "score_scale", "axes", "sequence", "x"]
)
leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5) | st.just("imigue")
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=25) | st.dictionaries(keys, inner, max_size=8),
    max_leaves=30,
)


def desk() -> Desk:
    return Desk(None, Handover[Observation](64, newest=True), StreamCounts(), Notes(lambda text: None))


def play(data: bytes, *, chunk: int = 65536, rate: bool = True) -> StreamCounts:
    """Feed a connection; a new one where it is ended, as a sender would make."""
    table = desk()
    counts = table._counts
    if not rate:
        table._messages._size = table._messages._free = table._bytes._size = table._bytes._free = float("inf")
    sender, splitter = table.welcome("x", lambda: None), Splitter()
    for begin in range(0, len(data), chunk):
        if ended(table, sender, splitter, data[begin : begin + chunk]):
            table.leave(sender)
            sender, splitter = table.welcome("x", lambda: None), Splitter()
    return counts


def ended(table: Desk, sender: Sender, splitter: Splitter, data: bytes) -> bool:
    """Feed a piece; True where the connection is ended for it."""
    try:
        for message in splitter.feed(data):
            table.take(sender, message)
    except (Refused, StreamBroken):
        return True
    return False


def send(message: bytes) -> StreamCounts:
    """Feed a datagram."""
    table = desk()
    table.take(table.welcome("x", lambda: None), message)
    return table._counts


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes(data: bytes, chunk: int) -> None:
    play(data, chunk=chunk)
    play(b"{" + data, chunk=chunk)
    play(struct.pack(">I", len(data)) + data, chunk=chunk)
    send(data)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, anything, max_size=8))
def test_any_values_of_the_right_keys(found: dict[str, object]) -> None:
    for message in (json.dumps(found).encode(), msgpack.packb(found)):
        counts = send(message)
        assert counts.bad + counts.frames == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(keys, anything, st.booleans())
def test_frames_with_one_wrong_value(key: str, value: object, of_person: bool) -> None:
    frame = values(1.0)
    (frame["persons"][0] if of_person else frame)[key] = value
    for message in (json.dumps(frame).encode(), msgpack.packb(frame)):
        counts = send(message)
        assert counts.bad + counts.frames == 1


def hostile(total: int, seed: int) -> Iterator[bytes]:
    """Good frames damaged in all ways, and bytes that never were any: at least ``total`` bytes of each encoding."""
    rng = random.Random(seed)
    made = 0
    k = 0
    while made < total:
        k += 1
        frame = values(k / 30, sequence=k)
        for encoded in (json.dumps(frame).encode(), msgpack.packb(frame)):
            data = bytearray(encoded)
            for _ in range(rng.randrange(4)):
                where = rng.randrange(len(data))
                way = rng.randrange(5)
                if way == 0:
                    data[where] ^= 1 << rng.randrange(8)
                elif way == 1:
                    data[where : where + rng.randrange(1, 40)] = rng.choice(HOSTILE)
                elif way == 2:
                    data[where:where] = rng.randbytes(rng.randrange(60))
                elif way == 3:
                    del data[where : where + rng.randrange(1, 60)]
                else:
                    data[where:where] = data[: rng.randrange(len(data))]
                data = data or bytearray(b"x")
            made += len(data)
            yield bytes(data)


def resident() -> int:
    """Bytes of memory in use by this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("total", [300_000, pytest.param(10_000_000, marks=pytest.mark.proof)])
def test_hostile_bytes(total: int) -> None:
    messages = list(hostile(total, seed=total))
    joined = {
        "lines": b"\n".join(messages),
        "packed": b"".join(struct.pack(">I", len(message)) + message for message in messages),
        "raw": b"".join(messages),
    }
    before = resident()
    for data in joined.values():
        counts = play(data, rate=False)
        assert counts.bad > 0
    assert play(joined["lines"], rate=False).frames > 0
    table = desk()
    sender = table.welcome("x", lambda: None)
    for message in messages:
        with contextlib.suppress(Refused):
            table.take(sender, message)
    assert resident() - before < 64_000_000


def test_the_worst_message_takes_a_bounded_amount_of_memory() -> None:
    """A message of the largest size: lists of lists, which take most room for their bytes."""
    size = 1024 * 1024 - 20
    worst = [
        b'{"persons": [' + b"[]," * (size // 3) + b"0]}",
        b'{"a": [' + b"{}," * (size // 3) + b"0]}",
        b"\x81\xa7persons" + (b"\xdc\x04\x00" + b"\x90" * 1024) * 1000,
        b"\x81\xa1a" + b"\xdc\x04\x00" * 300_000,
    ]
    for message in worst:
        tracemalloc.start()
        try:
            assert send(message).bad == 1
            assert tracemalloc.get_traced_memory()[1] < 80_000_000, message[:20]
        finally:
            tracemalloc.stop()
