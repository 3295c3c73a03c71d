"""Mixed precision: what the recipe asks for, on the device at hand."""

from __future__ import annotations

import torch

from mmn_edge.system.machine import computes_bfloat16

__all__ = ["fast_dtype", "training_dtype"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def training_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What autocast computes in; ``auto`` is :func:`fast_dtype`."""
    return fast_dtype(device) if precision == "auto" else DTYPES[precision]


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float32: emulated it takes many times as long."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and computes_bfloat16()
    return torch.bfloat16 if native else torch.float32
