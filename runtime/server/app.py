"""The one HTTP server of a run: ``/health``, ``/metrics``, and what sinks and pages add.

It answers on loopback only unless another address is given, in a thread of its own. Pages of other sites cannot read
it through a visitor's browser: a foreign ``Host`` or ``Origin`` is refused. A token, where there is one, is asked for
in the header ``Authorization: Bearer TOKEN``.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mmn_edge.errors import UsageError
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Server", "Servers", "is_loopback", "split_address"]

START_SECONDS = 10.0
STOP_SECONDS = 3

MAX_MESSAGE = 4096
"""Bytes of a message that a WebSocket client may send; none is expected."""

MAX_CONNECTIONS = 64

Health = Callable[[], Mapping[str, Any]]
"""Says how a part of the run is: values for JSON; ``ok`` False makes the whole not well."""


def split_address(text: str, *, port: int) -> tuple[str, int]:
    """``HOST:PORT`` as both; ``[::1]:8080`` for IPv6, ``port`` where none is named.

    Raises:
        UsageError: It is no address.
    """
    try:
        parts = urlsplit(f"//{text}")
        found = parts.port
    except ValueError:
        parts, found = None, None
    if parts is None or not parts.hostname or parts.username is not None or parts.path or parts.query:
        raise UsageError(f"{text!r} is no address: give HOST:PORT, such as 127.0.0.1:{port}")
    return parts.hostname, port if found is None else found


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Server:
    """Serves from entry to exit.

    Args:
        host: Name or address to listen at.
        port: Its port; 0 takes a free one.
        token: What clients must show; None asks for nothing.

    Attributes:
        address: Host and port; the port that was taken after entry.

    Raises:
        MissingDependencyError: On entry, Starlette or uvicorn is not installed.
        UsageError: On entry, the address cannot be listened at.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8080, *, token: str | None = None) -> None:
        self.address = (host, port)
        self._token = token
        self._routes: list[Any] = []
        self._health: dict[str, Health] = {}
        self._metrics: Callable[[], tuple[bytes, str]] | None = None
        self._socket: socket.socket | None = None
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def add_routes(self, routes: Sequence[Any]) -> None:
        """Add Starlette's routes, before entry."""
        self._routes += routes

    def add_health(self, name: str, health: Health) -> None:
        """Have ``/health`` tell of a part of the run."""
        self._health[name] = health

    def set_metrics(self, metrics: Callable[[], tuple[bytes, str]]) -> None:
        """Have ``/metrics`` answer with text and its content type."""
        self._metrics = metrics

    def __enter__(self) -> Self:
        uvicorn = require("uvicorn", extra="server", purpose="The HTTP server")
        application = self._application()
        host, port = self.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise UsageError(f"cannot serve at {host}:{port} ({error.strerror}): name another address") from error
        self.address = (host, self._socket.getsockname()[1])
        config = uvicorn.Config(
            application,
            log_config=None,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="http server", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(START_SECONDS)
        if self._socket is not None:
            self._socket.close()
        self._server = self._thread = self._socket = None

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception as error:
            self._failure = error

    def _application(self) -> Any:
        require("starlette", extra="server", purpose="The HTTP server")
        applications = require("starlette.applications", extra="server", purpose="The HTTP server")
        routing = require("starlette.routing", extra="server", purpose="The HTTP server")
        routes = [
            routing.Route("/health", self._answer_health),
            routing.Route("/metrics", self._answer_metrics),
            *self._routes,
        ]
        return _Guard(applications.Starlette(routes=routes), self.address[0], self._token)

    async def _answer_health(self, request: Any) -> Any:
        responses = require("starlette.responses", extra="server", purpose="The HTTP server")
        parts = {name: dict(health()) for name, health in self._health.items()}
        well = all(part.get("ok", True) for part in parts.values())
        return responses.JSONResponse({"status": "ok" if well else "failing", **parts}, 200 if well else 503)

    async def _answer_metrics(self, request: Any) -> Any:
        responses = require("starlette.responses", extra="server", purpose="The HTTP server")
        if self._metrics is None:
            return responses.PlainTextResponse("no metrics are kept in this run\n", 404)
        body, kind = self._metrics()
        return responses.Response(body, headers={"content-type": kind})


class _Guard:
    """Lets in who asks for this server by its name, from no other site's page, and with the token."""

    def __init__(self, inner: Any, host: str, token: str | None) -> None:
        self._inner = inner
        # Behind loopback a foreign name in Host is a page that had its own name lead to this machine.
        self._local = is_loopback(host)
        self._token = token.encode() if token is not None else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._inner(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        status = self._refusal(headers)
        if status is None:
            await self._inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            text = {401: b"a token is needed: Authorization: Bearer TOKEN\n", 403: b"not for pages of other sites\n"}
            fields = [(b"content-type", b"text/plain"), (b"content-length", str(len(text[status])).encode())]
            if status == 401:
                fields.append((b"www-authenticate", b"Bearer"))
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": text[status]})

    def _refusal(self, headers: Mapping[bytes, bytes]) -> int | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._local and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return 403
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
            return 403
        if self._token is not None:
            shown = headers.get(b"authorization", b"")
            if not hmac.compare_digest(shown, b"Bearer " + self._token):
                return 401
        return None


class Servers:
    """The servers of a run by address: sinks that name the same one share it. Enter it when all sinks are there."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, int], Server] = {}
        self._tokens: dict[tuple[str, int], str | None] = {}
        self._open = ExitStack()

    def at(self, host: str, port: int, token: str | None = None) -> Server:
        """The server at an address, made where it is not there yet.

        Raises:
            UsageError: The same address was asked for with another token.
        """
        key = (host, port)
        if key in self._servers and self._tokens[key] != token:
            raise UsageError(f"{host}:{port} is named with two tokens: one server has one")
        if key not in self._servers:
            self._servers[key], self._tokens[key] = Server(host, port, token=token), token
        return self._servers[key]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in self._servers.values():
                stack.enter_context(server)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()
