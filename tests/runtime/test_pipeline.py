from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import SourceError
from mmn_edge.events.decoder import Event
from mmn_edge.runtime import pipeline as module
from mmn_edge.runtime.backends.backend import Output
from mmn_edge.runtime.event_stage import EventStage
from mmn_edge.runtime.lane import CAPACITY
from mmn_edge.runtime.pipeline import Pipeline
from mmn_edge.runtime.recognizer import Prediction, Recognizer
from mmn_edge.runtime.sources.source import BaseSource, Observation
from mmn_edge.skeleton.frame import FloatArray, Frame

FRAMES = list(clips.script(12.0, 5).frames())


class Model:
    """A backend whose answer depends on the window; ``gate`` is waited for before each run."""

    name, precision, batches = "model", "fp32", True

    def __init__(self, classes: int, gate: Callable[[], object] = lambda: None, *, batches: bool = True) -> None:
        self._classes, self._gate, self.batches = classes, gate, batches
        self.sizes: list[int] = []

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        self._gate()
        x = next(iter(inputs.values()))
        self.sizes.append(len(x))
        logits = np.stack([np.cos(np.nanmean(one) * np.arange(self._classes)) for one in x]).astype(np.float32)
        exp = np.exp(3 * logits)
        return Output(logits, (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32))


class Frames(BaseSource):
    """Frames, as a file or live; ``hold`` is called before each."""

    def __init__(self, frames: list[Frame], *, live: bool = False, hold: Callable[[int], object] = lambda n: None):
        self._frames, self._live, self._hold = frames, live, hold
        self.read = threading.Event()
        self.stopped = threading.Event()

    @property
    def live(self) -> bool:
        return self._live

    def __iter__(self) -> Iterator[Observation]:
        for number, frame in enumerate(self._frames):
            self._hold(number)
            yield Observation(frame, captured=time.monotonic() if self._live else None)
        self.read.set()

    def stop(self) -> None:
        self.stopped.set()


class Kept:
    """A sink that keeps what it is given."""

    name, prompt = "kept", True

    def __init__(self) -> None:
        self.items: list[Event | Prediction] = []
        self.left: list[object] = []

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *error: object) -> None:
        self.left.append(error[0])

    def advance(self, time: float, source: str = "") -> None:
        pass

    def write(self, item: Event | Prediction) -> None:
        self.items.append(item)


@pytest.fixture(scope="module")
def bundle(small_bundle: Path) -> Bundle:
    return Bundle.open(small_bundle)


@pytest.fixture
def model(bundle: Bundle) -> Callable[..., Any]:
    return lambda *arguments, **options: Model(len(bundle.manifest.labels), *arguments, **options)


def crowd(count: int) -> list[Frame]:
    return [
        replace(frame, persons=tuple(replace(person, id=n) for n in range(count) for person in frame.persons[:1]))
        for frame in FRAMES
    ]


def shifted(frames: list[Frame]) -> list[Frame]:
    return [replace(frame, time=12.0 + frame.time) for frame in frames]


def test_nothing_of_a_file_is_lost(bundle: Bundle, model: Callable[..., Any]) -> None:
    sink = Kept()
    with Pipeline({"talk": Frames(FRAMES)}, bundle, model(), emit="both") as pipeline:
        pipeline.run([sink])
    recognizer, stage = Recognizer(bundle, model()), EventStage(bundle)
    expected: list[Event | Prediction] = []
    for frame in FRAMES:
        expected += stage.advance(frame.time)
        for prediction in recognizer.feed(Observation(frame)):
            expected += [prediction, *stage.feed(prediction)]
    expected += stage.finish()
    # Latencies differ; what was recognised does not.
    strip = [replace(item, latency_ms={}) if isinstance(item, Prediction) else item for item in sink.items]
    assert strip == [replace(item, latency_ms={}) if isinstance(item, Prediction) else item for item in expected]
    counters = pipeline.counters.sources["talk"]
    assert (counters.frames, counters.dropped, counters.skipped, counters.state) == (len(FRAMES), 0, 0, "ended")
    assert all(item.age_ms is None and item.source == "" for item in sink.items)


def test_of_a_live_source_the_newest_window_of_each_person_is_run(bundle: Bundle, model: Callable[..., Any]) -> None:
    notes: list[str] = []
    busy = threading.Event()

    def gate() -> None:  # the model is busy until everything has come
        busy.set()
        source.read.wait(30)

    source = Frames(crowd(3) + shifted(crowd(3)), live=True, hold=lambda n: n < 65 or busy.wait(30))
    sink = Kept()
    with Pipeline({"a": source}, bundle, model(gate), emit="predictions", on_note=notes.append) as pipeline:
        pipeline.run([sink])
    counters = pipeline.counters.sources["a"]
    assert counters.skipped > 0
    assert counters.dropped > 0
    assert counters.frames + counters.dropped == 2 * len(FRAMES)
    (note,) = [text for text in notes if "slower" in text]
    assert "windows are skipped" in note
    last = [item.time for item in sink.items][-3:]
    assert min(last) > 12.0 + FRAMES[-1].time - 0.3
    assert all(isinstance(item, Prediction) and item.age_ms is not None and item.age_ms >= 0 for item in sink.items)
    # What came while the model was busy is taken in before it runs again.
    assert counters.frames >= CAPACITY


def test_events_go_on_where_windows_are_skipped(bundle: Bundle, model: Callable[..., Any]) -> None:
    """A person who is seen all the time has not left because there was no time to predict."""
    stage = EventStage(bundle)
    probabilities = np.full(len(bundle.manifest.labels), 1e-3, np.float32)
    probabilities[1] = 0.95
    one = Prediction(2.0, 0, None, None, None, (), {}, probabilities=probabilities)
    events = [e for t in (2.0, 2.25, 2.5, 2.75, 3.0) for e in stage.feed(replace(one, time=t))]
    assert [e.kind for e in events] == ["start"]
    assert stage.advance(9.0, present={0}) == []
    assert [e.kind for e in stage.feed(replace(one, time=9.0), present={0})] == ["update"]
    assert [e.kind for e in stage.advance(19.0)] == ["end"]


def test_persons_take_turns_where_a_batch_gains_nothing(bundle: Bundle, model: Callable[..., Any]) -> None:
    frames = crowd(4)[:90]
    for batches, sizes in ((True, {4}), (False, {1})):
        backend = model(batches=batches)
        with Pipeline({"a": Frames(frames, live=True, hold=lambda n: time.sleep(0.001))}, bundle, backend) as pipeline:
            pipeline.run()
        assert set(backend.sizes) == sizes


def test_a_source_that_fails_leaves_the_others_alone(bundle: Bundle, model: Callable[..., Any]) -> None:
    def fail(number: int) -> None:
        if number == 100:
            raise SourceError("the cable was pulled")

    notes: list[str] = []
    sink = Kept()
    sources = {
        "good": Frames(FRAMES, live=True, hold=lambda n: time.sleep(0.001)),
        "bad": Frames(FRAMES, live=True, hold=fail),
    }
    pipeline = Pipeline(sources, bundle, model(), emit="predictions", on_note=notes.append)
    with pipeline, pytest.raises(SourceError, match="the cable was pulled"):
        pipeline.run([sink])
    assert [text for text in notes if "bad failed, the others go on" in text]
    counters = pipeline.counters.sources
    assert (counters["good"].state, counters["bad"].state) == ("ended", "failed")
    assert counters["good"].frames + counters["good"].dropped == len(FRAMES)
    assert {item.source for item in sink.items} == {"good", "bad"}
    assert sink.left == [None]  # there is something to keep


def test_files_are_read_one_after_another(bundle: Bundle, model: Callable[..., Any]) -> None:
    read: list[str] = []

    def source(name: str) -> Frames:
        return Frames(FRAMES[:70], hold=lambda n: read.append(name))

    with Pipeline({name: source(name) for name in "abc"}, bundle, model()) as pipeline:
        pipeline.run()
    assert read == ["a"] * 70 + ["b"] * 70 + ["c"] * 70
    assert pipeline.counters.frames == 210


def test_nothing_can_be_opened(bundle: Bundle, model: Callable[..., Any]) -> None:
    class Closed(Frames):
        def __enter__(self) -> Closed:
            raise SourceError("no such camera")

    sink = Kept()
    with pytest.raises(SourceError, match="no such camera"), Pipeline({"a": Closed([])}, bundle, model()) as pipeline:
        pipeline.run([sink])
    assert not sink.left


def test_a_source_that_hangs_does_not_keep_the_pipeline(
    bundle: Bundle, model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAVING_SECONDS", 0.1)
    forever = threading.Event()
    source = Frames(FRAMES, live=True, hold=lambda n: forever.wait() if n == 80 else None)
    pipeline = Pipeline({"a": source}, bundle, model())
    with pipeline:
        threading.Timer(0.3, pipeline.stop).start()
        pipeline.run()
    assert source.stopped.is_set()
    assert pipeline.counters.frames == 80
    forever.set()


def test_a_slow_sink_does_not_slow_recognition(bundle: Bundle, model: Callable[..., Any]) -> None:
    source = Frames(FRAMES, live=True, hold=lambda n: time.sleep(0.001))

    class Slow(Kept):
        name, prompt = "slow", False

        def write(self, item: Event | Prediction) -> None:
            assert source.read.wait(30)  # until the stream is over
            super().write(item)

    slow, quick = Slow(), Kept()
    with Pipeline({"a": source}, bundle, model(), emit="predictions") as pipeline:
        pipeline.run([slow, quick])
    assert pipeline.counters.sources["a"].frames + pipeline.counters.sources["a"].dropped == len(FRAMES)
    assert slow.items == quick.items != []
    assert [counters.written for counters in pipeline.counters.sinks] == [len(quick.items)] * 2


def test_counters_are_json(bundle: Bundle, model: Callable[..., Any]) -> None:
    with Pipeline({"a": Frames(FRAMES, live=True, hold=lambda n: time.sleep(0.001))}, bundle, model()) as pipeline:
        pipeline.run([Kept()])
    (source,) = pipeline.counters.to_dict()["sources"]
    assert source["name"] == "a"
    assert source["predictions"] == pipeline.counters.predictions > 0
    assert 0 < source["age_ms"]["p50"] <= source["lag_max_ms"] + 0.1
