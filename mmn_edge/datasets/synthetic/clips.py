"""Synthetic micro-actions: skeleton clips, data sets and streams with known truth, in layout ``ma52``.

A kinematic body (:mod:`mmn_edge.datasets.synthetic.body`) performs micro-actions
(:mod:`mmn_edge.datasets.synthetic.movements`) before a
pinhole camera; the keypoints then get what a pose estimator adds: jitter, outliers, missing joints. All of it
follows from a seed. Models trained on it show that the pipeline works; they say nothing about real people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmn_edge.datasets.synthetic.body import Array, Body, Posture, joints, rotation
from mmn_edge.datasets.synthetic.movements import CLASS_GROUPS, CLASSES, FIDGETS, GROUPS, Performance, perform
from mmn_edge.errors import UsageError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray, Frame, Person

__all__ = [
    "CLASSES",
    "CLASS_GROUPS",
    "GROUPS",
    "LAYOUT",
    "Actor",
    "Segment",
    "Session",
    "Subject",
    "annotation",
    "clip",
    "dataset",
    "fidgets_between",
    "play",
    "script",
]

LAYOUT = "ma52"
"""The skeleton layout of everything made here."""

_ACTIONS = CLASSES[1:]
_RESOLUTIONS = ((640, 480), (1280, 720), (1920, 1080))
_BLOCK = 256  # frames that a session renders at a time


@dataclass(frozen=True)
class Segment:
    """A movement in time: it goes on from ``start`` to ``end``, in seconds, ways to and fro included."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class _Camera:
    """A pinhole camera in front of the body, which it sees anatomical left on the image's right."""

    turn: Array  # (3, 3), body frame to the camera's axes
    middle: Array  # (3,), the point of the body that the camera turns about
    focal: float
    distance: float
    centre: Array  # (2,), pixels
    width: int  # of the image, pixels

    @classmethod
    def random(cls, body: Body, posture: Posture, rng: np.random.Generator) -> _Camera:
        width, height = _RESOLUTIONS[rng.integers(len(_RESOLUTIONS))]
        angles = np.radians((rng.uniform(-8, 8), rng.uniform(-25, 25), rng.uniform(-4, 4)))
        top = body.torso + body.neck + 0.2 * body.head
        bottom = float(posture.toes[:, 1].min())
        focal = rng.uniform(0.9, 1.5) * height
        distance = focal * (top - bottom) / (rng.uniform(0.5, 0.9) * height)
        centre = np.array((0.5, 0.5)) + rng.uniform(-1, 1, 2) * (0.12, 0.04)
        middle = np.array((0.0, 0.5 * (top + bottom), 0.0))
        return cls(rotation(angles), middle, focal, max(distance, 1.2), centre * (width, height), width)

    def project(self, points: Array) -> Array:
        """Pixels ``(T, V, 2)`` of points ``(T, V, 3)``."""
        seen = (points - self.middle) @ self.turn.T
        scale = self.focal / (self.distance - seen[..., 2:])
        return self.centre + seen[..., :2] * (1.0, -1.0) * scale


@dataclass(frozen=True)
class _Sensor:
    """What a pose estimator adds to the truth."""

    jitter: Array  # (V,), pixels
    bias: Array  # (V, 2), pixels
    outliers: float  # share of joints that are far off
    drops: float  # share of joints missing for a single frame
    gaps: float  # times per second that a hand is lost for a while
    score: Array  # (V,), typical confidence

    @classmethod
    def random(cls, torso: float, rng: np.random.Generator) -> _Sensor:
        """A sensor before which the torso is ``torso`` pixels long."""
        return cls(
            jitter=torso * rng.uniform(0.002, 0.008) * _NOISE,
            bias=torso * 0.012 * rng.normal(size=(len(_NOISE), 2)) * _NOISE[:, None],
            outliers=0.01 if rng.random() < 0.3 else 0.0,
            drops=rng.uniform(0.0, 0.01),
            gaps=rng.uniform(0.0, 0.25),
            score=np.clip(rng.normal(0.93, 0.02) - 0.09 * (_NOISE - 0.6), 0.5, 1.0),
        )

    def read(self, points: Array, times: Array, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Keypoints ``(T, V, 2)`` and scores ``(T, V)`` read from true pixels."""
        frames, count = points.shape[:2]
        spread = np.repeat(self.jitter[None], frames, axis=0)
        doubt = np.abs(rng.normal(0.0, 0.04, (frames, count)))
        lottery = rng.random((frames, count))
        off = lottery < self.outliers
        spread[off] *= 8.0
        doubt[off] += 0.3
        keypoints = points + self.bias + rng.normal(size=points.shape) * spread[..., None]
        scores = np.clip(self.score - doubt, 0.05, 1.0)
        missing = lottery > 1.0 - self.drops
        span = times[-1] - times[0] + 0.1
        for hand in _HAND_JOINTS:
            for start in times[0] - 0.1 + rng.random(rng.poisson(self.gaps * span)) * span:
                first, last = np.searchsorted(times, (start, start + rng.uniform(0.1, 0.5)))
                missing[first:last, hand] = True
        keypoints[missing] = np.nan
        scores[missing] = 0.0
        return keypoints.astype(np.float32), scores.astype(np.float32)


_JOINTS = layouts.get(LAYOUT).joints
_HAND_JOINTS = tuple(
    [i for i, joint in enumerate(_JOINTS) if joint.startswith(side) and joint.endswith(("_root", "_tip"))]
    for side in ("left_", "right_")
)
# Estimators are surest of the face (0.6), least sure of hips, fingers and feet.
_NOISE_OF = {
    **{"head": 1.2, "neck": 0.9, "shoulder": 1.0, "elbow": 1.1, "wrist": 1.1, "hand_root": 1.1},
    **{"hip": 1.5, "knee": 1.2, "ankle": 1.2, "heel": 1.4, "big_toe": 1.4, "small_toe": 1.4},
    **{f"{finger}_tip": 1.6 for finger in ("thumb", "index", "middle", "ring", "pinky")},
}
_NOISE = np.array([_NOISE_OF.get(j.removeprefix("left_").removeprefix("right_"), 0.6) for j in _JOINTS])

# Slow drift by three sines a channel: pelvis (metres), torso and head (radians), wrists (metres).
_DRIFT = np.concatenate([np.full(3, 0.004), np.radians([0.7, 0.6, 0.5, 1.2, 1.5, 0.8]), np.full(6, 0.003)])


@dataclass(frozen=True)
class Subject:
    """One person before one camera.

    Attributes:
        body: Whose.
        posture: How they sit or stand.
        camera: What sees them.
        sensor: What reads their joints off the image.
        breath: Radians of the shoulders, breaths per second, phase.
        drift: ``(2, 15, 3)``, radians per second and phases of a slow wandering.
    """

    body: Body
    posture: Posture
    camera: _Camera
    sensor: _Sensor
    breath: tuple[float, float, float]
    drift: Array

    @classmethod
    def random(cls, rng: np.random.Generator) -> Subject:
        """Another person before another camera."""
        body = Body.random(rng)
        posture = Posture.random(body, rng)
        camera = _Camera.random(body, posture, rng)
        sensor = _Sensor.random(body.torso * camera.focal / camera.distance, rng)
        breath = (np.radians(rng.uniform(0.5, 1.5)), rng.uniform(0.2, 0.35), rng.uniform(0, 2 * np.pi))
        drift = 2 * np.pi * rng.random((2, len(_DRIFT), 3))
        drift[0] *= 0.4
        return cls(body, posture, camera, sensor, breath, drift)

    def points(self, performances: Sequence[Performance], times: Array) -> Array:
        """True joints ``(T, V, 3)`` in the body frame, metres, at ``times`` ``(T,)``, seconds."""
        pose = self.posture.hold(len(times))
        depth, rate, phase = self.breath
        breath = depth * np.sin(2 * np.pi * rate * times + phase)
        drift = np.sin(times[:, None, None] * self.drift[0] + self.drift[1]).sum(-1) * (_DRIFT * 0.8)
        pose.pelvis += drift[:, :3]
        pose.trunk += drift[:, 3:9].reshape(-1, 2, 3)
        pose.trunk[:, 0, 0] -= 0.3 * breath
        pose.shrug += breath[:, None]
        pose.anchor[:, :, :3] += drift[:, 9:].reshape(-1, 2, 3)
        for performance in performances:
            perform(performance, pose, times, self.body, self.posture)
        return joints(self.body, pose)

    def film(
        self, performances: Sequence[Performance], times: Array, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Keypoints ``(T, V, 2)`` and scores ``(T, V)`` as the sensor gives them."""
        return self.sensor.read(self.camera.project(self.points(performances, times)), times, rng)


@dataclass(frozen=True)
class Actor:
    """One person of a stream, and what they do.

    Attributes:
        subject: The person, before a camera of their own.
        performances: Movements and fidgets, in any order.
        left: Pixels by which their image is moved to the right, so that several stand side by side.
    """

    subject: Subject
    performances: tuple[Performance, ...]
    left: float = 0.0


def play(actors: Sequence[Actor], seconds: float, fps: float, rng: np.random.Generator) -> Iterator[Frame]:
    """Film actors for some time: persons 0, 1, ... at uneven times, a frame lost now and then."""
    count = int(np.ceil(seconds * fps))
    for first in range(0, count, _BLOCK):
        ticks = np.arange(first, min(first + _BLOCK, count))
        late = np.clip(rng.normal(0.0, 0.003, len(ticks)), -0.3 / fps, 0.3 / fps)
        times = np.maximum(ticks / fps + late, 0.0)
        kept = rng.random(len(ticks)) >= 0.01
        if first == 0:
            times[0], kept[0] = 0.0, True
        times = times[kept]
        if not len(times):
            continue
        films = []
        for actor in actors:
            playing = [p for p in actor.performances if p.end > times[0] and p.start < times[-1]]
            keypoints, scores = actor.subject.film(playing, times, rng)
            if actor.left:
                keypoints[..., 0] += actor.left
            films.append((keypoints, scores))
        for index, time in enumerate(times.tolist()):
            persons = tuple(Person(i, points[index], score[index]) for i, (points, score) in enumerate(films))
            yield Frame(time, LAYOUT, persons)


def fidgets_between(start: float, end: float, per_second: float, rng: np.random.Generator) -> list[Performance]:
    """Movements that are no class, ``per_second`` of them on average, each of 2 to 5 s."""
    fidgets = []
    for _ in range(rng.poisson(per_second * (end - start))):
        name = FIDGETS[rng.integers(len(FIDGETS))]
        begin, length = rng.uniform(start - 2.0, end), rng.uniform(2.0, 5.0)
        fidgets.append(Performance.random(name, begin, begin + length, rng))
    return fidgets


def clip(
    label: str, rng: np.random.Generator, *, seconds: float = 2.0, fps: float = 30.0
) -> tuple[FloatArray, FloatArray]:
    """A window of a stream, of a new person each time, as a live recogniser gets it.

    The movement covers at least 60 % of the window at a random phase: it may go on already at the start, or
    end before the end. A window of rest holds stillness or fidgets, and at most 15 % of it are a movement.

    Args:
        label: One of :data:`CLASSES`.
        rng: The only source of randomness.
        seconds: Length of the window.
        fps: Frames per second.

    Returns:
        Keypoints ``(T, 44, 2)``, pixels, NaN where a joint is missing, and scores ``(T, 44)``, 0 there.

    Raises:
        UsageError: No such class, or a window of less than two frames.
    """
    if label not in CLASSES:
        raise UsageError(f"unknown synthetic class {label!r}: choose one of {', '.join(CLASSES)}")
    frames = round(seconds * fps) if seconds > 0 and fps > 0 else 0
    if frames < 2:
        raise UsageError(f"a synthetic clip of {seconds} s at {fps} frames per second has less than two frames")
    subject = Subject.random(rng)
    times = np.arange(frames) / fps
    length = rng.uniform(max(1.5, 0.6 * seconds), max(4.0, seconds))
    if label != "rest":
        performances = fidgets_between(0.0, seconds, 0.15, rng)
        start = rng.uniform(0.6 * seconds - length, 0.4 * seconds)
        performances.append(Performance.random(label, start, start + length, rng))
    else:
        performances = fidgets_between(0.0, seconds, 0.6, rng)
        if rng.random() < 0.4:  # the edge of a movement, before or after
            other = _ACTIONS[rng.integers(len(_ACTIONS))]
            part = rng.uniform(0.0, 0.15) * seconds
            start = seconds - part if rng.random() < 0.5 else part - length
            performances.append(Performance.random(other, start, start + length, rng))
    return subject.film(performances, times, rng)


def annotation(
    index: int,
    seed: int,
    *,
    fps: tuple[float, float] = (12.0, 60.0),
    seconds: tuple[float, float] = (1.8, 2.2),
) -> dict[str, Any]:
    """Item ``index`` of a data set, alone: it depends on nothing but its arguments.

    Args:
        index: Which; classes take turns, so that any run of ``len(CLASSES)`` items holds each once.
        seed: Of the data set.
        fps: Range of frames per second.
        seconds: Range of window lengths.

    Returns:
        An annotation as in PYSKL and MMAction2: ``frame_dir``, ``label``, ``total_frames``, ``keypoint``
        ``(1, T, 44, 2)`` float32 and ``keypoint_score`` ``(1, T, 44)`` float32.
    """
    rng = np.random.default_rng((seed, index))
    label = index % len(CLASSES)
    keypoints, scores = clip(CLASSES[label], rng, seconds=rng.uniform(*seconds), fps=rng.uniform(*fps))
    return {
        "frame_dir": f"synthetic_{seed}_{index:06d}",
        "label": label,
        "total_frames": len(keypoints),
        "keypoint": keypoints[None],
        "keypoint_score": scores[None],
    }


def dataset(
    size: int,
    seed: int,
    *,
    fps: tuple[float, float] = (12.0, 60.0),
    seconds: tuple[float, float] = (1.8, 2.2),
) -> list[dict[str, Any]]:
    """The first ``size`` annotations of the data set of a seed, see :func:`annotation`."""
    return [annotation(index, seed, fps=fps, seconds=seconds) for index in range(size)]


@dataclass(frozen=True)
class Session:
    """A scripted recording of one person, with the truth.

    Attributes:
        seconds: Its length.
        seed: What it follows from, with the length and the frame rate.
        fps: Nominal frames per second.
        segments: The movements, in order; what lies between is rest.
    """

    seconds: float
    seed: int
    fps: float
    segments: tuple[Segment, ...]
    _subject: Subject = field(repr=False)
    _performances: tuple[Performance, ...] = field(repr=False)

    def frames(self) -> Iterator[Frame]:
        """The frames, the same every time: one person, id 0, at uneven times, a frame lost now and then."""
        actor = Actor(self._subject, self._performances)
        return play([actor], self.seconds, self.fps, np.random.default_rng((self.seed, 1)))


def script(seconds: float, seed: int, fps: float = 30.0) -> Session:
    """Script a session: movements of 2 to 4 s between rests of 1.5 to 4 s, every class about equally often.

    Args:
        seconds: Length; no movement goes on at its end.
        seed: Other seeds give other people and other orders.
        fps: Frames per second.

    Raises:
        UsageError: A length or frame rate that is not positive.
    """
    if not (seconds > 0 and fps > 0):
        raise UsageError(f"a synthetic session of {seconds} s at {fps} frames per second makes no sense")
    rng = np.random.default_rng((seed, 0))
    subject = Subject.random(rng)
    segments: list[Segment] = []
    performances: list[Performance] = []
    bag: list[str] = []
    time = rng.uniform(1.5, 4.0)
    while (end := time + rng.uniform(2.0, 4.0)) < seconds:
        if not bag:
            bag = [str(name) for name in rng.permutation(_ACTIONS)]
            if segments and bag[-1] == segments[-1].label:
                bag.reverse()
        label = bag.pop()
        segments.append(Segment(time, end, label))
        performances.append(Performance.random(label, time, end, rng))
        time = end + rng.uniform(1.5, 4.0)
    performances += fidgets_between(0.0, seconds, 0.12, rng)
    return Session(seconds, seed, fps, tuple(segments), subject, tuple(performances))
