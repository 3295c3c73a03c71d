"""From skeleton frames to predictions: map the joints, slide the windows, run the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import BundleError, DataError
from mmn_edge.model.labels import Labels
from mmn_edge.runtime.backends.backend import Backend
from mmn_edge.runtime.sliding_window import Contents, PersonWindow
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.runtime.tracking.tracker import Tracker
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.clock import MIN_INSTANTS, StreamClock
from mmn_edge.skeleton.frame import FloatArray, Frame
from mmn_edge.skeleton.inputs import ModelInputs
from mmn_edge.skeleton.preprocess import features

__all__ = ["NOT_ENOUGH_SEEN", "NOT_FINITE", "DueWindow", "Prediction", "Recognizer", "wall_clock"]

TOP = 5

NOT_ENOUGH_SEEN = "not enough seen"
NOT_FINITE = "the model gave no finite number"
"""Why a window has no answer."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one window of one person was taken for.

    Attributes:
        time: Time of the window's last frame, seconds in the stream.
        person: The person's id.
        label: The likeliest class; None where there is no answer.
        probability: Its probability; None where there is no answer.
        group: Its body-level group; None where the model has none.
        top: The five likeliest classes with their probabilities, first the likeliest.
        latency_ms: Milliseconds spent in each stage for this prediction, and their ``total``.
        seen: Share of the model's joints, over the window's frames, that was really seen, 0 to 1.
        reason: Why there is no answer: :data:`NOT_ENOUGH_SEEN` or :data:`NOT_FINITE`; None where there is one.
        source: The name of the stream among several.
        age_ms: Milliseconds from when the window's last frame was captured, or was due, until this was known; None
            where the stream is read rather than lived through.
        probabilities: ``(K,)``, of all classes in the model's order, NaN where there is no answer; no part of the JSON.
    """

    time: float
    person: int
    label: str | None
    probability: float | None
    group: str | None
    top: tuple[tuple[str, float], ...]
    latency_ms: Mapping[str, float]
    seen: float = 1.0
    reason: str | None = None
    source: str = ""
    age_ms: float | None = field(default=None, compare=False)
    utc: str | None = field(default=None, compare=False)
    probabilities: FloatArray = field(default_factory=lambda: np.zeros(0, dtype=np.float32), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values: one line of ``mmn-edge run``."""
        return {
            "type": "prediction",
            **({"source": self.source} if self.source else {}),
            "time": round(self.time, 6),
            "person": self.person,
            "label": self.label,
            "probability": None if self.probability is None else round(self.probability, 6),
            "group": self.group,
            "top5": [{"label": name, "probability": round(p, 6)} for name, p in self.top],
            "seen": round(self.seen, 3),
            **({} if self.reason is None else {"reason": self.reason}),
            **({} if self.age_ms is None else {"age_ms": round(self.age_ms, 1)}),
            **({} if self.utc is None else {"utc": self.utc}),
            "latency_ms": {stage: round(ms, 3) for stage, ms in self.latency_ms.items()},
        }


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that a prediction is due for.

    Attributes:
        person: Whose.
        time: Seconds in the stream of its last frame.
        contents: Its frames.
        observation: The one that made it due; None at the end of the stream.
        spent_ms: Milliseconds that this took.
    """

    person: int
    time: float
    contents: Contents
    observation: Observation | None
    spent_ms: float


def wall_clock(age_ms: float | None) -> str | None:
    """The moment so many milliseconds ago, ISO 8601 in UTC; None for None."""
    if age_ms is None:
        return None
    moment = datetime.now(timezone.utc) - timedelta(milliseconds=age_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Recognizer:
    """Feeds frames of any mappable layout through a model, all persons due at a frame in one batch.

    A person who is there for less than a window gives one prediction when it leaves, whoever else is there. One whose
    body jumps begins a new window: the id is on another person, or the camera was moved.

    Args:
        bundle: The model's bundle.
        backend: The model, loaded.
        live: Whether the stream is lived through rather than read from a file. Time stamps that are no clock in
            seconds end a file; a live stream goes on, without predictions as long as they are none.
        on_note: Told in a sentence, once for each, that a body jumped or that the time stamps are no clock.
        enough_seen: Share of a window's joints that must have been seen for an answer; None takes the bundle's.
        source: The name of the stream among several.

    Attributes:
        source: As given.
        brief: Persons who were there for less than a window; one that comes again counts again.
        too_brief: Those of them who were there for fewer than :data:`mmn_edge.clock.MIN_INSTANTS` moments, which are
            too few for a prediction.
        jumps: How often a body jumped.
        own_ids: Whether the sender's ids were found on other bodies, so that our own are given.
        clock_failed: Whether the time stamps were no clock for a while.
        not_enough_seen: Predictions without an answer because too little was seen.
        not_finite: Predictions without an answer because the model gave NaN or infinite numbers.

    Raises:
        BundleError: The bundle does not say what its joints are, or is for several persons at once.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        *,
        live: bool = False,
        on_note: Callable[[str], None] = lambda text: None,
        enough_seen: float | None = None,
        source: str = "",
    ) -> None:
        manifest = bundle.manifest
        if manifest.layout is None or manifest.preprocessing is None:
            raise BundleError(
                f"{bundle.path} does not know its skeleton layout, so it cannot be fed from a stream: convert the "
                "checkpoint again with --preset"
            )
        if manifest.architecture.num_people != 1:
            raise BundleError(
                f"{bundle.path} takes {manifest.architecture.num_people} persons in one window, and streams are "
                "recognised person by person: only its ONNX model can be used"
            )
        self._manifest = manifest
        self._backend = backend
        self._layout = layouts.get(manifest.layout)
        if self._layout.joints != manifest.joints:
            raise BundleError(
                f"{bundle.path} was made with other joints in layout {manifest.layout}: convert the checkpoint again"
            )
        self._labels: Labels = manifest.labels
        self._windows: dict[int, PersonWindow] = {}
        self._inputs_of: dict[str, ModelInputs] = {}
        self._enough = manifest.enough_seen if enough_seen is None else enough_seen
        self._live = live
        self.source = source
        self._note = on_note
        self._instants = min(MIN_INSTANTS, manifest.window.frames)
        self._clock = StreamClock(manifest.window.seconds, self._instants)
        self.clock_failed = False
        self._tracker = Tracker()
        self.own_ids = False
        self.brief = 0
        self.too_brief = 0
        self.jumps = 0
        self.not_enough_seen = 0
        self.not_finite = 0

    def check_layout(self, layout: str) -> None:
        """Raise LayoutError if a stream in ``layout`` cannot be fed to the model, or can never show enough of it."""
        if layout not in self._inputs_of:
            arch = self._manifest.architecture
            inputs = ModelInputs(
                layout, self._layout, joints=arch.num_joints, channels=arch.in_channels, bones=self._layout.bones
            )
            inputs.check_reach(self._enough)
            self._inputs_of[layout] = inputs

    def feed(self, observation: Observation) -> list[Prediction]:
        """Take a frame and return the predictions that it made due.

        Raises:
            LayoutError: The frame's layout cannot be mapped to the model's, or it has too few coordinates.
        """
        return self.predict(self.push(observation))

    def finish(self) -> list[Prediction]:
        """The stream has ended: the predictions of those who were there for less than a window.

        Raises:
            DataError: The time stamps of a file are no clock, and it was too short to say so before.
        """
        return self.predict(self.end())

    def push(self, observation: Observation) -> list[DueWindow]:
        """Take a frame and return the windows that it made due, for :meth:`predict`; raises what :meth:`feed` does."""
        began = time.perf_counter()
        frame = observation.frame
        if frame.persons:
            self._clock.tick(frame.time)
            self._check_clock(frame.time)
        return self._due(self._push(frame), observation, began)

    def end(self) -> list[DueWindow]:
        """The stream has ended: the windows of those who were there for less than one; raises what finish does."""
        began = time.perf_counter()
        wrong = self._clock.last_word()
        if wrong is not None and not self._live:
            raise DataError(f"the time stamps are no clock: {wrong}")
        return self._due(self._ended(list(self._windows)), None, began)

    def run(self, observations: Iterable[Observation]) -> Iterator[Prediction]:
        """Predictions of a whole stream; :meth:`feed` for every frame, then :meth:`finish`."""
        for observation in observations:
            yield from self.feed(observation)
        yield from self.finish()

    def _check_clock(self, now: float) -> None:
        if self._live:
            doubt = self._clock.doubt
        else:
            if (wrong := self._clock.verdict) is not None:
                raise DataError(f"the time stamps are no clock: {wrong}")
            doubt = self._clock.lapse
        if doubt is not None and not self.clock_failed:
            self.clock_failed = True
            self._note(f"no predictions from {now:.1f} s on, until the clock goes: {doubt}")

    def _push(self, frame: Frame) -> list[tuple[int, PersonWindow]]:
        """Add a frame to the windows of its persons; returns those that are due, or that have ended."""
        longest = self._manifest.window.max_gap
        due = self._ended([key for key, window in self._windows.items() if frame.time - window.last_seen > longest])
        if not frame.persons:
            self._missed(frame.time, ())
            return due
        seen = self._seen(frame)
        tracked = self._tracker.update(frame.time, seen, tracked=frame.tracked)
        seen = tracked.persons
        if tracked.distrusted is not None:
            self.own_ids = True
            self._note(
                f"person {tracked.distrusted} jumped at {frame.time:.1f} s: ids must follow a person. From here on "
                "they are given by place and movement"
            )
        if tracked.anew:
            due += self._ended([key for key in tracked.anew if key in self._windows])
            if not self.jumps:
                self._note(
                    f"person {min(tracked.anew)} jumped at {frame.time:.1f} s: ids must follow a person. A window "
                    "begins anew"
                )
            self.jumps += len(tracked.anew)
        self._missed(frame.time, seen)
        for key, keypoints in seen.items():
            window = self._windows.get(key)
            if window is None:
                window = PersonWindow(self._manifest.window, self._layout.bones)
                self._windows[key] = window
            if window.push(frame.time, keypoints) and self._clock.enough:
                due.append((key, window))
        return due

    def _seen(self, frame: Frame) -> dict[int, FloatArray]:
        """Keypoints ``(V, C)`` in the model's layout by id; a person of whom nothing is seen is not there."""
        self.check_layout(frame.layout)
        inputs = self._inputs_of[frame.layout]
        seen = {}
        for person in frame.persons:
            keypoints, _ = inputs.seen(person.keypoints, person.scores, "the stream")
            if np.isfinite(keypoints).all(axis=-1).any():
                seen[person.id] = keypoints
        return seen

    def _missed(self, now: float, seen: Container[int]) -> None:
        """Tell the windows of those who are not in a frame."""
        for key, window in self._windows.items():
            if key not in seen:
                window.miss(now)

    def _ended(self, keys: list[int]) -> list[tuple[int, PersonWindow]]:
        """Forget persons; returns those who were there for less than a window, and long enough for a prediction."""
        ended = [(key, self._windows.pop(key)) for key in keys]
        brief = [(key, window) for key, window in ended if window.unfinished()]
        enough = [(key, window) for key, window in brief if window.instants() >= self._instants]
        self.brief += len(brief)
        self.too_brief += len(brief) - len(enough)
        return enough

    @staticmethod
    def _due(
        windows: Sequence[tuple[int, PersonWindow]], observation: Observation | None, began: float
    ) -> list[DueWindow]:
        if not windows:
            return []
        contents = [window.contents() for _, window in windows]
        spent = (time.perf_counter() - began) * 1e3
        return [
            DueWindow(person, window.last_seen, held, observation, spent)
            for (person, window), held in zip(windows, contents, strict=True)
        ]

    def predict(self, due: Sequence[DueWindow]) -> list[Prediction]:
        """Run the model on windows that were due, all in one call."""
        if not due:
            return []
        began, now = time.perf_counter(), time.monotonic()
        cuts = [one.contents.cut(self._manifest.window.frames, self._layout.bones) for one in due]
        asked = [number for number, (_, seen) in enumerate(cuts) if seen >= self._enough]
        inputs = self._inputs(np.stack([cuts[number][0] for number in asked])) if asked else {}
        prepared = time.perf_counter()
        answers = dict(zip(asked, self._backend.run(inputs).probabilities, strict=True)) if asked else {}
        done = time.perf_counter()
        spent = ((prepared - began) * 1e3, (done - prepared) * 1e3)
        return [
            self._prediction(one, seen, answers.get(number), *self._latency(one, now, *spent))
            for number, (one, (_, seen)) in enumerate(zip(due, cuts, strict=True))
        ]

    def _latency(
        self, due: DueWindow, now: float, prepare: float, infer: float
    ) -> tuple[dict[str, float], float | None]:
        """Milliseconds of each stage; and the age of what is predicted, which of a file there is none."""
        observation = due.observation
        latency = dict(observation.latency_ms) if observation is not None else {}
        prepare += due.spent_ms
        if not self._live or observation is None or observation.captured is None:
            latency |= {"prepare": prepare, "infer": infer}
            latency["total"] = sum(latency.values())
            return latency, None
        age = (now - observation.captured) * 1e3
        waited = max(age - sum(latency.values()) - due.spent_ms, 0.0)
        latency |= {"wait": waited, "prepare": prepare, "infer": infer}
        latency["total"] = sum(latency.values())
        return latency, age + prepare - due.spent_ms + infer

    def _inputs(self, windows: FloatArray) -> dict[str, FloatArray]:
        """Keypoint windows ``(N, T, V, C)`` as the model's inputs."""
        if self._manifest.input == "keypoints":
            return {"keypoints": windows}
        if self._manifest.preprocessing is None:
            raise AssertionError("checked when the recognizer was made")
        pairs = [
            features(window, self._manifest.preprocessing, frames=self._manifest.window.frames) for window in windows
        ]
        return {"features": np.stack([x for x, _ in pairs]), "index_t": np.stack([t for _, t in pairs])}

    def _prediction(
        self,
        due: DueWindow,
        seen: float,
        probabilities: FloatArray | None,
        latency: Mapping[str, float],
        age: float | None,
    ) -> Prediction:
        person, last, source = due.person, due.time, self.source
        if probabilities is None or not np.isfinite(probabilities).all():
            self.not_enough_seen += probabilities is None
            self.not_finite += probabilities is not None
            reason = NOT_ENOUGH_SEEN if probabilities is None else NOT_FINITE
            nothing = np.full(len(self._labels), np.nan, dtype=np.float32)
            return Prediction(
                last, person, None, None, None, (), latency, seen, reason, source, age, wall_clock(age), nothing
            )
        best = np.argsort(-probabilities, kind="stable")[:TOP]
        top = tuple((self._labels.classes[i], float(probabilities[i])) for i in best)
        (label, probability), group = top[0], self._labels.group_of(int(best[0]))
        utc = wall_clock(age)
        return Prediction(
            last, person, label, probability, group, top, latency, seen, None, source, age, utc, probabilities
        )
