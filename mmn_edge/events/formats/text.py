"""Text files of other people: bounded, decoded or refused in one sentence."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmn_edge.errors import DataError

__all__ = ["MAX_BYTES", "parse_number", "placed", "read_bytes", "read_text", "rows"]

MAX_BYTES = 256 * 2**20
"""Of a file of annotations: some two million events."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@contextmanager
def placed(where: str) -> Iterator[None]:
    """Say of an error within where it is: a file and a line."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"{where}: {error}") from None


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """A file's content.

    Raises:
        DataError: It is absent, empty, or larger than ``limit``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder") from None
    if not data:
        raise DataError(f"{path} is empty (0 bytes): where nothing happened, a table still has its header")
    if len(data) > limit:
        raise DataError(f"{path} is larger than {limit // 2**20} MiB: annotations are not")
    return data


def read_text(path: Path, *, utf16: bool = False) -> str:
    """A file's text, without a byte order mark; with ``utf16`` also what begins with UTF-16's.

    Raises:
        DataError: See :func:`read_bytes`; or it is in another encoding.
    """
    data = read_bytes(path)
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if wide and not utf16:
        raise DataError(f"{path} is UTF-16 and not UTF-8: save it as UTF-8")
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line} is no {'UTF-16' if wide else 'UTF-8'} text (byte 0x{data[error.start]:02x}): save it "
            "as UTF-8"
        ) from None


def rows(path: Path, text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The lines of a table with their numbers, their fields without spaces around them; empty lines are skipped.

    Raises:
        DataError: Quotes that do not close, or a field that is too long.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            values = [field.strip() for field in fields]
            if any(values):
                yield reader.line_num, values
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num} is no line of a table ({error})") from None


def parse_number(name: str, text: str) -> float:
    """A decimal number.

    Raises:
        DataError: It is none.
    """
    if not _NUMBER.fullmatch(text):
        hint = f": write {text.replace(',', '.')}" if _NUMBER.fullmatch(text.replace(",", ".")) else ""
        raise DataError(f"the {name} must be a number, not {text[:40]!r}{hint}")
    return float(text)
