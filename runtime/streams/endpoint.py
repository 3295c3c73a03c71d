"""Where a stream of skeletons comes from: ``tcp://HOST:PORT`` and its like, with options after commas."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmn_edge.errors import UsageError

if TYPE_CHECKING:
    import ssl

__all__ = ["LOOPBACK", "SCHEMES", "TOKEN", "Endpoint"]

SCHEMES = ("tcp", "tcp+connect", "udp", "ws", "wss", "ws+connect", "wss+connect")

LOOPBACK = ("127.0.0.1", "::1", "localhost")

TOKEN = "MMN_EDGE_STREAM_TOKEN"
"""The variable of the environment that holds the token of all streams."""

OPTIONS = ("token-file", "certificate", "key", "authority")

MAX_TOKEN = 1024

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/?#@,\[\]]*)):([0-9]{1,5})(/[^\s?#@]*)?/?")


@dataclass(frozen=True, repr=False)
class Endpoint:
    """An address that is listened on, or dialled.

    Attributes:
        scheme: One of :data:`SCHEMES`.
        host: A name or an address of this machine or another; 127.0.0.1 where none was given.
        port: 0 takes any that is free.
        path: Of a WebSocket that is dialled.
        token: What a sender must show (listening), or is shown (dialling); None asks for nothing.
        certificate: PEM file of the certificate, for ``wss``.
        key: PEM file of its key; None where the certificate's file holds it.
        authority: PEM file of whom to trust, for ``wss+connect``; None trusts whom the system trusts.
    """

    scheme: str
    host: str
    port: int
    path: str = "/"
    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    @property
    def dials(self) -> bool:
        """Whether it is dialled rather than listened on."""
        return self.scheme.endswith("+connect")

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine reach it."""
        return self.host in LOOPBACK or self.host.startswith("127.")

    @property
    def shown(self) -> str:
        """The address, without options."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}" + (self.path if self.path != "/" else "")

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """``tcp://HOST:PORT,token-file=FILE`` and its like.

        Raises:
            UsageError: It is malformed, an option does not fit, or a file with a token cannot be read.
        """
        scheme, _, rest = text.partition("://")
        place, *pairs = rest.split(",")
        found = _PLACE.fullmatch(place)
        if scheme not in SCHEMES or found is None or int(found[3]) > 65535:
            raise UsageError(
                f"{scheme}: is malformed: write {scheme}://HOST:PORT, as in tcp://:9000, with options after commas, "
                "as in tcp://0.0.0.0:9000,token-file=FILE"
            )
        options = cls._options(scheme, pairs)
        host, path = found[1] or found[2] or "127.0.0.1", found[4] or "/"
        if path != "/" and not scheme.startswith("ws"):
            raise UsageError(f"{scheme}:// has no path: leave {path} out")
        if scheme == "wss" and "certificate" not in options:
            raise UsageError("wss:// needs a certificate: write wss://HOST:PORT,certificate=FILE,key=FILE")
        path_of = {name: Path(value) for name, value in options.items()}
        return cls(
            scheme,
            host,
            int(found[3]),
            path,
            _token(path_of.get("token-file")),
            path_of.get("certificate"),
            path_of.get("key"),
            path_of.get("authority"),
        )

    @staticmethod
    def _options(scheme: str, pairs: list[str]) -> dict[str, str]:
        fitting = {"token-file"}
        if scheme == "wss":
            fitting |= {"certificate", "key"}
        if scheme == "wss+connect":
            fitting |= {"authority"}
        options: dict[str, str] = {}
        for pair in pairs:
            name, _, value = pair.partition("=")
            if name in ("token", "password"):
                raise UsageError(
                    f"a token is no part of an address, which others can see: put it into a file and write "
                    f"token-file=FILE, or into the variable {TOKEN}"
                )
            if name not in fitting or not value or name in options:
                known = ", ".join(f"{option}=FILE" for option in OPTIONS if option in fitting)
                raise UsageError(f"option {name!r} of {scheme}:// is not one of {known}, each once")
            options[name] = value
        return options

    def tls(self) -> ssl.SSLContext | None:
        """What encrypts the connection; None where nothing does.

        Raises:
            UsageError: A file of the certificate cannot be read, or is none.
        """
        if not self.scheme.startswith("wss"):
            return None
        import ssl  # takes its time, and is seldom needed

        try:
            if self.dials:
                return ssl.create_default_context(cafile=self.authority)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(self.certificate or "", self.key)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"the certificate of {self.shown} cannot be used ({error.strerror or error}): give PEM files"
            ) from error
        return context


def _token(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(TOKEN) or None
    try:
        with path.open(encoding="utf-8") as file:
            token = file.readline(MAX_TOKEN + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"cannot read the token file {path}: {reason}") from error
    if not token or len(token) > MAX_TOKEN or not token.isascii() or not token.isprintable():
        raise UsageError(f"the token file {path} must hold one line of at most {MAX_TOKEN} printable ASCII characters")
    return token
