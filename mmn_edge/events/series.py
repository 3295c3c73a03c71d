"""A recording's predictions, kept, so that they can be decoded again and again; and what the decoder makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.events.decoder import Event, decode
from mmn_edge.events.interval import AnnotationSet, Interval, Recording, group_label
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.skeleton.frame import FloatArray

__all__ = ["ANNOTATOR", "Model", "Series", "interval_of"]

ANNOTATOR = "mmn-edge"
"""Who annotated what a model found."""


@dataclass(frozen=True, eq=False)
class Series:
    """The predictions of a recording, N of them in order of time.

    Attributes:
        recording: Its name.
        duration: Seconds.
        times: ``(N,)``, of the windows' last frames.
        persons: ``(N,)``, ids.
        probabilities: ``(N, K)``.
        seen: ``(N,)``, share of joints that were really seen.
    """

    recording: str
    duration: float
    times: npt.NDArray[np.float64]
    persons: npt.NDArray[np.int64]
    probabilities: FloatArray
    seen: npt.NDArray[np.float64]

    def __iter__(self) -> Iterator[tuple[float, int, npt.NDArray[Any], float]]:
        """Time, person, probabilities and share seen of each."""
        return zip(self.times.tolist(), self.persons.tolist(), self.probabilities, self.seen.tolist(), strict=True)


@dataclass(frozen=True)
class Model:
    """What a decoder must know of the model that predicted.

    Attributes:
        labels: Its classes.
        task: One of :data:`mmn_edge.model.task.TASKS`.
        window: The live window.
    """

    labels: Labels
    task: str
    window: Window

    def events(self, series: Series, parameters: DecoderParameters, *, look_ahead: bool = False) -> list[Event]:
        """All that the decoder says of a recording; see :func:`mmn_edge.events.decoder.decode`."""
        predictions = list(series)
        return list(decode(self.labels, parameters, self.task, self.window, predictions, look_ahead=look_ahead))

    def annotations(
        self, series: Iterable[Series], parameters: DecoderParameters, *, look_ahead: bool = False
    ) -> AnnotationSet:
        """The events of recordings as a set of annotations; each was watched from its beginning to its end."""
        intervals: list[Interval] = []
        recordings = {}
        for one in series:
            recordings[one.recording] = Recording(one.recording, one.duration, None, (0.0, one.duration))
            found = self.events(one, parameters, look_ahead=look_ahead)
            intervals += [interval_of(event, one.recording) for event in found if event.kind == "end"]
        return AnnotationSet(tuple(intervals), recordings)


def interval_of(event: Event, recording: str) -> Interval:
    """An event that has ended, as an interval of a recording; its column ``emitted`` says when its start was said."""
    label = group_label(event.label) if event.level == "group" else event.label
    onset, offset, score = round(event.onset, 6), round(event.offset, 6), round(event.score, 6)
    return Interval(
        recording,
        onset,
        max(offset, onset + 1e-6),
        label,
        str(event.person),
        score,
        ANNOTATOR,
        (("emitted", repr(round(event.emitted, 6))),),
    )
