"""Bytes and datagrams between sockets and the desk: TCP, UDP and WebSocket, listening and dialling, on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mmn_edge.errors import SourceError
from mmn_edge.runtime.streams.desk import FIRST_MESSAGE, MAX_CONNECTIONS, Desk, Refused, Sender
from mmn_edge.runtime.streams.endpoint import Endpoint
from mmn_edge.runtime.streams.wire import MAX_MESSAGE, Splitter, StreamBroken
from mmn_edge.system.extras import require

__all__ = ["dial", "listen"]

CHUNK = 65_536

DIALLING = 10.0
"""Seconds for a connection to be made."""

KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A sender whose machine went off is noticed after 25 s."""

_SILENT = logging.getLogger("mmn_edge.runtime.streams.websockets")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False  # what clients do wrong is counted and said by the desk

Closer = Callable[[], Awaitable[None]]


async def listen(endpoint: Endpoint, desk: Desk) -> tuple[int, Closer]:
    """Listen, and hand what comes to the desk.

    Returns:
        The port, and what ends it.

    Raises:
        SourceError: The address cannot be listened on.
    """
    try:
        if endpoint.scheme == "udp":
            return await _listen_udp(endpoint, desk)
        if endpoint.scheme == "tcp":
            return await _listen_tcp(endpoint, desk)
        return await _listen_ws(endpoint, desk)
    except OSError as error:
        raise SourceError(
            f"cannot listen on {endpoint.shown} ({error.strerror or error}): name an address of this machine and a "
            "port that nobody uses"
        ) from error


async def dial(endpoint: Endpoint, desk: Desk, connected: Callable[[], None]) -> str:
    """Dial, and hand what comes to the desk until the connection ends.

    Args:
        endpoint: Whom to dial.
        desk: Takes what comes.
        connected: Called when the connection is made.

    Returns:
        Why the connection ended.

    Raises:
        SourceError: No connection could be made.
    """
    if endpoint.scheme == "tcp+connect":
        return await _dial_tcp(endpoint, desk, connected)
    return await _dial_ws(endpoint, desk, connected)


async def _listen_tcp(endpoint: Endpoint, desk: Desk) -> tuple[int, Closer]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):  # at the end, and nobody awaits it
            await _read(reader, writer, desk)

    server = await asyncio.start_server(serve, endpoint.host, endpoint.port, limit=CHUNK, backlog=MAX_CONNECTIONS)

    async def close() -> None:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return server.sockets[0].getsockname()[1], close


async def _dial_tcp(endpoint: Endpoint, desk: Desk, connected: Callable[[], None]) -> str:
    try:
        connection = asyncio.open_connection(endpoint.host, endpoint.port, limit=CHUNK)
        reader, writer = await asyncio.wait_for(connection, DIALLING)
    except (OSError, asyncio.TimeoutError) as error:
        raise SourceError(f"cannot reach {endpoint.shown}: {_why(error)}") from error
    connected()
    if endpoint.token is not None:
        writer.write(json.dumps({"token": endpoint.token}).encode() + b"\n")
    return await _read(reader, writer, desk, authorised=True)


async def _read(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, desk: Desk, *, authorised: bool = False
) -> str:
    """Messages of one TCP connection; returns why it ended."""
    _keep_alive(writer)
    sender = desk.welcome(_name(writer.get_extra_info("peername")), writer.transport.abort, authorised=authorised)
    splitter = Splitter()
    due: float | None = None if authorised else time.monotonic() + FIRST_MESSAGE
    reason = "the sender ended the connection"
    try:
        while True:
            data = await asyncio.wait_for(reader.read(CHUNK), None if due is None else max(due - time.monotonic(), 0))
            if not data:
                break
            complete = not splitter.begun
            for message in splitter.feed(data):
                desk.take(sender, message)
                complete = True
            if sender.proven and (complete or not splitter.begun):
                due = time.monotonic() + FIRST_MESSAGE if splitter.begun else None
            await asyncio.sleep(0)  # others have their turn, also while one sends without a pause
    except asyncio.TimeoutError:
        reason = f"no whole frame came in {FIRST_MESSAGE:g} s"
        _say(writer, reason)
    except (Refused, StreamBroken) as error:
        reason = str(error)
        _say(writer, reason)
    except OSError as error:
        reason = _why(error)
    finally:
        desk.leave(sender)
        writer.close()
    return reason


def _say(writer: asyncio.StreamWriter, reason: str) -> None:
    """Tell the sender why it is turned away, if it listens."""
    with contextlib.suppress(OSError):
        writer.write(json.dumps({"error": reason}).encode() + b"\n")


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is None:
        return
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _listen_udp(endpoint: Endpoint, desk: Desk) -> tuple[int, Closer]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(desk), local_addr=(endpoint.host, endpoint.port)
    )

    async def close() -> None:
        transport.close()

    return transport.get_extra_info("sockname")[1], close


class _Datagrams(asyncio.DatagramProtocol):
    """One message a datagram. Where a token is asked for, each must hold it: anybody can send from any address."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._senders: dict[Any, Sender] = {}  # no more than the desk welcomes

    def datagram_received(self, data: bytes, address: Any) -> None:
        sender = self._senders.get(address)
        if sender is None:
            sender = self._desk.welcome(_name(address), lambda: self._senders.pop(address, None))
        self._senders[address] = sender
        sender.authorised = self._desk.shows(None)
        try:
            self._desk.take(sender, data)
        except Refused:
            self._senders.pop(address, None)
            self._desk.leave(sender)


async def _listen_ws(endpoint: Endpoint, desk: Desk) -> tuple[int, Closer]:
    server_module = require("websockets.asyncio.server", extra="stream", purpose=f"Listening on {endpoint.shown}")

    def admitted(connection: Any, request: Any) -> Any:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if desk.shows(token if scheme.lower() == "bearer" else None):
            return None
        desk.turned_away(_name(connection.remote_address))
        return connection.respond(401, "a token is needed: Authorization: Bearer TOKEN\n")

    async def serve(connection: Any) -> None:
        await _read_ws(connection, desk)

    server = await server_module.serve(
        serve,
        endpoint.host,
        endpoint.port,
        origins=[None],  # no page of any site, which a visitor's browser would let in
        process_request=admitted,
        ssl=endpoint.tls(),
        compression=None,
        max_size=MAX_MESSAGE,
        max_queue=16,
        open_timeout=FIRST_MESSAGE,
        close_timeout=1,
        logger=_SILENT,
        server_header=None,
    )

    async def close() -> None:
        server.close()
        await server.wait_closed()

    return server.sockets[0].getsockname()[1], close


async def _dial_ws(endpoint: Endpoint, desk: Desk, connected: Callable[[], None]) -> str:
    client = require("websockets.asyncio.client", extra="stream", purpose=f"Dialling {endpoint.shown}")
    invalid = require("websockets.exceptions", extra="stream", purpose=f"Dialling {endpoint.shown}").WebSocketException
    headers = {} if endpoint.token is None else {"Authorization": f"Bearer {endpoint.token}"}
    uri = endpoint.shown.replace("+connect", "", 1)
    try:
        connection = await client.connect(
            uri,
            ssl=endpoint.tls(),
            additional_headers=headers,
            compression=None,
            max_size=MAX_MESSAGE,
            max_queue=16,
            open_timeout=DIALLING,
            close_timeout=1,
            logger=_SILENT,
            user_agent_header=None,
            proxy=None,
        )
    except (OSError, asyncio.TimeoutError, invalid) as error:
        raise SourceError(f"cannot reach {endpoint.shown}: {_why(error)}") from error
    connected()
    return await _read_ws(connection, desk, dialled=True)


async def _read_ws(connection: Any, desk: Desk, *, dialled: bool = False) -> str:
    """Messages of one WebSocket connection; returns why it ended."""
    closed = require("websockets.exceptions", extra="stream", purpose="Reading a WebSocket").ConnectionClosed
    sender = desk.welcome(_name(connection.remote_address), connection.transport.abort, authorised=True)
    begun = time.monotonic()
    reason = "the sender ended the connection"
    try:
        while True:
            waiting = not sender.proven and not dialled
            rest = max(begun + FIRST_MESSAGE - time.monotonic(), 0.0) if waiting else None
            message = await asyncio.wait_for(connection.recv(), rest)
            desk.take(sender, message.encode() if isinstance(message, str) else message)
            await asyncio.sleep(0)
    except asyncio.TimeoutError:
        reason = f"no frame came in {FIRST_MESSAGE:g} s"
        await connection.close(1008, reason)
    except Refused as error:
        reason = str(error)
        await connection.close(1008, reason[:100])
    except closed as error:
        sent = getattr(error, "sent", None)
        if sent is not None and sent.code == 1009:  # too long: nothing of it was kept
            desk.too_long(sender)
        reason = str(error)
    finally:
        desk.leave(sender)
        await connection.close()
    return reason


def _name(address: Any) -> str:
    """An address for notes."""
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return "a sender"


def _why(error: BaseException) -> str:
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return f"no answer in {DIALLING:g} s"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # asyncio puts its own words in its place
    return str(error) or type(error).__name__
