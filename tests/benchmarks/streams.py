"""What a frame from the network costs before recognition: decoded, checked, put in order; beside decoding alone."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import msgpack

from mmn_edge.datasets.synthetic.clips import script
from mmn_edge.runtime.handover import Handover
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.runtime.streams import desk
from mmn_edge.runtime.streams.counts import Notes, StreamCounts
from mmn_edge.skeleton.recording import format_frame
from mmn_edge.system import machine

REPEATS = 9


def frames(persons: int, count: int = 300) -> list[dict[str, object]]:
    """Frames of MA-52's 44 joints."""
    found = []
    for k, frame in enumerate(script(count / 30, 0, 30.0).frames()):
        values = json.loads(format_frame(frame))
        (person,) = values["persons"]
        found.append({**values, "sequence": k, "persons": [{**person, "id": n} for n in range(persons)]})
    return found


def median_us(run: Callable[[bytes], object], messages: list[bytes], prepare: Callable[[], object]) -> float:
    """Microseconds of CPU a message, the median of several rounds."""
    times = []
    for _ in range(REPEATS):
        prepare()
        began = time.process_time()
        for message in messages:
            run(message)
        times.append((time.process_time() - began) / len(messages) * 1e6)
    return statistics.median(times)


def main() -> None:
    """Print a table."""
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    desk.MAX_RATE = desk.BURST = desk.MAX_BYTES = 1e12
    print(f"{'':24} {'bytes':>7} {'decode us':>10} {'all us':>8} {'ratio':>6}")
    for persons in (1, 4):
        values = frames(persons)
        for name, encode, decode in (
            ("JSON", lambda frame: json.dumps(frame).encode(), json.loads),
            ("MessagePack", msgpack.packb, msgpack.unpackb),
        ):
            messages = [encode(frame) for frame in values]
            table: list[desk.Desk] = []

            def prepare(table: list[desk.Desk] = table) -> None:
                table[:] = [desk.Desk(None, Handover[Observation](8, newest=True), StreamCounts(), Notes(print))]
                table[0].welcome("x", lambda: None)

            def take(message: bytes, table: list[desk.Desk] = table) -> None:
                table[0].take(table[0]._senders[0], message)

            alone = median_us(decode, messages, lambda: None)
            whole = median_us(take, messages, prepare)
            size = sum(map(len, messages)) // len(messages)
            print(f"{name + f', {persons} persons':24} {size:7} {alone:10.0f} {whole:8.0f} {whole / alone:6.1f}")


if __name__ == "__main__":
    main()
