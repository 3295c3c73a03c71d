from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from mmn_edge.events.decoder import Event
from mmn_edge.model import labels
from mmn_edge.runtime.sinks.context import SinkContext

NAMES = labels.get("synthetic")


@pytest.fixture
def notes() -> list[str]:
    """What the sinks of a test said."""
    return []


@pytest.fixture
def context(notes: list[str]) -> SinkContext:
    return SinkContext(NAMES, ("desk",), live=True, on_note=notes.append)


@pytest.fixture
def event() -> Callable[..., Event]:
    """Makes an event of the first class."""

    def make(kind: str = "start", number: int = 1, onset: float = 1.0, label: str = NAMES.classes[0]) -> Event:
        return Event(
            kind, f"0.{number}", 0, label, "head", "class", onset, onset + 0.5, 0.9, 0.8, 1.0, onset + 1.0, onset + 1.0
        )

    return make


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
