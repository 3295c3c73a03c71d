"""Windows of whole recordings, for networks that say several things at once, or nothing.

A window is drawn anywhere in a recording, rest included. Its target is soft: for each class the share of the window, or
of its last part, that an action of the class fills, or the share of the action that it holds, whichever is larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.synthetic import scenes
from mmn_edge.datasets.synthetic.clips import LAYOUT
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.events.scoring import score
from mmn_edge.events.series import Model, Series
from mmn_edge.model import labels
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.model.task import DETECT
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.missing import fill_missing, hide_unseen

__all__ = ["DetectionWindow", "SceneData", "Track", "cut", "targets", "tracks"]

SCENE_SECONDS = 30.0
WINDOWS_A_SCENE = 26
FPS = (12.0, 60.0)
_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class DetectionWindow:
    """A window with what goes on in it.

    Attributes:
        name: Where it was cut from.
        label: ``(K,)`` float32, 0 to 1: how much of each class it holds.
        keypoints: ``(L, V, C)``, every joint filled in.
    """

    name: str
    label: FloatArray
    keypoints: FloatArray


@dataclass(frozen=True, eq=False)
class Track:
    """One person of a recording, with the truth.

    Attributes:
        name: Of the recording and the person.
        times: ``(L,)``, seconds, rising.
        keypoints: ``(L, V, C)``, NaN where a joint was not seen.
        spans: ``(N, 2)``, onset and offset of each action, seconds.
        classes: ``(N,)``, class of each.
    """

    name: str
    times: npt.NDArray[np.float64]
    keypoints: FloatArray
    spans: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]


def targets(track: Track, end: float, seconds: float, classes: int) -> FloatArray:
    """Soft targets ``(K,)`` of the ``seconds`` before ``end``: how full they are of each class, 0 to 1."""
    target = np.zeros(classes, dtype=np.float32)
    if not len(track.spans):
        return target
    onset, offset = track.spans.T
    held = np.clip(np.minimum(offset, end) - np.maximum(onset, end - seconds), 0.0, None)
    share = held / np.maximum(np.minimum(seconds, offset - onset), 1e-9)
    np.maximum.at(target, track.classes, share.astype(np.float32))
    return target


def cut(
    track: Track, end: float, window: Window, bones: Sequence[tuple[int, int]], focus: float, classes: int
) -> DetectionWindow | None:
    """The window of ``window.seconds`` that ends at ``end``, as the live window is; None where too little is there.

    Args:
        track: What to cut from.
        end: Seconds.
        window: Its length.
        bones: Of the layout, for missing joints.
        focus: Share of the window, up to its end, that the target speaks of; 1: all of it.
        classes: K.
    """
    first, last = np.searchsorted(track.times, (end - window.seconds - _SLACK, end + _SLACK))
    if last - first < 2 or not np.isfinite(track.keypoints[first:last]).any():
        return None
    label = targets(track, end, focus * window.seconds, classes)
    return DetectionWindow(f"{track.name}@{end:.2f}", label, fill_missing(track.keypoints[first:last], bones))


class SceneData:
    """Synthetic scenes: new ones every epoch, and validation scenes that no epoch holds.

    Args:
        size: Windows an epoch.
        validation_size: Scenes of 30 s to validate on.
        seed: Of all of them.
        window: The live window.
        focus: As for :func:`cut`.
    """

    def __init__(self, size: int, validation_size: int, seed: int, window: Window, focus: float) -> None:
        self.labels: Labels = labels.get("synthetic-scenes")
        self.findings: tuple[str, ...] = ()
        self._size, self._seed, self._window, self._focus = size, seed, window, focus
        self._bones = layouts.get(LAYOUT).bones
        self.decoder = DecoderParameters.for_model(self.labels, DETECT, window, focus=focus)
        self._latest: tuple[int, Sequence[DetectionWindow]] = (-1, ())
        self._validation_tracks = [self._track(0, index, 30.0) for index in range(validation_size)]
        self.validation: list[DetectionWindow] = []
        self._ends: list[npt.NDArray[np.float64]] = []
        for track in self._validation_tracks:
            ends = np.arange(window.seconds, track.times[-1], window.stride)
            windows = [cut(track, end, window, self._bones, focus, len(self.labels)) for end in ends]
            seen = np.array([found is not None for found in windows])
            self._ends.append(ends[seen])
            self.validation += [found for found in windows if found is not None]

    def epoch(self, number: int) -> Sequence[DetectionWindow]:
        """The windows of epoch ``number``, counted from 0."""
        if self._latest[0] != number:
            self._latest = (number, list(self._draw(number)))
        return self._latest[1]

    def event_score(self, probabilities: FloatArray) -> float:
        """Detection mAP of the events that the decoder makes of the validation windows' probabilities ``(N, K)``.

        By the same decoder and scoring as live and in evaluation, with the decoder's parameters as they are to begin
        with.
        """
        model = Model(self.labels, DETECT, self._window)
        series, intervals, recordings, first = [], [], {}, 0
        for track, ends in zip(self._validation_tracks, self._ends, strict=True):
            duration = float(track.times[-1])
            part = probabilities[first : first + len(ends)]
            first += len(ends)
            zeros, ones = np.zeros(len(ends), dtype=np.int64), np.ones(len(ends))
            series.append(Series(track.name, duration, ends, zeros, part, ones))
            recordings[track.name] = Recording(track.name, duration, None, (0.0, duration))
            intervals += [
                Interval(track.name, start, end, self.labels.classes[number], "0")
                for (start, end), number in zip(track.spans.tolist(), track.classes.tolist(), strict=True)
            ]
        truth = AnnotationSet(tuple(intervals), recordings)
        scores = score(truth, model.annotations(series, self.decoder), labels=self.labels, resamples=0)
        return float(scores.measures["detection_map"] or 0.0)

    def _draw(self, number: int) -> Iterator[DetectionWindow]:
        rng = np.random.default_rng((self._seed, number))
        missing, index = self._size, 0
        while missing > 0:
            track = self._track(number + 1, index, rng.uniform(*FPS))
            index += 1
            for end in rng.uniform(self._window.seconds, track.times[-1], min(WINDOWS_A_SCENE, missing)):
                found = cut(track, end, self._window, self._bones, self._focus, len(self.labels))
                if found is not None:
                    missing -= 1
                    yield found

    def _track(self, number: int, index: int, fps: float) -> Track:
        # A seed is one number: epochs and scenes of one data set never meet those of another below a million scenes.
        seed = (self._seed * 100_003 + number) * 10_007 + index
        # One scene in four is rest: what a live stream mostly sees, and where nothing may be found.
        rest = index % 4 == 3
        play = scenes.scene(SCENE_SECONDS, seed, fps=fps, activity=0.0 if rest else 1.0, fidgets=0.3 if rest else 0.12)
        return tracks(play, self.labels, f"scene{seed}")[0]


def tracks(scene: scenes.Scene, names: Labels, name: str) -> list[Track]:
    """Every person of a scene as a track."""
    frames = list(scene.frames())
    times = np.array([frame.time for frame in frames])
    number = {label: index for index, label in enumerate(names.classes)}
    return [
        Track(
            f"{name}:{person}",
            times,
            np.stack(
                [hide_unseen(frame.persons[person].keypoints, frame.persons[person].scores)[0] for frame in frames]
            ),
            np.array([(s.start, s.end) for s in movements], dtype=np.float64).reshape(-1, 2),
            np.array([number[s.label] for s in movements], dtype=np.int64),
        )
        for person, movements in enumerate(scene.movements)
    ]
