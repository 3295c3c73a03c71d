"""Conversion: checkpoint to ONNX bundle, verified. Needs torch and onnx; building engines needs neither.

The names below are the public ones; a name's module is imported when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmn_edge.system.public import lazily

if TYPE_CHECKING:
    from mmn_edge.convert.conversion import Conversion, convert

__all__ = ["Conversion", "convert"]

_PLACES = {
    "Conversion": "mmn_edge.convert.conversion",
    "convert": "mmn_edge.convert.conversion",
}

__getattr__ = lazily(__name__, _PLACES)
