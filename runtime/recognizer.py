"""From skeleton frames to predictions: map the joints, slide the windows, run the model."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import BundleError, LayoutError
from mmn_edge.model.labels import Labels
from mmn_edge.runtime.backends.backend import Backend
from mmn_edge.runtime.sliding_window import PersonWindow
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.skeleton import layouts, mappings
from mmn_edge.skeleton.frame import FloatArray, Frame
from mmn_edge.skeleton.preprocess import features

__all__ = ["Prediction", "Recognizer"]

TOP = 5


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one window of one person was taken for.

    Attributes:
        time: Time of the window's last frame, seconds in the stream.
        person: The person's id.
        label: The likeliest class.
        probability: Its probability.
        group: Its body-level group; None where the model has none.
        top: The five likeliest classes with their probabilities, first the likeliest.
        latency_ms: Milliseconds spent in each stage for this prediction, and their ``total``.
    """

    time: float
    person: int
    label: str
    probability: float
    group: str | None
    top: tuple[tuple[str, float], ...]
    latency_ms: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values: one line of ``mmn-edge run``."""
        return {
            "time": round(self.time, 6),
            "person": self.person,
            "label": self.label,
            "probability": round(self.probability, 6),
            "group": self.group,
            "top5": [{"label": name, "probability": round(p, 6)} for name, p in self.top],
            "latency_ms": {stage: round(ms, 3) for stage, ms in self.latency_ms.items()},
        }


class Recognizer:
    """Feeds frames of any mappable layout through a model, all persons due at a frame in one batch.

    Args:
        bundle: The model's bundle.
        backend: The model, loaded.

    Raises:
        BundleError: The bundle does not say what its joints are, or is for several persons at once.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
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
        self._mappings: dict[str, mappings.Mapping] = {}

    def check_layout(self, layout: str) -> None:
        """Raise LayoutError if a stream in ``layout`` cannot be fed to the model."""
        if layout not in self._mappings:
            self._mappings[layout] = mappings.get(layout, self._layout.name)

    def feed(self, observation: Observation) -> list[Prediction]:
        """Take a frame and return the predictions that it made due.

        Raises:
            LayoutError: The frame's layout cannot be mapped to the model's, or it has too few coordinates.
        """
        began = time.perf_counter()
        frame = observation.frame
        due = self._push(frame)
        return self._predict(due, observation.latency_ms, began)

    def run(self, observations: Iterable[Observation]) -> Iterator[Prediction]:
        """Predictions of a whole stream; where it is shorter than a window, one for each person at its end."""
        predicted = False
        for observation in observations:
            for prediction in self.feed(observation):
                predicted = True
                yield prediction
        if not predicted:
            short = [(person, window) for person, window in self._windows.items() if window.unfinished()]
            yield from self._predict(short, {}, time.perf_counter())

    def _push(self, frame: Frame) -> list[tuple[int, PersonWindow]]:
        """Add a frame to the windows of its persons; returns those that are due."""
        longest = self._manifest.window.max_gap
        gone = [key for key, window in self._windows.items() if frame.time - window.last_seen > longest]
        for key in gone:
            del self._windows[key]
        if not frame.persons:
            return []
        self.check_layout(frame.layout)
        channels = self._manifest.architecture.in_channels
        due = []
        for person in frame.persons:
            if person.keypoints.shape[1] < channels:
                raise LayoutError(
                    f"the stream has {person.keypoints.shape[1]} coordinates per joint, and the model needs {channels}"
                )
            keypoints, _ = self._mappings[frame.layout].apply(person.keypoints[:, :channels], person.scores)
            if not np.isfinite(keypoints).all(axis=-1).any():
                continue  # a person of whom nothing is seen is not there
            window = self._windows.get(person.id)
            if window is None:
                window = PersonWindow(self._manifest.window, self._layout.bones)
                self._windows[person.id] = window
            if window.push(frame.time, keypoints):
                due.append((person.id, window))
        return due

    def _predict(
        self, due: list[tuple[int, PersonWindow]], earlier: Mapping[str, float], began: float
    ) -> list[Prediction]:
        cuts = [(person, window.last_seen, cut) for person, window in due if (cut := window.cut()) is not None]
        if not cuts:
            return []
        inputs = self._inputs(np.stack([cut for _, _, cut in cuts]))
        prepared = time.perf_counter()
        output = self._backend.run(inputs)
        done = time.perf_counter()
        latency = {**earlier, "prepare": (prepared - began) * 1e3, "infer": (done - prepared) * 1e3}
        latency["total"] = sum(latency.values())
        return [
            self._prediction(last_seen, person, probabilities, latency)
            for (person, last_seen, _), probabilities in zip(cuts, output.probabilities, strict=True)
        ]

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
        self, last_seen: float, person: int, probabilities: FloatArray, latency: Mapping[str, float]
    ) -> Prediction:
        best = np.argsort(-probabilities, kind="stable")[:TOP]
        top = tuple((self._labels.classes[i], float(probabilities[i])) for i in best)
        return Prediction(last_seen, person, top[0][0], top[0][1], self._labels.group_of(int(best[0])), top, latency)
