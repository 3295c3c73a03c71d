"""Windows of whole recordings, for networks that say several things at once, or nothing.

A window is drawn anywhere in a recording, rest included. Its target is soft: for each class the share of the window, or
of its last part, that an action of the class fills, or the share of the action that it holds, whichever is larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.synthetic import scenes
from mmn_edge.datasets.synthetic.clips import LAYOUT
from mmn_edge.errors import DataError
from mmn_edge.events.dataset import AnnotatedRecording, AnnotatedSet, open_annotated
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.events.naming import fit_labels
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.events.scoring import score
from mmn_edge.events.series import Model, Series
from mmn_edge.model import labels
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.model.task import DETECT
from mmn_edge.skeleton import layouts, mappings
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.missing import fill_missing, hide_unseen
from mmn_edge.system.words import some

__all__ = ["DetectionData", "DetectionWindow", "RecordingData", "SceneData", "Track", "cut", "targets", "tracks"]

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
        watched: From when to when anybody looked for actions, seconds.
    """

    name: str
    times: npt.NDArray[np.float64]
    keypoints: FloatArray
    spans: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    watched: tuple[float, float]


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


class DetectionData:
    """What the task detect trains on: windows of recordings, drawn anew every epoch, and recordings to validate on.

    Args:
        names: The classes.
        bones: Of the layout, for missing joints.
        validation: Recordings that are validated on, whole.
        window: The live window.
        focus: As for :func:`cut`.

    Attributes:
        labels: The classes.
        findings: What is odd about the data.
        decoder: The decoder's parameters to begin with.
        validation: All windows of the validation recordings, as live.
    """

    def __init__(
        self,
        names: Labels,
        bones: tuple[tuple[int, int], ...],
        validation: Sequence[Track],
        window: Window,
        focus: float,
    ) -> None:
        self.labels, self.findings = names, ()
        self.decoder = DecoderParameters.for_model(names, DETECT, window, focus=focus)
        self._bones, self._window, self._focus = bones, window, focus
        self._latest: tuple[int, Sequence[DetectionWindow]] = (-1, ())
        self._validation_tracks = tuple(validation)
        self.validation: list[DetectionWindow] = []
        self._ends: list[npt.NDArray[np.float64]] = []
        for track in self._validation_tracks:
            first, last = track.watched
            ends = np.arange(first + window.seconds, last, window.stride)
            windows = [self._cut(track, end) for end in ends]
            self._ends.append(ends[np.array([found is not None for found in windows], dtype=bool)])
            self.validation += [found for found in windows if found is not None]

    findings: tuple[str, ...]

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
            duration = track.watched[1]
            part = probabilities[first : first + len(ends)]
            first += len(ends)
            zeros, ones = np.zeros(len(ends), dtype=np.int64), np.ones(len(ends))
            series.append(Series(track.name, duration, ends, zeros, part, ones))
            recordings[track.name] = Recording(track.name, duration, None, track.watched)
            intervals += [
                Interval(track.name, start, end, self.labels.classes[number], "0")
                for (start, end), number in zip(track.spans.tolist(), track.classes.tolist(), strict=True)
            ]
        truth = AnnotationSet(tuple(intervals), recordings)
        scores = score(truth, model.annotations(series, self.decoder), labels=self.labels, resamples=0)
        return float(scores.measures["detection_map"] or 0.0)

    def _draw(self, number: int) -> Iterator[DetectionWindow]:
        """The windows of epoch ``number``."""
        raise NotImplementedError

    def _cut(self, track: Track, end: float) -> DetectionWindow | None:
        return cut(track, end, self._window, self._bones, self._focus, len(self.labels))


class SceneData(DetectionData):
    """Synthetic scenes: new ones every epoch, and validation scenes that no epoch holds.

    Args:
        size: Windows an epoch.
        validation_size: Scenes of 30 s to validate on.
        seed: Of all of them.
        window: The live window.
        focus: As for :func:`cut`.
    """

    def __init__(self, size: int, validation_size: int, seed: int, window: Window, focus: float) -> None:
        self._size, self._seed = size, seed
        names = labels.get("synthetic-scenes")
        validation = [self._track(0, index, 30.0, names) for index in range(validation_size)]
        super().__init__(names, layouts.get(LAYOUT).bones, validation, window, focus)

    def _draw(self, number: int) -> Iterator[DetectionWindow]:
        rng = np.random.default_rng((self._seed, number))
        missing, index = self._size, 0
        while missing > 0:
            track = self._track(number + 1, index, rng.uniform(*FPS), self.labels)
            index += 1
            for end in rng.uniform(self._window.seconds, track.times[-1], min(WINDOWS_A_SCENE, missing)):
                found = self._cut(track, end)
                if found is not None:
                    missing -= 1
                    yield found

    def _track(self, number: int, index: int, fps: float, names: Labels) -> Track:
        # A seed is one number: epochs and scenes of one data set never meet those of another below a million scenes.
        seed = (self._seed * 100_003 + number) * 10_007 + index
        # One scene in four is rest: what a live stream mostly sees, and where nothing may be found.
        rest = index % 4 == 3
        play = scenes.scene(SCENE_SECONDS, seed, fps=fps, activity=0.0 if rest else 1.0, fidgets=0.3 if rest else 0.12)
        return tracks(play, names, f"scene{seed}")[0]


class RecordingData(DetectionData):
    """Recordings with intervals, in a folder as :func:`mmn_edge.events.dataset.open_annotated` opens it.

    The column ``split`` of ``recordings.csv`` says which recordings are validated on; without it one in five is, and
    one at least, drawn at random. Windows are drawn from the others, from all the time that was watched, one for each
    second of it.

    Args:
        path: The folder, or the file of annotations.
        layout: The layout to bring the recordings to.
        names: The classes; None takes those of the folder.
        train: Name of the training split.
        validation: Name of the validation split.
        seed: Which windows are drawn, and which recordings are validated on where no split says so.
        window: The live window.
        focus: As for :func:`cut`.

    Raises:
        DataError: Fewer than two annotated recordings, unknown classes, or a recording that is broken.
        LayoutError: A recording cannot be brought to the layout.
    """

    def __init__(
        self,
        path: Path,
        layout: layouts.Layout,
        names: Labels | None,
        train: str,
        validation: str,
        seed: int,
        window: Window,
        focus: float,
    ) -> None:
        found = open_annotated(path)
        if len(found.recordings) < 2:
            raise DataError(
                f"{path} has {len(found.recordings)} annotated recordings, and one is needed to train on and another "
                "to validate on: cut a long one in two"
            )
        names = names or Labels(found.class_names)
        annotations = fit_labels(found.annotations, names, origin=path).by_recording()
        recordings = [replace(one, intervals=annotations[one.name]) for one in found.recordings]
        held, note = _held_out(found, train, validation, seed)
        parts: tuple[list[Track], list[Track]] = ([], [])
        for one in recordings:
            if one.name in held:
                parts[held[one.name]].extend(_recorded(one, layout, names))
        self._tracks, self._seed = parts[0], seed
        super().__init__(names, layout.bones, parts[1], window, focus)
        self._lengths = np.array(
            [max(end - start - window.seconds, 0.0) for start, end in (t.watched for t in parts[0])]
        )
        if not self._lengths.any() or not self.validation:
            raise DataError(
                f"{path}: no recording to train or validate on is longer than a window of {window.seconds:g} s"
            )
        absent = f"{len(found.absent)} annotated recordings are not there: {some(found.absent)}"
        self.findings = (*([absent] if found.absent else []), *([note] if note else []))

    def _draw(self, number: int) -> Iterator[DetectionWindow]:
        rng = np.random.default_rng((self._seed, number))
        size = max(int(self._lengths.sum()), 64)
        for index in rng.choice(len(self._tracks), size=size, p=self._lengths / self._lengths.sum()):
            track = self._tracks[index]
            end = track.watched[0] + self._window.seconds + rng.uniform(0.0, self._lengths[index])
            found = self._cut(track, end)
            if found is not None:
                yield found


def _held_out(found: AnnotatedSet, train: str, validation: str, seed: int) -> tuple[dict[str, int], str]:
    """For each recording that is used 0 to train on it and 1 to validate on it, and what is to be said of that."""
    listed = {name: entry.split for name, entry in found.annotations.recordings.items()}
    names = [one.name for one in found.recordings]
    if any(listed.values()):
        sides = {name: (train, validation).index(listed[name]) for name in names if listed[name] in (train, validation)}
        for number, split in enumerate((train, validation)):
            if number not in sides.values():
                known = some(sorted(set(listed.values()) - {""}))
                raise DataError(f"{found.path} has no recording in split {split!r}: recordings.csv has {known}")
        return sides, ""
    order = np.random.default_rng(seed).permutation(len(names))
    held = sorted(names[index] for index in order[: max(len(names) // 5, 1)])
    note = (
        f"recordings.csv has no column split: {len(held)} of {len(names)} recordings, drawn at random, are validated on"
    )
    return {name: int(name in held) for name in names}, f"{note}: {some(held)}"


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
            (0.0, float(times[-1])),
        )
        for person, movements in enumerate(scene.movements)
    ]


def _recorded(recording: AnnotatedRecording, layout: layouts.Layout, names: Labels) -> list[Track]:
    """Every person of an annotated recording as a track in ``layout``."""
    own, persons = recording.read()
    mapping = mappings.get(own, layout.name)
    number = {label: index for index, label in enumerate(names.classes)}
    found = []
    for person in persons:
        if person.keypoints.shape[2] < layout.channels:
            raise DataError(f"{recording.path} has 2 coordinates a joint, and layout {layout.name} has 3")
        keypoints, _ = mapping.apply(person.keypoints[..., : layout.channels], person.scores)
        actions = [entry for entry in person.intervals if entry.group is None]
        first, last = float(person.times[0]), float(person.times[-1])
        start, end = recording.watched or (first, last)
        found.append(
            Track(
                f"{recording.name}:{person.person}",
                person.times,
                keypoints,
                np.array([(entry.start, entry.end) for entry in actions], dtype=np.float64).reshape(-1, 2),
                np.array([number[entry.label] for entry in actions], dtype=np.int64),
                (max(start, first), max(min(end, last), max(start, first) + 1e-3)),
            )
        )
    return found
