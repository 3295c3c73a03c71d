"""The runtime: sources, windows, backends, sinks. No torch, no onnx.

The names below are the public ones; a name's module is imported when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmn_edge.system.public import lazily

if TYPE_CHECKING:
    from mmn_edge.runtime.backends.backend import open_backend
    from mmn_edge.runtime.counters import Counters
    from mmn_edge.runtime.pipeline import Pipeline
    from mmn_edge.runtime.recognizer import Prediction, Recognizer
    from mmn_edge.runtime.sinks.sink import JsonLinesSink
    from mmn_edge.runtime.sources.grammar import open_source

__all__ = ["Counters", "JsonLinesSink", "Pipeline", "Prediction", "Recognizer", "open_backend", "open_source"]

_PLACES = {
    "Counters": "mmn_edge.runtime.counters",
    "JsonLinesSink": "mmn_edge.runtime.sinks.sink",
    "Pipeline": "mmn_edge.runtime.pipeline",
    "Prediction": "mmn_edge.runtime.recognizer",
    "Recognizer": "mmn_edge.runtime.recognizer",
    "open_backend": "mmn_edge.runtime.backends.backend",
    "open_source": "mmn_edge.runtime.sources.grammar",
}

__getattr__ = lazily(__name__, _PLACES)
