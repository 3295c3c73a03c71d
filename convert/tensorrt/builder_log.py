"""What TensorRT's builder tells while it works: its messages, and how far it is.

Both interfaces are classes of the module that is loaded, so they are made by functions. They are called from inside
the builder, where a Python exception would end the process: they keep it for afterwards.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, SupportsInt

from mmn_edge.system.tensorrt import load_tensorrt

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["BuilderLog", "Cancellation", "Phases", "cancellable", "logger", "monitor"]


@dataclass
class BuilderLog:
    """A builder's messages: what is kept in the log file, the errors among it, and the list of kernels."""

    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)

    def add(self, severity: str, message: str) -> None:
        """Take a message of ``INTERNAL_ERROR``, ``ERROR``, ``WARNING``, ``INFO`` or ``VERBOSE``.

        Of the verbose ones only the list of kernels is kept: there are tens of thousands.
        """
        if severity.endswith("ERROR"):
            self.errors.append(message)
        if message.startswith("Layers:"):
            self.kernels.append(message)
        elif severity != "VERBOSE":
            self.lines.append(f"[{severity}] {message}")

    def text(self) -> str:
        """All that is kept, for a file."""
        return "\n".join(self.lines) + "\n"


class Phases:
    """The builder's phases, which lie within one another, as one number from 0 to 1.

    Args:
        on_progress: Called with the share done, never less than before, and the name of the phase.
    """

    def __init__(self, on_progress: Callable[[float, str], None]) -> None:
        self._on_progress = on_progress
        self._open: dict[str, tuple[str | None, int, int]] = {}
        self._share = 0.0
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of ``steps`` steps begins; ``parent`` is the one that it is a step of."""
        with self._lock:
            self._open[name] = (parent, max(steps, 1), 0)
            self._report(name)

    def step(self, name: str, done: int) -> None:
        """So many steps of a phase are done."""
        with self._lock:
            if name in self._open:
                parent, steps, _ = self._open[name]
                self._open[name] = (parent, steps, min(done, steps))
                self._report(name)

    def finish(self, name: str) -> None:
        """A phase is over, whether or not all of its steps were told."""
        with self._lock:
            self._open.pop(name, None)

    def _report(self, name: str) -> None:
        share, within = 0.0, self._open.get(name)
        for _ in range(len(self._open)):
            if within is None:
                break
            parent, steps, done = within
            share = min((done + share) / steps, 1.0)
            within = self._open.get(parent) if parent is not None else None
        self._share = max(self._share, share)
        self._on_progress(self._share, name)


class Cancellation:
    """Whether to end, and why; read by the builder at every step.

    Attributes:
        asked: By the user, or because of ``error``.
        error: What a caller's function raised while TensorRT was at work.
    """

    def __init__(self) -> None:
        self.asked = False
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """End because of an error; the first one is raised afterwards."""
        self.asked = True
        self.error = self.error or error


@contextmanager
def cancellable() -> Iterator[Cancellation]:
    """Turn Ctrl-C and the request to end into a flag while TensorRT builds; raise KeyboardInterrupt afterwards.

    A signal's own exception would be raised in the middle of TensorRT's code, which it cannot pass.

    Raises:
        KeyboardInterrupt: The user asked to end.
        Exception: What a caller's function raised meanwhile.
    """
    cancellation = Cancellation()
    if threading.current_thread() is not threading.main_thread():
        yield cancellation
        _raise(cancellation)
        return

    def ask(number: int, frame: Any) -> None:
        cancellation.asked = True

    earlier = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield cancellation
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    _raise(cancellation)


def _raise(cancellation: Cancellation) -> None:
    if cancellation.error is not None:
        raise cancellation.error
    if cancellation.asked:
        raise KeyboardInterrupt


def logger(flavour: str, log: BuilderLog) -> trt.ILogger:
    """A logger that fills ``log``."""
    if not TYPE_CHECKING:
        trt = load_tensorrt(flavour)

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            log.add(severity.name, msg)

    return Logger()


def monitor(flavour: str, phases: Phases, cancellation: Cancellation) -> trt.IProgressMonitor:
    """A monitor that reports to ``phases`` and stops the build once it is cancelled."""
    if not TYPE_CHECKING:
        trt = load_tensorrt(flavour)

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: SupportsInt) -> None:
            try:
                phases.start(phase_name, parent_phase, int(num_steps))
            except Exception as error:  # it must not go through TensorRT
                cancellation.fail(error)

        def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
            try:
                phases.step(phase_name, int(step) + 1)
            except Exception as error:
                cancellation.fail(error)
            return not cancellation.asked

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()
