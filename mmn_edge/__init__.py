"""mmn-edge: train, convert, run and profile MMN, a network for micro-actions, on the edge.

The names below are the public ones of the core; stages have theirs in :mod:`mmn_edge.train`,
:mod:`mmn_edge.convert` and :mod:`mmn_edge.runtime`. A name's module is imported when the name is first used (PEP 562),
so that ``import mmn_edge`` costs nothing. ``docs/reference/python.md`` has an example for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmn_edge.system.public import lazily

if TYPE_CHECKING:
    from mmn_edge.bundle.bundle import Bundle
    from mmn_edge.datasets.clip import Clip
    from mmn_edge.datasets.reading import read_clips
    from mmn_edge.errors import MmnEdgeError
    from mmn_edge.evaluation.evaluation import Scores
    from mmn_edge.events.decoder import Decoder
    from mmn_edge.events.interval import AnnotationSet, Interval
    from mmn_edge.events.parameters import DecoderParameters
    from mmn_edge.model.labels import Labels
    from mmn_edge.skeleton.frame import Frame, Person
    from mmn_edge.skeleton.layouts import Layout
    from mmn_edge.skeleton.layouts import get as get_layout
    from mmn_edge.skeleton.mappings import get as get_mapping
    from mmn_edge.skeleton.recording import read_frames, write_frames

__version__ = "0.1.0"

__all__ = [
    "AnnotationSet",
    "Bundle",
    "Clip",
    "Decoder",
    "DecoderParameters",
    "Frame",
    "Interval",
    "Labels",
    "Layout",
    "MmnEdgeError",
    "Person",
    "Scores",
    "__version__",
    "get_layout",
    "get_mapping",
    "read_clips",
    "read_frames",
    "write_frames",
]

_PLACES = {
    "AnnotationSet": "mmn_edge.events.interval",
    "Bundle": "mmn_edge.bundle.bundle",
    "Clip": "mmn_edge.datasets.clip",
    "Decoder": "mmn_edge.events.decoder",
    "DecoderParameters": "mmn_edge.events.parameters",
    "Frame": "mmn_edge.skeleton.frame",
    "Interval": "mmn_edge.events.interval",
    "Labels": "mmn_edge.model.labels",
    "Layout": "mmn_edge.skeleton.layouts",
    "MmnEdgeError": "mmn_edge.errors",
    "Person": "mmn_edge.skeleton.frame",
    "Scores": "mmn_edge.evaluation.evaluation",
    "get_layout": "mmn_edge.skeleton.layouts:get",
    "get_mapping": "mmn_edge.skeleton.mappings:get",
    "read_clips": "mmn_edge.datasets.reading",
    "read_frames": "mmn_edge.skeleton.recording",
    "write_frames": "mmn_edge.skeleton.recording",
}

__getattr__ = lazily(__name__, _PLACES)
