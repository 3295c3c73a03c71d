"""Options in the name of a sink: ``events.jsonl,size=50MB,keep=30d``."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from mmn_edge.errors import UsageError

__all__ = ["number", "seconds", "secret", "size", "split_options"]

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_AMOUNT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]+)")

LONGEST_SECRET = 4096
"""Bytes of a file that holds a password or token."""


def split_options(text: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    """``name,key=value,...`` as name and options; a comma that no option follows belongs to the name.

    Raises:
        UsageError: An option is unknown, or comes twice.
    """
    parts = text.split(",")
    options: dict[str, str] = {}
    while len(parts) > 1 and re.fullmatch(r"[a-z-]+=.*", parts[-1]):
        key, _, value = parts.pop().partition("=")
        if key not in known:
            raise UsageError(f"sink {text}: unknown option {key!r}; known are {', '.join(known) or 'none'}")
        if key in options:
            raise UsageError(f"sink {text}: {key} comes twice")
        options[key] = value
    return ",".join(parts), options


def seconds(options: Mapping[str, str], key: str, default: float | None) -> float | None:
    """An option such as ``age=1h`` in seconds.

    Raises:
        UsageError: It is no duration above 0.
    """
    return _amount(options, key, default, _SECONDS, "a duration, such as 90s, 15min, 1h, 30d or 4w")


def size(options: Mapping[str, str], key: str, default: int | None) -> int | None:
    """An option such as ``size=50MB`` in bytes.

    Raises:
        UsageError: It is no size above 0.
    """
    found = _amount(options, key, default, _BYTES, "a size, such as 500KB, 50MB or 2GB")
    return None if found is None else int(found)


def number(options: Mapping[str, str], key: str, default: int, *, most: int) -> int:
    """A whole number from 1 to ``most``.

    Raises:
        UsageError: It is none.
    """
    text = options.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise UsageError(f"{key} must be a whole number from 1 to {most}, not {text!r}")
    return int(text)


def secret(variable: str, path: str | None) -> str | None:
    """A password or token: the first line of a file, or what the environment says; None where neither does.

    Raises:
        UsageError: The file cannot be read, or holds nothing.
    """
    if path is None:
        return os.environ.get(variable) or None
    try:
        with Path(path).open("rb") as file:
            text = file.read(LONGEST_SECRET).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the secret in {path}: {error}") from error
    first = text.partition("\n")[0].strip()
    if not first:
        raise UsageError(f"{path} holds no secret: its first line is empty")
    return first


def _amount(
    options: Mapping[str, str], key: str, default: float | None, units: Mapping[str, float], what: str
) -> float | None:
    text = options.get(key)
    if text is None:
        return default
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2] not in units or float(match[1]) <= 0:
        raise UsageError(f"{key} must be {what}, not {text!r}")
    return float(match[1]) * units[match[2]]
