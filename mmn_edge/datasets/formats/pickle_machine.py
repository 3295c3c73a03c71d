"""The stack machine that a pickle is a program for, with the opcodes that data needs and no others.

Python's own machine is not used on files that nobody vouches for: its table of remembered values grows to the size that
ten bytes ask for, it calls whatever stands on the stack, and it changes whatever it is told to.

Source: Python's ``pickletools``, which describes each opcode.
"""

from __future__ import annotations

import codecs
import pickle
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np

__all__ = ["SLACK", "Function", "Machine", "RefusedError", "Unfinished", "hashable"]

SLACK = 1 << 20
"""What a file may expand to beyond its own size, in values or bytes."""

_BYTE, _SHORT, _INT, _UINT, _LENGTH, _DOUBLE = map(struct.Struct, ("<B", "<H", "<i", "<I", "<Q", ">d"))
_KEYS = (str, int, float, complex, bytes, type(None), np.generic)


class RefusedError(Exception):
    """A pickle asked for something that is not data; the text says for what."""


class Unfinished:
    """What the opcode BUILD has yet to describe; ``made`` is what it is so far."""

    __slots__ = ("made",)

    def __init__(self, made: Any = None) -> None:
        self.made = made


class Function:
    """The only kind of thing that a pickle may call: ``make(machine, *arguments)``, and nothing of it can be changed.

    Where it gives something :class:`Unfinished`, ``build(machine, made, *state)`` finishes it.
    """

    __slots__ = ("build", "make")

    def __init__(self, make: Callable[..., Any], build: Callable[..., Any] | None = None) -> None:
        self.make = make
        self.build = build


class Machine:
    """Runs one pickle.

    Args:
        file: The pickle.
        size: Its bytes; more are never asked for, whatever length it gives.
        functions: Module and name -> what stands for it. Other names are refused.
    """

    def __init__(self, file: BinaryIO, size: int, functions: Mapping[tuple[str, str], Function]) -> None:
        self._file = file
        self._size = size
        self._functions = functions
        self._budget = size + SLACK
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._builders: dict[int, tuple[Unfinished, Callable[..., Any]]] = {}

    def run(self) -> Any:
        """What the pickle holds.

        Raises:
            RefusedError: It is more than data.
            Exception: It is damaged; nearly any other.
        """
        read, find = self._file.read, _OPERATIONS.get
        while (code := read(1)) != pickle.STOP:
            operation = find(code)
            if operation is None:
                raise _unknown(code)
            operation(self)
        return _finished(self._stack.pop())

    def charge(self, amount: int) -> None:
        """Account for values or bytes made of what has been read already, which can be done time and again."""
        self._budget -= amount
        if self._budget < 0:
            raise RefusedError("it repeats itself until it is much larger than the file, as only an attack does")

    def _read(self, count: int) -> bytes:
        if count > SLACK and count > self._size - self._file.tell():
            raise EOFError
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line[:-1]

    def _unpack(self, form: struct.Struct) -> Any:
        return form.unpack(self._read(form.size))[0]

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        values = self._stack
        self._stack = self._marks.pop()
        return [_finished(value) for value in values]

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise ValueError("it takes more from the stack than there is")
        values = tuple(_finished(value) for value in self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self._push(values)

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise RefusedError(f"it adds to a {type(self._stack[-1]).__name__} as if it were a {kind.__name__}")
        return self._stack[-1]

    def _extend(self, values: list[Any]) -> None:
        self._top(list).extend(map(_finished, values))

    def _store(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise ValueError("a key has no value")
        self._top(dict).update(zip(hashable(values[::2]), map(_finished, values[1::2]), strict=True))

    def _add(self, values: list[Any]) -> None:
        self._top(set).update(hashable(values))

    def _dictionary(self) -> None:
        values = self._since_mark()
        self._push({})
        self._store(values)

    def _item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._store([key, value])

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._push(_finished(self._memo[index]))

    def _name(self, module: Any, name: Any) -> None:
        function = self._functions.get((str(module).replace("numpy._core", "numpy.core"), str(name)))
        if function is None:
            raise RefusedError(f"it asks for {module}.{name}, which is no array and could run code")
        self._push(function)

    def _named_on_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(module, name)

    def _call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise RefusedError(f"it calls a {type(function).__name__}")
        made = function.make(self, *arguments)
        if isinstance(made, Unfinished) and function.build is not None:
            self._builders[id(made)] = made, function.build
        self._push(made)

    def _build(self) -> None:
        state, unfinished = self._stack.pop(), self._stack[-1]
        _, build = self._builders.pop(id(unfinished), (None, None))
        if build is None or not isinstance(state, tuple):
            raise RefusedError(f"it changes a {type(unfinished).__name__}")
        unfinished.made = self._stack[-1] = build(self, unfinished.made, *state)


def _unknown(code: bytes) -> Exception:
    if code in _NOT_ADMITTED:
        return RefusedError("it makes objects of its own kinds, which could run code")
    return ValueError(f"byte {code!r} means nothing") if code else EOFError()


def _finished(value: Any) -> Any:
    """What something unfinished is so far, and anything else itself."""
    return value.made if isinstance(value, Unfinished) and value.made is not None else value


def hashable(values: Iterable[Any]) -> list[Any]:
    """Keys, unless their hash could take for ever, as that of tuples within tuples can."""
    values = list(values)
    for value in values:
        for part in value if isinstance(value, tuple) else (value,):
            if not isinstance(part, _KEYS):
                raise RefusedError(f"it uses a {type(part).__name__} as a key")
    return values


def _integer(line: bytes) -> int | bool:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line.removesuffix(b"L"), 0)


def _quoted(line: bytes) -> str:
    line = line.strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
        raise ValueError("a text without quotes")
    return str(codecs.escape_decode(line[1:-1])[0], "latin1")


def _utf8(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _long(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _latin1(data: bytes) -> str:
    return data.decode("latin1")  # what Python 2 wrote of arrays


def _sized(form: struct.Struct, convert: Callable[[bytes], Any]) -> Callable[[Machine], None]:
    """Push a value of which the length stands before it."""
    return lambda machine: machine._push(convert(machine._read(machine._unpack(form))))


def _line(convert: Callable[[bytes], Any]) -> Callable[[Machine], None]:
    """Push a value that is a line of text."""
    return lambda machine: machine._push(convert(machine._line()))


def _number(form: struct.Struct) -> Callable[[Machine], None]:
    return lambda machine: machine._push(machine._unpack(form))


def _constant(make: Callable[[], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine._push(make())


_OPERATIONS: dict[bytes, Callable[[Machine], Any]] = {
    pickle.PROTO: lambda machine: machine._read(1),
    pickle.FRAME: lambda machine: machine._read(8),
    pickle.MARK: Machine._mark,
    pickle.POP: Machine._pop,
    pickle.POP_MARK: Machine._since_mark,
    pickle.NONE: _constant(lambda: None),
    pickle.NEWTRUE: _constant(lambda: True),
    pickle.NEWFALSE: _constant(lambda: False),
    pickle.EMPTY_TUPLE: _constant(tuple),
    pickle.EMPTY_LIST: _constant(list),
    pickle.EMPTY_DICT: _constant(dict),
    pickle.EMPTY_SET: _constant(set),
    pickle.INT: _line(_integer),
    pickle.LONG: _line(_integer),
    pickle.FLOAT: _line(float),
    pickle.STRING: _line(_quoted),
    pickle.UNICODE: _line(lambda line: line.decode("raw-unicode-escape")),
    pickle.BININT: _number(_INT),
    pickle.BININT1: _number(_BYTE),
    pickle.BININT2: _number(_SHORT),
    pickle.BINFLOAT: _number(_DOUBLE),
    pickle.LONG1: _sized(_BYTE, _long),
    pickle.LONG4: _sized(_UINT, _long),
    pickle.SHORT_BINSTRING: _sized(_BYTE, _latin1),
    pickle.BINSTRING: _sized(_UINT, _latin1),
    pickle.SHORT_BINUNICODE: _sized(_BYTE, _utf8),
    pickle.BINUNICODE: _sized(_UINT, _utf8),
    pickle.BINUNICODE8: _sized(_LENGTH, _utf8),
    pickle.SHORT_BINBYTES: _sized(_BYTE, bytes),
    pickle.BINBYTES: _sized(_UINT, bytes),
    pickle.BINBYTES8: _sized(_LENGTH, bytes),
    pickle.BYTEARRAY8: _sized(_LENGTH, bytes),
    pickle.TUPLE: lambda machine: machine._push(tuple(machine._since_mark())),
    pickle.TUPLE1: lambda machine: machine._tuple(1),
    pickle.TUPLE2: lambda machine: machine._tuple(2),
    pickle.TUPLE3: lambda machine: machine._tuple(3),
    pickle.LIST: lambda machine: machine._push(machine._since_mark()),
    pickle.APPEND: lambda machine: machine._extend([machine._stack.pop()]),
    pickle.APPENDS: lambda machine: machine._extend(machine._since_mark()),
    pickle.DICT: Machine._dictionary,
    pickle.SETITEM: Machine._item,
    pickle.SETITEMS: lambda machine: machine._store(machine._since_mark()),
    pickle.FROZENSET: lambda machine: machine._push(frozenset(hashable(machine._since_mark()))),
    pickle.ADDITEMS: lambda machine: machine._add(machine._since_mark()),
    pickle.PUT: lambda machine: machine._put(int(machine._line())),
    pickle.BINPUT: lambda machine: machine._put(machine._unpack(_BYTE)),
    pickle.LONG_BINPUT: lambda machine: machine._put(machine._unpack(_UINT)),
    pickle.MEMOIZE: lambda machine: machine._put(len(machine._memo)),
    pickle.GET: lambda machine: machine._get(int(machine._line())),
    pickle.BINGET: lambda machine: machine._get(machine._unpack(_BYTE)),
    pickle.LONG_BINGET: lambda machine: machine._get(machine._unpack(_UINT)),
    pickle.GLOBAL: lambda machine: machine._name(machine._line().decode(), machine._line().decode()),
    pickle.STACK_GLOBAL: Machine._named_on_stack,
    pickle.REDUCE: Machine._call,
    pickle.BUILD: Machine._build,
}

# Opcodes that look up or make objects of other kinds.
_NOT_ADMITTED = frozenset(
    (
        *(pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
        *(pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID, pickle.BINPERSID),
    )
)
