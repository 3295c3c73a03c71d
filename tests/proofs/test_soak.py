"""An hour of a sensor: memory, threads and descriptors stay where they are, and nothing differs from a plain loop.

    python tests/proofs/test_soak.py BUNDLE --hours 24

The clock is the frames' own, so an hour takes minutes. Of ten windows one is run by the network, and the others get its
last answer: its arithmetic keeps nothing, and is tested elsewhere.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.convert.conversion import convert
from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.events.decoder import Event
from mmn_edge.runtime.backends.backend import Backend, Output, open_backend
from mmn_edge.runtime.event_stage import EventStage
from mmn_edge.runtime.pipeline import Pipeline
from mmn_edge.runtime.recognizer import Prediction, Recognizer
from mmn_edge.runtime.sources.source import BaseSource, Observation
from mmn_edge.skeleton.frame import FloatArray, Frame

FPS = 30
LOOP_SECONDS = 40.0
PERSONS = 4
GROWTH = 5e6
"""Bytes."""


def frames(seconds: float) -> Iterator[Frame]:
    """One to four persons who come and go, each for 20 to 70 seconds; a person who comes has a new id."""
    loop = list(scene(LOOP_SECONDS, 3, fps=FPS, persons=PERSONS).frames())
    rng = np.random.default_rng(0)
    until = [float(t) for t in rng.uniform(20, 70, PERSONS)]
    here, ids, born = [True] * PERSONS, list(range(PERSONS)), PERSONS
    for number in range(int(seconds * FPS)):
        time = number / FPS
        for slot in range(1, PERSONS):  # the first stays
            if time >= until[slot]:
                here[slot] = not here[slot]
                until[slot] = time + float(rng.uniform(20, 70) if here[slot] else rng.uniform(3, 40))
                if here[slot]:
                    ids[slot], born = born, born + 1
        persons = loop[number % len(loop)].persons
        shown = tuple(replace(one, id=ids[slot]) for slot, one in enumerate(persons) if slot < PERSONS and here[slot])
        yield Frame(time, loop[0].layout, shown)


class Sometimes:
    """A backend that runs one window in ten."""

    EVERY = 10
    name, precision, batches = "sometimes", "fp32", True

    def __init__(self, inner: Backend) -> None:
        self._inner, self._count, self._last = inner, 0, Output(np.zeros((0, 0)), np.zeros((0, 0)))

    def __enter__(self) -> Sometimes:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        length = len(next(iter(inputs.values())))
        if self._count % self.EVERY == 0:
            self._last = self._inner.run({name: values[:1] for name, values in inputs.items()})
        self._count += 1
        return Output(
            *(np.repeat(values[:1], length, axis=0) for values in (self._last.logits, self._last.probabilities))
        )


@dataclass
class Footprint:
    """What the process holds, at each minute of sensor time."""

    rss: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def measure(self) -> None:
        gc.collect()
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        self.rss.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))
        self.threads.append(threading.active_count())
        self.descriptors.append(len(list(Path("/proc/self/fd").iterdir())))


class Sensor(BaseSource):
    """The frames, and a look at the footprint each minute."""

    def __init__(self, seconds: float, footprint: Footprint) -> None:
        self._seconds, self._footprint = seconds, footprint

    def __iter__(self) -> Iterator[Observation]:
        for number, frame in enumerate(frames(self._seconds)):
            if number % (60 * FPS) == 0:
                self._footprint.measure()
            yield Observation(frame)


class Digest:
    """A sink that keeps a hash of all events, and their number."""

    name, prompt = "digest", False

    def __init__(self) -> None:
        self.count, self._hash = 0, hashlib.sha256()

    def __enter__(self) -> Digest:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, time: float, source: str = "") -> None:
        pass

    def write(self, item: Event | Prediction) -> None:
        self.count += 1
        self._hash.update(repr(item.to_dict()).encode())

    @property
    def value(self) -> str:
        return self._hash.hexdigest()


def soak(bundle: Bundle, seconds: float) -> tuple[Footprint, Digest, Pipeline]:
    """Run the whole pipeline on so much of the sensor."""
    footprint, digest = Footprint(), Digest()
    with (
        open_backend(bundle, "onnxruntime", threads=1) as backend,
        Pipeline({"sensor": Sensor(seconds, footprint)}, bundle, Sometimes(backend)) as pipeline,
    ):
        pipeline.run([digest])
    return footprint, digest, pipeline


def reference(bundle: Bundle, seconds: float) -> Digest:
    """The events of a loop without threads, queues and counters."""
    digest = Digest()
    with open_backend(bundle, "onnxruntime", threads=1) as backend:
        recognizer, stage = Recognizer(bundle, Sometimes(backend)), EventStage(bundle)
        for frame in frames(seconds):
            for event in stage.advance(frame.time):
                digest.write(event)
            for prediction in recognizer.feed(Observation(frame)):
                for event in stage.feed(prediction):
                    digest.write(event)
        for prediction in recognizer.finish():
            for event in stage.feed(prediction):
                digest.write(event)
        for event in stage.finish():
            digest.write(event)
    return digest


def report(footprint: Footprint, digest: Digest, pipeline: Pipeline) -> str:
    warm = len(footprint.rss) // 3
    return (
        f"{pipeline.counters.frames} frames, {pipeline.counters.predictions} predictions, {digest.count} lines; RSS "
        f"{footprint.rss[warm] / 1e6:.1f} MB after {warm} minutes, at most {max(footprint.rss[warm:]) / 1e6:.1f} MB, "
        f"{footprint.rss[-1] / 1e6:.1f} MB at the end; threads {set(footprint.threads[1:])}, descriptors "
        f"{set(footprint.descriptors[1:])}"
    )


def check(footprint: Footprint) -> None:
    warm = len(footprint.rss) // 3
    assert max(footprint.rss[warm:]) - footprint.rss[warm] < GROWTH
    assert len(set(footprint.threads[warm:])) == 1
    assert len(set(footprint.descriptors[warm:])) == 1


@pytest.mark.proof
def test_an_hour_leaves_nothing_behind(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    checkpoint = Path(str(resources.files("mmn_edge") / "data" / "scenes.pt"))  # the demo's
    bundle = convert(checkpoint, tmp_path / "demo.bundle").bundle
    footprint, digest, pipeline = soak(bundle, 3600.0)
    record_property("summary", f"soak: {report(footprint, digest, pipeline)}")
    assert pipeline.counters.frames == 3600 * FPS
    assert pipeline.counters.skipped == pipeline.counters.dropped == 0
    assert digest.count > 100
    check(footprint)
    expected = reference(bundle, 3600.0)
    assert (digest.count, digest.value) == (expected.count, expected.value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--hours", type=float, default=24.0)
    arguments = parser.parse_args()
    bundle, seconds = Bundle.open(arguments.bundle), arguments.hours * 3600
    footprint, digest, pipeline = soak(bundle, seconds)
    print(report(footprint, digest, pipeline))
    check(footprint)
    expected = reference(bundle, seconds)
    assert (digest.count, digest.value) == (expected.count, expected.value)
    print("events equal those of a plain loop")


if __name__ == "__main__":
    main()
