"""Arrays in ``.npz`` files, read without trusting what they say of their sizes.

Source: ``numpy.lib.format`` (the header of an array).
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mmn_edge.errors import DataError
from mmn_edge.system.file_kind import file_kind

__all__ = ["load_arrays"]

MAX_BYTES = 1 << 31
"""Of all arrays of a file, unpacked: a day of 25 frames a second with 133 joints."""


def load_arrays(path: Path) -> dict[str, Any]:
    """The arrays of a ``.npz`` file; pickled objects are refused.

    Raises:
        DataError: It is no such file, damaged, or unpacks to more than 2 GiB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES >> 30} GiB")
            for member in members:
                _check(archive, member)
            return {member.filename.removesuffix(".npy"): _read(archive, member) for member in members}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, and a file of arrays (.npz) is wanted") from None
    except Exception as error:  # a damaged archive can raise nearly anything
        kind = file_kind(path)
        reason = f"it is {kind}" if kind and not kind.startswith("an archive of arrays") else str(error)
        raise DataError(f"{path} is no readable .npz file of plain arrays: {reason}") from error


def _check(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse an array whose header says another size than there is, before memory is taken for it."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)  # type: ignore[no-untyped-call]
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds pickled objects, which could run code")
        needed, there = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if needed != there or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename} is said to be {dtype} of shape {shape}, and holds {there} bytes")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
