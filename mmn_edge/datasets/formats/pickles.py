"""Pickles read without trusting them: numpy arrays and plain values, and nothing that could run code.

Arrays are made by the functions below, which check what they are given: no objects of raw bytes, no more values than
there are bytes for. Nothing that is made is much larger than the file: no array, no copy, no text of a value.

Sources: ``numpy.ndarray.__reduce_ex__`` and ``numpy.dtype.__reduce__``, which say how arrays are written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.formats.pickle_machine import SLACK, Function, Machine, RefusedError, Unfinished, hashable
from mmn_edge.errors import DataError
from mmn_edge.system.file_kind import file_kind

__all__ = ["load_pickle"]

MAX_DEPTH = 32
"""Of lists and mappings within one another."""

_DTYPE = re.compile(r"[<>=|]?(\?|b1|[iu][1248]|f[248]|c8|c16|O8?|[SU][1-9][0-9]{0,8})")


def load_pickle(path: Path) -> Any:
    """Load a pickle of plain values and numpy arrays, which are read-only.

    Raises:
        DataError: The file is missing, no pickle, truncated, or asks for anything else, which is not run.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            content = Machine(file, size, _FUNCTIONS).run()
        _check_extent(content, size + SLACK)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        kind = file_kind(path)
        if kind and not (isinstance(error, RefusedError) and kind.startswith("a text file")):  # protocol 0 is text
            raise DataError(f"{path} is no readable pickle: it is {kind}") from error
        if isinstance(error, RefusedError):
            raise DataError(
                f"{path} was not opened: {error}; a data set holds numpy arrays and plain values only"
            ) from error
        raise DataError(f"{path} is no readable pickle ({_cause(error)})") from error
    return content


def _cause(error: Exception) -> str:
    """Why a pickle is damaged; most often it lacks its end."""
    if isinstance(error, EOFError | IndexError | KeyError):
        return "it is cut short or damaged"
    return f"it is damaged: {error}" if str(error) else type(error).__name__


def _check_extent(content: Any, limit: int) -> None:
    """Refuse content whose text would be much longer than the file; what is in two places is counted twice."""
    total = 0
    levels = [iter((content,))]
    while levels:
        for value in levels[-1]:
            total += 1 + (len(value) if isinstance(value, str | bytes) else 0)
            if total > limit:
                raise RefusedError("it repeats itself until it is much larger than the file, as only an attack does")
            if isinstance(value, list | tuple | dict | set | frozenset | np.ndarray):
                levels.append(_inner(value))
                break
        else:
            levels.pop()
        if len(levels) > MAX_DEPTH:
            raise RefusedError(f"its lists are more than {MAX_DEPTH} deep within one another, or without end")


def _inner(value: Any) -> Iterator[Any]:
    """What a container holds, keys too; nothing of an array of numbers."""
    if isinstance(value, np.ndarray):
        return iter(value.flat if value.dtype.kind in "OSU" else ())
    if isinstance(value, dict):
        return (part for item in value.items() for part in item)
    return iter(value)


def _dtype(machine: Machine, text: Any, align: Any = False, copy: Any = True) -> Unfinished:
    """``numpy.dtype(text, align, copy)``."""
    text = _text(text)
    if not _DTYPE.fullmatch(text):
        raise RefusedError(f"it holds an array of type {text[:40]!r}, which is neither numbers nor text")
    return Unfinished(np.dtype(text))


def _finish_dtype(machine: Machine, dtype: Any, version: Any, order: Any, *rest: Any) -> np.dtype[Any]:
    """The state of a dtype: its byte order, and then what only structured ones have."""
    order = _text(order)
    if order not in ("<", ">", "=", "|") or rest[:3] != (None, None, None):
        raise RefusedError("it holds an array of a mixed type, which is neither numbers nor text")
    made: np.dtype[Any] = dtype if order == "|" else dtype.newbyteorder(order)
    return made


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise RefusedError(f"it names a type by a {type(value).__name__}")
    return value


def _reconstruct(machine: Machine, kind: Any, shape: Any, code: Any) -> Unfinished:
    """``numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b"b")``: what an array begins as."""
    if kind is not _NDARRAY or shape != (0,):
        raise RefusedError("it makes an array in a way that numpy does not")
    return Unfinished()


def _finish_array(machine: Machine, _: None, version: Any, shape: Any, dtype: Any, fortran: Any, data: Any) -> Any:
    """The state of an array."""
    order = "F" if fortran else "C"
    if not isinstance(dtype, np.dtype) or not dtype.hasobject:
        return _array(machine, dtype, data, shape, order)
    if not isinstance(data, list):
        raise RefusedError("it holds an array of objects made of raw bytes")
    machine.charge(len(data))
    array = np.empty(len(data), object)
    for index, value in enumerate(data):  # a slice would take lists apart
        array[index] = value
    return _reshaped(array, shape, "objects", order)


def _from_buffer(machine: Machine, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Any:
    """``numpy.core.numeric._frombuffer``, which protocol 5 has; of numpy 2.3 on with axes, and then the order is K."""
    if order == "K" and isinstance(axes, tuple | list):
        array = _array(machine, dtype, data, shape, "C")
        if sorted(axes) != list(range(array.ndim)):
            raise RefusedError("it holds an array whose axes are in no order")
        return array.transpose(axes)
    if order not in ("C", "F"):
        raise RefusedError("it holds an array in an order that is neither C nor F")
    return _array(machine, dtype, data, shape, order)


def _array(machine: Machine, dtype: Any, data: Any, shape: Any, order: str) -> npt.NDArray[Any]:
    """An array over bytes that were read, without a copy."""
    if isinstance(data, str):  # Python 2 had no bytes
        machine.charge(len(data))
        data = data.encode("latin1")
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not isinstance(data, bytes):
        raise RefusedError("it holds an array of objects made of raw bytes")
    if len(data) % dtype.itemsize:
        raise RefusedError(f"it holds an array of {dtype} made of {len(data)} bytes")
    flat = np.frombuffer(data, dtype)
    if dtype.kind == "U" and (np.frombuffer(data, dtype.str[0] + "u4") > 0x10FFFF).any():
        raise RefusedError("it holds texts of characters that do not exist")
    return _reshaped(flat, shape, str(dtype), order)


def _reshaped(flat: npt.NDArray[Any], shape: Any, what: str, order: str) -> npt.NDArray[Any]:
    whole = _shape(shape, len(flat), what)
    return flat.reshape(whole, order="F") if order == "F" else flat.reshape(whole)


def _shape(shape: Any, count: int, what: str) -> tuple[int, ...]:
    """A shape for as many values as there are."""
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise RefusedError("it holds an array of a shape that is none")
    if math.prod(shape) != count or max(shape, default=0) > max(count, SLACK):
        raise RefusedError(f"it holds an array of shape {shape} ({what}), and {count} values for it")
    return shape


def _scalar(machine: Machine, dtype: Any, data: Any) -> Any:
    """``numpy.core.multiarray.scalar``."""
    return _array(machine, dtype, data, (), "C")[()]


def _encode(machine: Machine, text: Any, encoding: Any) -> bytes:
    """``_codecs.encode``: how protocols before 3 write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError("it encodes what are no bytes")
    machine.charge(len(text))
    return text.encode("latin1")


def _no_bytes(machine: Machine) -> bytes:
    """``bytes()``: how protocols before 3 write none."""
    return b""


def _collected(kind: Callable[[list[Any]], Any]) -> Function:
    """A set or mapping, of a list."""

    def make(machine: Machine, values: Any = ()) -> Any:
        if not isinstance(values, list | tuple):
            raise RefusedError(f"it makes a set of a {type(values).__name__}")
        machine.charge(len(values))
        return kind(list(values))

    return Function(make)


def _mapping(items: list[Any]) -> dict[Any, Any]:
    if not all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
        raise RefusedError("it makes a mapping of what are no pairs")
    return dict(zip(hashable(key for key, _ in items), (value for _, value in items), strict=True))


def _complex(machine: Machine, real: Any, imaginary: Any) -> complex:
    if not isinstance(real, float) or not isinstance(imaginary, float):
        raise RefusedError("it makes a number of what is none")
    return complex(real, imaginary)


def _never(machine: Machine, *arguments: Any) -> Any:
    raise RefusedError("it calls numpy.ndarray, which could make objects of raw bytes")


_NDARRAY = Function(_never)  # named as the kind of an array, and never called
_SET = _collected(lambda values: set(hashable(values)))
_FROZENSET = _collected(lambda values: frozenset(hashable(values)))

_FUNCTIONS = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Function(_dtype, _finish_dtype),
    ("numpy.core.multiarray", "_reconstruct"): Function(_reconstruct, _finish_array),
    ("numpy.core.multiarray", "scalar"): Function(_scalar),
    ("numpy.core.numeric", "_frombuffer"): Function(_from_buffer),
    ("_codecs", "encode"): Function(_encode),
    ("builtins", "bytes"): Function(_no_bytes),
    ("__builtin__", "bytes"): Function(_no_bytes),
    ("builtins", "set"): _SET,
    ("builtins", "frozenset"): _FROZENSET,
    ("builtins", "complex"): Function(_complex),
    ("__builtin__", "set"): _SET,
    ("__builtin__", "frozenset"): _FROZENSET,
    ("__builtin__", "complex"): Function(_complex),
    ("collections", "OrderedDict"): _collected(_mapping),
}
