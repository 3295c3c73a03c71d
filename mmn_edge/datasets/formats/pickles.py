"""Pickles read without trusting them: numpy arrays and plain values, and nothing that could run code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from mmn_edge.errors import DataError

__all__ = ["load_pickle"]

_OLD_NUMPY = int(np.__version__.split(".")[0]) < 2


class _RefusedError(pickle.UnpicklingError):
    """A pickle asked for something that is not data."""


class _Unpickler(pickle.Unpickler):
    """Admits what arrays and plain containers need, by name, and nothing else."""

    ADMITTED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy.core.numeric", "_frombuffer"),
            ("numpy._core.numeric", "_frombuffer"),
            ("_codecs", "encode"),
            ("builtins", "set"),
            ("builtins", "frozenset"),
            ("builtins", "complex"),
            ("collections", "OrderedDict"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise _RefusedError(f"{module}.{name}")
        return super().find_class(module.replace("numpy._core", "numpy.core") if _OLD_NUMPY else module, name)


def load_pickle(path: Path) -> Any:
    """Load a pickle of plain values and numpy arrays.

    Raises:
        DataError: The file is missing, no pickle, truncated, or asks for anything else, which is not run.
    """
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise DataError(
            f"{path} was not opened: it asks for {error}, which is no array and could run code; a data set holds "
            "numpy arrays and plain values only"
        ) from error
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{path} is no readable pickle ({type(error).__name__}: {error})") from error
