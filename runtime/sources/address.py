"""What a source is called: the parts of its name, what of it may be shown, and a short name for files and tables."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mmn_edge.errors import UsageError
from mmn_edge.runtime.streams.endpoint import SCHEMES

__all__ = ["Address", "distinct_names", "without_secrets"]

CAMERAS = ("camera", "csi", "gst")
NETWORK = ("rtsp", "rtsps", "http", "https")
"""Schemes of live images."""

_SECRET = re.compile(r"(?<=://)[^\s\"']*@")
_QUERY = re.compile(r"(?i)([?&;](?:[^=&;\s]*(?:pass|pwd|secret|token|key|auth)[^=&;\s]*|user|usr|login)=)[^&;\s\"']*")
_PROPERTY = re.compile(r"(?i)\b((?:\w|-)*(?:user-id|user-pw|password|passwd|token)\s*=\s*)(\"[^\"]*\"|'[^']*'|\S+)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LABEL = re.compile(r"([A-Za-z][\w-]*)=(?=[A-Za-z+]+:|/|\.|-$)")


def without_secrets(text: str) -> str:
    """The text with user names and passwords in addresses and pipelines made unreadable."""
    text = _SECRET.sub("***@", text)
    text = _QUERY.sub(r"\1***", text)
    return _PROPERTY.sub(r"\1***", text)


@dataclass(frozen=True)
class Address:
    """A source's name on the command line, in its parts.

    Attributes:
        text: As it was given, without the label.
        scheme: What stands before the first colon, where it is one of ours; else the empty string (a file, ``-``).
        rest: What stands behind it; all of it where there is no scheme.
        label: What the user called it, as in ``door=rtsp://...``; None for nothing.
    """

    text: str
    scheme: str
    rest: str
    label: str | None = None

    @classmethod
    def parse(cls, name: str) -> Address:
        """Take a name apart; nothing is opened or looked at but whether a file is called so."""
        label = None
        found = _LABEL.match(name)
        if found is not None and not Path(name).exists():
            label, name = found[1], name[found.end() :]
        scheme, colon, rest = name.partition(":")
        known = {*CAMERAS, *NETWORK, *SCHEMES, "synthetic", "synthetic-scenes"}
        if scheme in known and (colon or scheme.startswith("synthetic")):
            return cls(name, scheme, rest, label)
        return cls(name, "", name, label)

    @property
    def live(self) -> bool:
        """Whether what it gives is lived through: what is missed is gone."""
        return self.text == "-" or self.scheme in (*CAMERAS, *NETWORK, *SCHEMES)

    @property
    def has_images(self) -> bool:
        """Whether it is a camera or network video."""
        return self.scheme in (*CAMERAS, *NETWORK)

    @property
    def shown(self) -> str:
        """The text without user names and passwords: all that may be printed or written."""
        return without_secrets(self.text)

    @property
    def name(self) -> str:
        """A short name for files and tables: its label, a file's name without suffixes, or letters of the address."""
        if self.label is not None:
            return self.label
        if self.text == "-":
            return "stdin"
        if not self.scheme:
            return Path(self.text).name.split(".")[0] or "stream"
        if self.scheme.startswith("synthetic"):
            return "-".join(filter(None, (self.scheme, *self.rest.split(":"))))
        rest = self.shown.partition(":")[2].replace("***@", "").partition("?")[0]
        words = re.findall(r"[A-Za-z0-9]+", rest.split("!")[0] if self.scheme == "gst" else rest)
        return "-".join((self.scheme, *words))[:64]

    def resolved(self) -> str:
        """The text with each ``${NAME}`` replaced by that variable of the environment, fit for an address.

        Raises:
            UsageError: There is no such variable.
        """

        def value(found: re.Match[str]) -> str:
            text = os.environ.get(found[1])
            if text is None:
                raise UsageError(f"{self.shown} asks for ${{{found[1]}}}, which is not set in the environment")
            return quote(text, safe="")

        return _VARIABLE.sub(value, self.text)


def distinct_names(addresses: Sequence[Address]) -> list[str]:
    """A name for each of several sources; those that would be called the same are numbered.

    Raises:
        UsageError: Two were given the same label.
    """
    labels = [address.label for address in addresses if address.label is not None]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"two sources are called {twice}: give each its own name")
    names: list[str] = []
    for address in addresses:
        name, number = address.name, 2
        while name in names or (name in labels and address.label is None):
            name, number = f"{address.name}-{number}", number + 1
        names.append(name)
    return names
