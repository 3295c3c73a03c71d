"""Events to whoever connects by WebSocket, one JSON object a message."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.server.app import Server
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WebSocketSink"]

QUEUE = 256
"""Messages that wait for a client at most; a slower one loses the oldest, and is told how many."""


class WebSocketSink:
    """Sends what comes to all clients of a path of the server; late ones begin with what goes on.

    Args:
        server: The run's server, not yet entered.
        path: Such as ``/events``.
        context: The run.

    Attributes:
        dropped: Messages that clients were too slow for, over all of them.

    Raises:
        MissingDependencyError: Starlette is not installed.
    """

    name = "websocket"
    prompt = True

    def __init__(self, server: Server, path: str, context: SinkContext) -> None:
        require("starlette", extra="server", purpose="The sink ws")
        routing = require("starlette.routing", extra="server", purpose="The sink ws")
        require("websockets", extra="server", purpose="The sink ws")
        self.dropped = 0
        self._context = context
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: set[_Client] = set()
        self._running: dict[tuple[str, str], str] = {}
        context.losses[f"ws {path}"] = lambda: self.dropped
        server.add_routes([routing.WebSocketRoute(path, self._serve)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.dropped:
            self._context.on_note(f"WebSocket clients were too slow for {self.dropped} messages")

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do: messages are sent when they are made."""

    def write(self, item: Event | Prediction) -> None:
        """Send one to all clients; never waits."""
        values = self._context.values(item)
        text = json.dumps(values, ensure_ascii=False)
        if isinstance(item, Event):
            key = (values["source"], item.id)
            # Replaced and never changed: the server's thread reads it.
            others = {other: line for other, line in self._running.items() if other != key}
            self._running = others if item.kind == "end" else {**others, key: text}
        loop = self._loop
        if loop is not None and self._clients and not loop.is_closed():
            loop.call_soon_threadsafe(self._spread, text)

    def _spread(self, text: str) -> None:
        for client in self._clients:
            self.dropped += client.put(text)

    async def _serve(self, socket: Any) -> None:
        await socket.accept()
        self._loop = asyncio.get_running_loop()
        client = _Client()
        for text in self._running.values():
            client.put(text)
        self._clients.add(client)
        sender = asyncio.create_task(client.send(socket))
        try:
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass  # nothing is expected of clients
        finally:
            self._clients.discard(client)
            sender.cancel()


class _Client:
    """One client's messages, in the server's thread."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE)
        self._lost = 0

    def put(self, text: str) -> int:
        """Queue a message; returns how many were dropped for it."""
        dropped = 0
        if self._queue.full():
            self._queue.get_nowait()
            dropped = 1
        self._lost += dropped
        self._queue.put_nowait(text)
        return dropped

    async def send(self, socket: Any) -> None:
        """Send until the client has gone."""
        while True:
            text = await self._queue.get()
            if self._lost:
                lost, self._lost = self._lost, 0
                await socket.send_text(json.dumps({"type": "dropped", "count": lost}))
            await socket.send_text(text)
