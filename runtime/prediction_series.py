"""A recording's predictions as a series, for whatever decodes them more than once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.events.series import Model, Series
from mmn_edge.runtime.backends.backend import Backend
from mmn_edge.runtime.recognizer import Recognizer
from mmn_edge.runtime.sources.source import Observation

__all__ = ["model_of", "predict_series"]


def model_of(bundle: Bundle) -> Model:
    """What a decoder must know of a bundle's model."""
    manifest = bundle.manifest
    return Model(manifest.labels, manifest.task, manifest.window)


def predict_series(bundle: Bundle, backend: Backend, observations: Iterable[Observation], recording: str) -> Series:
    """Run a whole recording through a model.

    Args:
        bundle: The model.
        backend: It, loaded.
        observations: The recording's frames.
        recording: Its name.

    Raises:
        LayoutError: The frames cannot be mapped to the model's layout.
        DataError: The time stamps are no clock.
    """
    recognizer = Recognizer(bundle, backend)
    last = 0.0
    found = []
    for observation in observations:
        last = observation.frame.time
        found += recognizer.feed(observation)
    found += recognizer.finish()
    classes = len(bundle.manifest.labels)
    return Series(
        recording,
        max(last, 1e-3),
        np.array([prediction.time for prediction in found], dtype=np.float64),
        np.array([prediction.person for prediction in found], dtype=np.int64),
        np.array([prediction.probabilities for prediction in found], dtype=np.float32).reshape(-1, classes),
        np.array([prediction.seen for prediction in found], dtype=np.float64),
    )
