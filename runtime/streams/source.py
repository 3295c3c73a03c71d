"""Skeletons from the network as a source."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mmn_edge.errors import SourceError
from mmn_edge.runtime.handover import Handover
from mmn_edge.runtime.sources.source import BaseSource, Observation
from mmn_edge.runtime.streams.counts import Notes, StreamCounts
from mmn_edge.runtime.streams.desk import Desk
from mmn_edge.runtime.streams.endpoint import TOKEN, Endpoint
from mmn_edge.runtime.streams.transports import dial, listen

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CAPACITY", "StreamSource"]

log = logging.getLogger(__name__)

CAPACITY = 256
"""Frames that wait at most; of more, the oldest are dropped."""

BACK_OFF = (1.0, 60.0)
"""Seconds until it is dialled again: at first, and at most."""

STEADY = 30.0
"""Seconds that a connection must have lasted for the next wait to be the shortest again."""


class StreamSource(BaseSource):
    """Listens for a sender of skeletons, or dials one, and dials again when it is lost.

    Args:
        endpoint: Where to listen, or whom to dial.
        patient: Wait for one that is dialled and not there at the start, rather than fail.
        on_note: Told in a sentence of trouble that is survived, each kind at most once a minute.
        back_off: Seconds until it is dialled again, at first and at most.

    Attributes:
        counts: What came and was left out.
        port: The port that is listened on, once open.

    Raises:
        SourceError: On entry, if the address cannot be listened on or reached.
        MissingDependencyError: On entry, for WebSockets without the package.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        patient: bool = False,
        on_note: Callable[[str], None] = log.warning,
        back_off: tuple[float, float] = BACK_OFF,
    ) -> None:
        self._endpoint = endpoint
        self._patient = patient
        self._tell = on_note
        self._back_off = back_off
        self.counts = StreamCounts()
        self.port = endpoint.port
        self._handover: Handover[Observation] = Handover(CAPACITY, newest=True)
        self._desk = Desk(None if endpoint.dials else endpoint.token, self._handover, self.counts, Notes(on_note))
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name=f"stream {endpoint.shown}", daemon=True)
        self._reconnects = 0

    @property
    def layout(self) -> str | None:
        """That of the first frame."""
        return self._desk.gate.layout

    @property
    def live(self) -> bool:
        """It is lived through."""
        return True

    @property
    def note(self) -> str | None:
        """What was left out, and why."""
        text = self.counts.text
        return None if text is None else f"{self._endpoint.shown}: {text}"

    @property
    def dropped(self) -> int:
        """Frames that gave way to newer ones, and messages that came too fast."""
        return self._handover.dropped + self.counts.too_fast

    @property
    def reconnects(self) -> int:
        """How often a sender was lost, and one sent again."""
        return self._reconnects if self._endpoint.dials else max(self.counts.senders - 1, 0)

    def __enter__(self) -> Self:
        if not self._endpoint.dials and not self._endpoint.is_local and self._endpoint.token is None:
            self._tell(
                f"anybody who reaches {self._endpoint.shown} may send: ask for a token, with token-file=FILE or the "
                f"variable {TOKEN}"
            )
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def __iter__(self) -> Iterator[Observation]:
        """Yield frames as they come, until it is stopped."""
        while (observation := self._handover.take()) is not None:
            yield observation

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
        self._handover.end()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._failure = error
        self._handover.end(None if self._stopping.is_set() else self._failure)
        self._opened.set()

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopping.is_set():
            return
        if self._endpoint.dials:
            await self._dial()
            return
        self.port, close = await listen(self._endpoint, self._desk)
        self._opened.set()
        try:
            await asyncio.Event().wait()
        finally:
            await close()

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        wait, most = self._back_off
        was_there = False
        made = 0.0

        def connected() -> None:
            nonlocal was_there, made
            self._reconnects += was_there
            if was_there:
                self._tell(f"{self._endpoint.shown} is back")
            was_there, made = True, loop.time()
            self._opened.set()

        if self._patient:
            self._opened.set()
        while True:
            made = 0.0
            try:
                reason = f"{self._endpoint.shown} was lost: {await dial(self._endpoint, self._desk, connected)}"
            except SourceError as error:
                if not self._opened.is_set():
                    raise
                reason = str(error)
            if made and loop.time() - made >= STEADY:
                wait = self._back_off[0]
            self._tell(f"{reason}; trying again in {wait:g} s")
            await asyncio.sleep(wait)
            wait = min(wait * 2, most)
