"""From sources to sinks: each source on its own thread, one owner of recognition, slow sinks behind queues.

Of live sources the newest counts. All frames that wait are taken in before the model runs, and of each person only the
newest window that is due is run; what is left out is counted. Of files nothing is lost, and they come one after
another. Nothing polls: every thread waits until there is something to do.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import DataError, MmnEdgeError, SourceError
from mmn_edge.events.decoder import Event
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.runtime.backends.backend import Backend
from mmn_edge.runtime.counters import Counters, SinkCounters, SourceCounters
from mmn_edge.runtime.event_stage import EventStage
from mmn_edge.runtime.lane import Lane
from mmn_edge.runtime.recognizer import DueWindow, Prediction, Recognizer, wall_clock
from mmn_edge.runtime.sinks.queued import QueuedSink
from mmn_edge.runtime.sinks.sink import Sink
from mmn_edge.runtime.sources.source import Observation, Source
from mmn_edge.runtime.tape import Tape

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Emit", "Pipeline"]

log = logging.getLogger(__name__)

Emit = Literal["events", "predictions", "both"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LEAVING_SECONDS = 2.0
"""How long a source may take to end once it is told to."""

FORGOTTEN_SECONDS = 60.0
"""After so long it does not matter when a person's last window was run."""

BURST = 256
"""Frames of live sources that are taken in at most before the model runs again."""


@dataclass
class _Stream:
    """One source on its way through recognition.

    Attributes:
        pending: Windows that are due, by person, and how many were skipped for each.
        ran: When the last window of a person was run.
        follows: It is the recording of a live run that says what was run: the same is run again, and nothing else.
    """

    lane: Lane
    recognizer: Recognizer
    stage: EventStage
    counters: SourceCounters
    pending: dict[int, tuple[DueWindow, int]] = field(default_factory=dict)
    ran: dict[int, float] = field(default_factory=dict)
    over: bool = False
    follows: bool = False

    @property
    def waits(self) -> bool:
        """Whether windows wait for their turn."""
        return bool(self.pending) and not self.follows


class Pipeline:
    """Recognises what sources show, and writes it to sinks; a context manager that opens and closes the sources.

    Live sources are read side by side, files one after another. Every source, sink and the model are each used on one
    thread at a time. In the main thread, Ctrl-C and SIGTERM end it in good order: what was found is written before
    :meth:`run` raises KeyboardInterrupt. A second one does not wait for that.

    Args:
        sources: By name. What is emitted names its source where there are several.
        bundle: The model's bundle.
        backend: The model, loaded.
        emit: What is passed to sinks: events, predictions or both.
        parameters: Of the event decoder; the bundle's where None.
        enough_seen: As for :class:`mmn_edge.runtime.recognizer.Recognizer`.
        duration: Seconds of each stream after which it is ended.
        on_note: Told in a sentence what a user must know, once for each.
        on_frame: Called for each frame, with its source's counters and what share of the source was read.

    Attributes:
        counters: What was counted until now; may be read on any thread.
        recognizers: By source.

    Raises:
        BundleError: The bundle cannot be fed from a stream.
        LayoutError: A source's layout cannot be mapped to the model's.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        bundle: Bundle,
        backend: Backend,
        *,
        emit: Emit = "events",
        parameters: DecoderParameters | None = None,
        enough_seen: float | None = None,
        duration: float | None = None,
        on_note: Callable[[str], None] = lambda text: None,
        on_frame: Callable[[SourceCounters, float | None], None] = lambda counters, done: None,
    ) -> None:
        self.counters = Counters()
        self.recognizers: dict[str, Recognizer] = {}
        self._backend = backend
        self._sinks: list[Sink] = []
        self._tapes: list[Tape] = []
        self._events, self._predictions = emit != "predictions", emit != "events"
        self._note, self._on_frame = on_note, on_frame
        self._wake: SimpleQueue[Lane | None] = SimpleQueue()  # a signal's handler may put something into it
        self._streams: dict[Lane, _Stream] = {}
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._enough_seen = enough_seen
        self._stopping = False
        self._late = False
        self._failures: list[BaseException] = []
        self._several = len(sources) > 1
        for name, source in sources.items():
            counters = self.counters.sources[name] = SourceCounters(name, source.live)
            recognizer = self.recognizers[name] = Recognizer(
                bundle,
                backend,
                live=source.live,
                on_note=self._named(name),
                enough_seen=enough_seen,
                source=name if self._several else "",
            )
            if source.layout is not None:
                recognizer.check_layout(source.layout)
            lane = Lane(source, counters, self._wake, duration)
            self._streams[lane] = _Stream(lane, recognizer, EventStage(bundle, parameters), counters)
        self._files = [lane for lane in self._streams if not lane.source.live]

    def _named(self, name: str) -> Callable[[str], None]:
        return (lambda text: self._note(f"{name}: {text}")) if self._several else self._note

    def __enter__(self) -> Self:
        """Open the sources, of files the first; raises what that fails with where none can be opened."""
        lanes = [lane for lane in self._streams if lane.source.live] + self._files[:1]
        try:
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.opened.wait()
            if len(self._files) < 2 and lanes and not any(lane.entered for lane in lanes):
                failed = lanes[0].failed
                assert failed is not None
                raise failed
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def _leave(self) -> None:
        until = time.monotonic() + LEAVING_SECONDS
        for lane in self._streams:
            lane.stop()
        for lane in self._streams:
            if not lane.join(max(until - time.monotonic(), 0.0)):
                log.info("the thread of %s still waits for its device", lane.counters.name)

    def stop(self) -> None:
        """Have :meth:`run` end soon; may be called on any thread, and in a signal's handler."""
        self._stopping = True
        self._wake.put(None)

    def between_windows(self, call: Callable[[], None]) -> None:
        """Have something called on the thread of recognition, between two calls of the model; may be called on any."""
        self._calls.put(call)
        self._wake.put(None)

    def swap(self, bundle: Bundle, backend: Backend, parameters: DecoderParameters | None = None) -> None:
        """Go on with another model; only by :meth:`between_windows`. What goes on ends, and windows begin anew.

        Raises:
            BundleError: The bundle cannot be fed from a stream; the old one goes on.
            LayoutError: A source's layout cannot be mapped to the model's, likewise.
            UsageError: The event decoder's parameters name classes that the model does not have, likewise.
        """
        made = []
        for stream in self._streams.values():
            source = stream.lane.source
            recognizer = Recognizer(
                bundle,
                backend,
                live=source.live,
                on_note=self._named(stream.counters.name),
                enough_seen=self._enough_seen,
                source=stream.recognizer.source,
            )
            if source.layout is not None:
                recognizer.check_layout(source.layout)
            made.append((stream, recognizer, EventStage(bundle, parameters)))
        for stream, recognizer, stage in made:
            if not stream.over:
                stream.pending.clear()
                self._tell(stream, stream.stage.finish(), None)
            stream.recognizer, stream.stage = recognizer, stage
            self.recognizers[stream.counters.name] = recognizer
        self._backend = backend

    def run(self, sinks: Sequence[Sink] = ()) -> None:
        """Recognise until all sources have ended, or :meth:`stop` is called.

        Args:
            sinks: Where events and predictions go; entered and left here. Without an error that leaves nothing to keep
                they are left as after a success.

        Raises:
            SourceError: A source failed or gave no frame; what came before was written. Of several sources the others
                went on, and the first failure is raised at the end.
            DataError: A file is damaged, likewise.
            OSError: A sink failed. BrokenPipeError: its reader has gone.
            KeyboardInterrupt: It was interrupted, and everything is written.
        """
        failure: BaseException | None = None
        with ExitStack() as stack:
            stack.callback(self._listen())
            self._tapes = [sink for sink in sinks if isinstance(sink, Tape)]
            self._sinks = [stack.enter_context(sink) for sink in self._behind_queues(sinks)]
            try:
                self._work()
                if self.counters.interrupted:
                    raise KeyboardInterrupt
                if self._failures:
                    raise self._failures[0]
            except BrokenPipeError as error:
                failure = error  # whoever read has gone; what goes elsewhere is kept
            except (MmnEdgeError, OSError, KeyboardInterrupt) as error:
                if not self.counters.predictions:
                    raise  # nothing to keep: an earlier output file stays
                failure = error
        if failure is None:
            self._check_sinks()
        else:
            raise failure

    def _listen(self) -> Callable[[], None]:
        """Have signals end the run; returns what undoes it."""
        before: dict[signal.Signals, Any] = {}

        def heard(number: int, frame: FrameType | None) -> None:
            if self.counters.interrupted:
                raise KeyboardInterrupt
            self.counters.interrupted = True
            self.stop()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, heard)
        return restore

    def _behind_queues(self, sinks: Sequence[Sink]) -> list[Sink]:
        """The sinks, each on a thread of its own where a source is live and must not wait for it."""
        live = any(lane.source.live for lane in self._streams)
        chosen: list[Sink] = []
        for sink in sinks:
            counters = SinkCounters(sink.name)
            self.counters.sinks.append(counters)
            waits = live and not sink.prompt
            chosen.append(QueuedSink(sink, counters, on_note=self._note, on_failure=self._nudge) if waits else sink)
        return chosen

    def _nudge(self) -> None:
        self._wake.put(None)

    def _check_sinks(self) -> None:
        for sink in self._sinks:
            if isinstance(sink, QueuedSink):
                sink.check()

    # Recognition: what follows is used on one thread.

    def _work(self) -> None:
        taken = 0
        while not self._stopping and not all(stream.over for stream in self._streams.values()):
            try:
                lane = self._wake.get(block=not any(stream.waits for stream in self._streams.values()))
            except Empty:
                lane = None
            if lane is not None:
                self._take(self._streams[lane])
                taken += 1
                if lane.hurries and taken < BURST:
                    continue  # what waits besides may make what is due old
            taken = 0
            while not self._calls.empty():
                self._calls.get()()
            self._run_next()
            self._check_sinks()
        for stream in self._streams.values():
            if not stream.over:
                if stream.lane.source.live:  # to be stopped is its end
                    self._run_rest(stream)
                    self._emit(stream, stream.recognizer.predict(stream.recognizer.end()))
                self._tell(stream, stream.stage.finish(), None)

    def _take(self, stream: _Stream) -> None:
        """Take in what waits: a frame, or the end."""
        item = stream.lane.take()
        try:
            if isinstance(item, Observation):
                self._frame(stream, item)
                return
            self._run_rest(stream)
            if item.error is not None:
                raise item.error
            if not stream.counters.frames:
                raise SourceError(
                    f"no frame came from {stream.counters.name}: it is empty, or what should send it ended first"
                )
            self._emit(stream, stream.recognizer.predict(stream.recognizer.end()))
        except (DataError, SourceError) as error:
            self._fail(stream, error)
        except OSError as error:
            if isinstance(item, Observation) or item.error is None:
                raise  # a sink's
            self._fail(stream, error)
        self._close(stream)

    def _run_rest(self, stream: _Stream) -> None:
        """The stream ends: run what still waits; of a recording that says what was run, nothing."""
        if stream.follows:
            stream.pending.clear()
        self._predict(stream, list(stream.pending))

    def _frame(self, stream: _Stream, observation: Observation) -> None:
        counters, frame = stream.counters, observation.frame
        for tape in self._tapes:
            if stream.lane.source.live:
                tape.noting(counters.name)
            tape.frame(counters.name, frame)
        counters.frame(frame.time, bool(frame.persons), time.monotonic())
        for sink in self._sinks:
            sink.advance(frame.time, stream.recognizer.source)
        self._tell(stream, stream.stage.advance(frame.time, stream.pending), observation)
        self._on_frame(counters, stream.lane.done)
        due = stream.recognizer.push(observation)
        if frame.runs is not None and not stream.lane.source.live:
            self._follow(stream, due, frame.runs)
            return
        if not stream.lane.hurries:
            self._note_run(stream, [one.person for one in due])
            self._emit(stream, stream.recognizer.predict(due))
            return
        for one in due:
            self._put_off(stream, one)

    def _follow(self, stream: _Stream, due: Sequence[DueWindow], runs: Sequence[Sequence[int]]) -> None:
        """Run what a live run ran after a frame, as its recording says, with the same windows in one call."""
        stream.follows = True
        for one in due:
            self._put_off(stream, one)
        for call in runs:
            if known := [person for person in dict.fromkeys(call) if person in stream.pending]:
                self._call(stream, known)

    def _note_run(self, stream: _Stream, persons: Sequence[int]) -> None:
        for tape in self._tapes if persons else ():
            tape.ran(stream.counters.name, persons)

    def _put_off(self, stream: _Stream, due: DueWindow) -> None:
        """Have a window wait for its turn, in the place of an older one of the same person."""
        older = stream.pending.get(due.person)
        stream.pending[due.person] = (due, 0 if older is None else older[1] + 1)
        if older is None:
            return
        stream.counters.skipped += 1
        observation = older[0].observation
        if not self._late and observation is not None and observation.captured is not None:
            self._late = True
            behind = time.monotonic() - observation.captured
            self._note(
                f"recognition is slower than the stream ({behind:.1f} s behind at {due.time:.1f} s): windows are "
                "skipped, and of each person the newest is run"
            )

    def _run_next(self) -> None:
        """Run windows that wait: all of a source where a batch gains something, else that of who waited longest."""
        streams = [stream for stream in self._streams.values() if stream.waits]
        waiting = [(s.ran.get(person, 0.0), person, s) for s in streams for person in s.pending]
        if not waiting:
            return
        log.debug("%d windows wait", len(waiting))
        _, person, stream = min(waiting, key=lambda entry: entry[0])
        self._predict(stream, list(stream.pending) if self._backend.batches else [person])

    def _predict(self, stream: _Stream, persons: Sequence[int]) -> None:
        """Run the windows of these persons that wait."""
        if len(persons) > 1 and not self._backend.batches:
            for person in persons:
                self._call(stream, [person])
        elif persons:
            self._call(stream, persons)

    def _call(self, stream: _Stream, persons: Sequence[int]) -> None:
        """Run the windows of these persons that wait, in one call."""
        self._note_run(stream, persons)
        due = [stream.pending.pop(person) for person in persons]
        now = time.monotonic()
        stream.ran = {person: ran for person, ran in stream.ran.items() if now - ran < FORGOTTEN_SECONDS}
        stream.ran.update((one.person, now) for one, _ in due)
        skipped = {one.person for one, skipped in due if skipped}
        self._emit(stream, stream.recognizer.predict([one for one, _ in due]), skipped)

    def _emit(self, stream: _Stream, predictions: Iterable[Prediction], skipped: Container[int] = ()) -> None:
        for prediction in predictions:
            if self._predictions:
                self._write(prediction)
            stream.counters.prediction(prediction.latency_ms, prediction.age_ms)
            present = {prediction.person, *stream.pending} if prediction.person in skipped else stream.pending
            self._tell(stream, stream.stage.feed(prediction, present), None, prediction.age_ms)

    def _tell(
        self, stream: _Stream, events: Iterable[Event], observation: Observation | None, age: float | None = None
    ) -> None:
        for event in events:
            if observation is not None and observation.captured is not None:
                age = (time.monotonic() - observation.captured) * 1e3
            stream.counters.events += event.kind == "start"
            if self._events:
                source = stream.recognizer.source
                self._write(replace(event, source=source, age_ms=age, utc=wall_clock(age)))

    def _write(self, item: Event | Prediction) -> None:
        for sink, counters in zip(self._sinks, self.counters.sinks, strict=True):
            sink.write(item)
            if not isinstance(sink, QueuedSink):
                counters.written += 1

    def _fail(self, stream: _Stream, error: BaseException) -> None:
        stream.counters.state, stream.counters.failure = "failed", str(error)
        self._failures.append(error)
        log.debug("%s failed", stream.counters.name, exc_info=error)
        if self._several:
            self._note(f"{stream.counters.name} failed, the others go on: {error}")
        stream.lane.stop()

    def _close(self, stream: _Stream) -> None:
        """The stream is over: end its events, and begin the next file."""
        self._tell(stream, stream.stage.finish(), None)
        stream.over = True
        stream.pending.clear()
        if stream.lane in self._files:
            self._files.remove(stream.lane)
            if self._files:
                self._files[0].start()
