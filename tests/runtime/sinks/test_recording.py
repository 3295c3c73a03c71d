"""A live run that skips windows, and its replay."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.errors import SourceError
from mmn_edge.events.decoder import Event
from mmn_edge.events.parameters import ClassParameters, DecoderParameters
from mmn_edge.runtime.backends.backend import Output, open_backend
from mmn_edge.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mmn_edge.runtime.pipeline import Pipeline
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks.collected import CollectedSink
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.runtime.sinks.grammar import open_sink
from mmn_edge.runtime.sinks.recording import RecordingSink
from mmn_edge.runtime.sources.recordings import RecordingSource
from mmn_edge.runtime.sources.source import BaseSource, Observation
from mmn_edge.skeleton.frame import FloatArray

EAGER = DecoderParameters(default=ClassParameters(enter=0.06, leave=0.03, min_duration=0.1))
"""For a model that was not trained, and is sure of nothing."""


class Camera(BaseSource):
    """A scene that is lived through, twelve times as fast as it happened."""

    live = True
    layout = None

    def __init__(self, seconds: float = 20.0, *, fails: bool = False) -> None:
        self._frames = list(scene(seconds, seed=4, persons=3).frames())
        self._fails = fails

    def __iter__(self) -> Iterator[Observation]:
        began = time.monotonic()
        for frame in self._frames:
            due = began + frame.time / 12
            time.sleep(max(due - time.monotonic(), 0))
            yield Observation(frame, captured=due)
        if self._fails:
            raise SourceError("unplugged")


class Slow:
    """A model that takes longer than the stream gives it, and gains nothing from a batch unless told so."""

    def __init__(self, inner: OnnxRuntimeBackend, *, batches: bool) -> None:
        self._inner, self.batches = inner, batches
        self.name, self.precision = inner.name, inner.precision

    def __enter__(self) -> Slow:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        time.sleep(0.015)
        return self._inner.run(inputs)


def told(items: list[Event | Prediction]) -> list[tuple[object, ...]]:
    """All that must be the same bit for bit: not how long it took, and when."""
    found: list[tuple[object, ...]] = []
    for item in items:
        values = item.to_dict()
        for key in ("age_ms", "latency_ms", "utc"):
            values.pop(key, None)
        exact = item.probabilities.tobytes() if isinstance(item, Prediction) else (item.onset, item.offset, item.score)
        found.append((*values.items(), exact))
    return found


@pytest.mark.parametrize("batches", [False, True])
def test_the_replay_of_a_live_run_that_skipped_windows_gives_the_same(
    small_bundle: Path, tmp_path: Path, batches: bool
) -> None:
    bundle = Bundle.open(small_bundle)
    lived, replayed = CollectedSink(), CollectedSink()
    with open_backend(bundle) as inner:
        assert isinstance(inner, OnnxRuntimeBackend)
        slow = Slow(inner, batches=batches)
        context = SinkContext(bundle.manifest.labels, ("hall",), live=True)
        with Pipeline({"hall": Camera()}, bundle, slow, emit="both", parameters=EAGER) as pipeline:
            pipeline.run([lived, open_sink(f"recording:{tmp_path}", context)])
        assert pipeline.counters.skipped > 3
        (file,) = tmp_path.glob("hall-*Z.jsonl")
        with Pipeline({"hall": RecordingSource(file)}, bundle, inner, emit="both", parameters=EAGER) as pipeline:
            pipeline.run([replayed])
    assert any(isinstance(item, Event) for item in lived.items)
    assert told(replayed.items) == told(lived.items)


def test_a_run_that_is_stopped_is_replayed_to_where_it_was_stopped(small_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(small_bundle)
    lived, replayed = CollectedSink(), CollectedSink()
    with open_backend(bundle) as backend:
        context = SinkContext(bundle.manifest.labels, ("hall",), live=True)
        with Pipeline({"hall": Camera(300.0)}, bundle, backend, emit="both", parameters=EAGER) as pipeline:

            class Stops(CollectedSink):
                def write(self, item: Event | Prediction) -> None:
                    if len(lived.items) == 100:
                        pipeline.stop()

            pipeline.run([lived, Stops(), open_sink(f"recording:{tmp_path}", context)])
        (file,) = tmp_path.glob("hall-*Z.jsonl")
        with Pipeline({"hall": RecordingSource(file)}, bundle, backend, emit="both", parameters=EAGER) as pipeline:
            pipeline.run([replayed])
    assert told(replayed.items) == told(lived.items)


def test_a_slow_disk_loses_frames_and_not_time(
    tmp_path: Path, context: SinkContext, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmn_edge.runtime.sinks import recording

    monkeypatch.setattr(recording, "CAPACITY", 10)
    frames = list(scene(4.0, seed=4, persons=1).frames())
    sink = open_sink(f"recording:{tmp_path}", context)
    assert isinstance(sink, RecordingSink)
    lines = sink._lines["desk"]
    write = lines.write
    monkeypatch.setattr(lines, "write", lambda line: (time.sleep(0.05), write(line)))
    with sink:
        began = time.monotonic()
        for frame in frames:
            sink.frame("desk", frame)
        assert time.monotonic() - began < 1.0
    assert sink.dropped == len(frames) - len(next(tmp_path.glob("*.jsonl")).read_text().splitlines()) > 0
    assert f"{sink.dropped} frames were not written" in notes[-1]
