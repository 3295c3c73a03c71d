"""Tensors in the safetensors format: the length of a JSON header, the header, and the bytes of all tensors in a row.

Source: https://github.com/huggingface/safetensors#format. Nothing in such a file can run.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmn_edge.errors import CheckpointError

__all__ = ["is_safetensors", "read_safetensors"]

MAX_HEADER = 100_000_000
"""Bytes, as in the format's own reader."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as the format does, whatever its name."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file, by name.

    Raises:
        CheckpointError: It is damaged, or holds a type of numbers that no network here has.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > min(MAX_HEADER, path.stat().st_size - 8):
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(size), object_pairs_hook=_unique)
            data = bytearray(file.read())
        header.pop("__metadata__", None)
        state, end = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            state[name] = _tensor(name, entry, data, end)
            end = entry["data_offsets"][1]
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes belong to no tensor")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"checkpoint {path} is damaged: it is no safetensors file to its end ({error})"
        ) from error
    return {name: state[name] for name in header}


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(items)
    if len(values) < len(items):
        raise ValueError("a name occurs twice")
    return values


def _tensor(name: str, entry: dict[str, Any], data: bytearray, begin: int) -> Tensor:
    """One tensor, whose bytes follow those of the one before."""
    dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in _DTYPES:
        raise ValueError(f"{name} is of type {dtype}, and {', '.join(_DTYPES)} are read")
    if not all(type(number) is int and number >= 0 for number in (*shape, first, last)) or first != begin:
        raise ValueError(f"{name} lies where it cannot")
    count = math.prod(shape)
    if last > len(data) or count * _DTYPES[dtype].itemsize != last - first:
        raise ValueError(f"{name} has {last - first} bytes for {dtype} of shape {tuple(shape)}")
    if not count:
        return torch.empty(shape, dtype=_DTYPES[dtype])
    return torch.frombuffer(data[first:last], dtype=_DTYPES[dtype]).reshape(shape)
