"""Which precisions a conversion writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmn_edge.bundle.manifest import PRECISIONS
from mmn_edge.errors import UsageError
from mmn_edge.system.extras import check_half_scales, half_scales_work

__all__ = ["chosen_precisions", "is_int8"]


def is_int8(precision: str) -> bool:
    """Whether products of the quantized layers are int8."""
    return precision.startswith("int8")


def chosen_precisions(requested: Sequence[str] | None, quantized: bool, calibration: Path | None) -> tuple[str, ...]:
    """The precisions to write, in a fixed order.

    Raises:
        UsageError: Unknown ones, int8 without ranges, or ranges from two places.
    """
    if quantized and calibration is not None:
        raise UsageError("this checkpoint is quantized and has int8 ranges of its own: leave --calibration out")
    if requested is None:
        return ("fp32", "int8") if quantized or calibration is not None else ("fp32",)
    if list(requested) == ["auto"]:
        possible = PRECISIONS if half_scales_work() else PRECISIONS[:3]
        return possible if quantized or calibration is not None else PRECISIONS[:2]
    unknown = [precision for precision in requested if precision not in PRECISIONS]
    if unknown or not requested:
        raise UsageError(f"unknown precision {', '.join(unknown)!r}: choose of {', '.join(PRECISIONS)}")
    int8 = any(map(is_int8, requested))
    if int8 and not quantized and calibration is None:
        raise UsageError(
            "int8 needs ranges, and this checkpoint has none: give clips to take them from with --calibration DATA, or "
            "convert a checkpoint of mmn-edge quantize or of quantization-aware training"
        )
    if not int8 and calibration is not None:
        raise UsageError("--calibration is for int8, which is not among the precisions: leave one of the two out")
    for precision in requested:
        check_half_scales(precision)
    return tuple(precision for precision in PRECISIONS if precision in requested)
