"""CPU of everything around the network, a frame: mapping, tracking, windows, decoding, writing.

    python tests/benchmarks/runtime.py BUNDLE [--frames 1800]

Parsing is apart, and the network is a stand-in that answers at once. Medians over stretches of 60 frames, so that what
is done for one window in eight frames is spread over them; CPU time of the process, on one thread.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.runtime.backends.backend import Output
from mmn_edge.runtime.event_stage import EventStage
from mmn_edge.runtime.recognizer import Recognizer
from mmn_edge.runtime.sinks.sink import JsonLinesSink
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.skeleton import recording
from mmn_edge.skeleton.frame import FloatArray, Frame

STRETCH = 60


class Nothing:
    """A network that answers at once, each time another class."""

    name, precision, batches = "nothing", "fp32", True

    def __init__(self, classes: int) -> None:
        self._classes, self._count = classes, 0

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        size = len(next(iter(inputs.values())))
        self._count += 1
        probabilities = np.full((size, self._classes), 0.1 / self._classes, np.float32)
        probabilities[:, self._count // 12 % self._classes] = 0.9
        return Output(np.log(probabilities), probabilities)


def stretches(frames: list[Frame], each: Callable[[Frame], object]) -> float:
    """Median milliseconds of CPU a frame."""
    spent = []
    for first in range(0, len(frames) - STRETCH + 1, STRETCH):
        began = time.thread_time()
        for frame in frames[first : first + STRETCH]:
            each(frame)
        spent.append((time.thread_time() - began) * 1e3 / STRETCH)
    return statistics.median(spent)


def around(bundle: Bundle, *, tracked: bool) -> Callable[[Frame], object]:
    """All that happens to a frame but the network."""
    recognizer = Recognizer(bundle, Nothing(len(bundle.manifest.labels)))
    stage, sink = EventStage(bundle), JsonLinesSink(io.StringIO())

    def each(frame: Frame) -> None:
        frame = frame if tracked else replace(frame, tracked=False)
        events = stage.advance(frame.time)
        for prediction in recognizer.feed(Observation(frame)):
            events += stage.feed(prediction)
        for event in events:
            sink.write(event)

    return each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--frames", type=int, default=1800)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    print(f"{'persons':>7} {'around':>8} {'own ids':>8} {'record':>8} {'parse':>8}   ms of CPU a frame")
    for persons in (1, 2, 4):
        play = scene(arguments.frames / 30 + 1, 1, fps=30, persons=persons)
        frames = list(play.frames())[: arguments.frames]
        lines = {frame.time: recording.format_frame(frame) for frame in frames}
        figures = (
            stretches(frames, around(bundle, tracked=True)),
            stretches(frames, around(bundle, tracked=False)),
            stretches(frames, recording.format_frame),
            stretches(frames, lambda frame, lines=lines: recording.parse_frame(lines[frame.time], where="here")),  # type: ignore[misc]
        )
        print(f"{persons:7} " + " ".join(f"{figure:8.3f}" for figure in figures))


if __name__ == "__main__":
    main()
