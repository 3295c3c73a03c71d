"""A run as a service: systemd is told how it is, and a bundle that was replaced is taken up without a restart."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.manifest import MANIFEST
from mmn_edge.errors import BundleError, MmnEdgeError
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.runtime.backends.backend import Backend
from mmn_edge.runtime.pipeline import Pipeline
from mmn_edge.system.systemd import notify, watchdog_seconds

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Service"]

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""A bundle's manifest is looked at this often; it must stay the same from one look to the next."""

Opened = tuple[Bundle, AbstractContextManager[Backend], DecoderParameters]
Stamp = tuple[int, int, int]


class Service:
    """Around :meth:`Pipeline.run`: READY, WATCHDOG and STOPPING for systemd, and reloads of the bundle.

    A bundle is taken up when its manifest is replaced, or on SIGUSR1. It is opened, loaded and run once first, on a
    thread of its own, and swapped in between two windows. Where any of that fails the old one goes on, which is said.

    Args:
        pipeline: Entered.
        path: The bundle.
        load: Opens it anew, with its backend not yet entered and the parameters of its decoder; None for no reloads.
        on_note: Told in a sentence what happened.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        path: Path,
        load: Callable[[], Opened] | None,
        *,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._pipeline, self._path, self._load, self._note = pipeline, path, load, on_note
        self._changed = threading.Event()
        self._asked = threading.Event()
        self._seen = self._stamp()
        self._loaded: list[AbstractContextManager[Backend]] = []
        self._threads: list[threading.Thread] = []
        self._before: object = None
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        if self._load is not None:
            if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGUSR1"):
                self._before = signal.signal(signal.SIGUSR1, self._heard)
            self._threads.append(threading.Thread(target=self._watch, name="reload", daemon=True))
        if (period := watchdog_seconds()) is not None:
            self._threads.append(threading.Thread(target=self._beat, args=(period / 2,), name="watchdog", daemon=True))
        for thread in self._threads:
            thread.start()
        notify("READY=1")
        return self

    def __exit__(self, *error: object) -> None:
        notify("STOPPING=1")
        self._stopped.set()
        self._changed.set()
        if self._before is not None:
            signal.signal(signal.SIGUSR1, self._before)  # type: ignore[arg-type]
        for backend in self._loaded:
            backend.__exit__(None, None, None)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._asked.set()
        self._changed.set()

    def _beat(self, period: float) -> None:
        """Have the thread of recognition, and no other, say that it lives."""
        while not self._stopped.is_set():
            self._pipeline.between_windows(_say_alive)
            self._stopped.wait(period)

    def _stamp(self) -> Stamp | None:
        try:
            facts = (self._path / MANIFEST).stat()
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_ino, facts.st_size

    def _watch(self) -> None:
        last = self._seen
        while not self._stopped.is_set():
            self._changed.wait(LOOK_SECONDS)
            self._changed.clear()
            if self._stopped.is_set():
                return
            now = self._stamp()
            replaced = now == last and now is not None and now != self._seen
            last = now
            if self._asked.is_set() or replaced:
                self._asked.clear()
                self._seen = now
                self._reload()

    def _reload(self) -> None:
        if self._load is None:
            raise AssertionError("only watched where there is something to load")
        try:
            bundle, ready, parameters = self._load()
            backend = ready.__enter__()
        except (MmnEdgeError, OSError) as error:
            self._note(f"the new bundle is not used, the old one goes on: {error}")
            return
        try:
            _try_out(bundle, backend)
        except Exception as error:
            log.debug("the new bundle does not run", exc_info=error)
            ready.__exit__(None, None, None)
            self._note(f"the new bundle is not used, the old one goes on: {error}")
            return
        self._pipeline.between_windows(lambda: self._swap(bundle, ready, backend, parameters))

    def _swap(
        self,
        bundle: Bundle,
        ready: AbstractContextManager[Backend],
        backend: Backend,
        parameters: DecoderParameters,
    ) -> None:
        try:
            self._pipeline.swap(bundle, backend, parameters)
        except MmnEdgeError as error:
            ready.__exit__(None, None, None)
            self._note(f"the new bundle is not used, the old one goes on: {error}")
            return
        # The first backend is its owner's to release, those that came here are ours.
        for earlier in self._loaded:
            earlier.__exit__(None, None, None)
        self._loaded = [ready]
        self._note(f"{bundle.path} was replaced and is used from now on")


def _say_alive() -> None:
    notify("WATCHDOG=1")


def _try_out(bundle: Bundle, backend: Backend) -> None:
    """Run a window once.

    Raises:
        BundleError: The bundle is for something else, or gives no finite number.
    """
    inputs = {}
    arch, window = bundle.manifest.architecture, bundle.manifest.window
    if bundle.manifest.input == "keypoints":
        shape = (1, window.frames, arch.num_joints, arch.in_channels)
        inputs["keypoints"] = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        if not np.isfinite(backend.run(inputs).probabilities).all():
            raise BundleError(f"{bundle.path} gives no finite number")
