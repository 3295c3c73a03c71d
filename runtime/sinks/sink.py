"""Where predictions go: JSON lines for programs, a live table for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from mmn_edge.runtime.recognizer import Prediction

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["JsonLinesSink", "Sink", "TableSink"]


class Sink(Protocol):
    """Takes predictions, in order; a context manager."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *error: object) -> None:
        """End, and flush what is pending."""

    def advance(self, time: float) -> None:
        """Learn that the stream has come to ``time``, seconds; called for every frame."""

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""


class Lines(Protocol):
    """What lines are written to: a text file, or a :class:`mmn_edge.system.files.LineFile`."""

    def write(self, line: str, /) -> object:
        """Write one line."""

    def flush(self) -> None:
        """Let readers see it."""


class JsonLinesSink:
    """One JSON object a line, flushed at once so that a reader at the other end of a pipe sees it in time."""

    def __init__(self, file: Lines) -> None:
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, time: float) -> None:
        """Nothing to do: a line stays as it was written."""

    def write(self, prediction: Prediction) -> None:
        """Write one line."""
        self._file.write(json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n")
        self._file.flush()


class TableSink:
    """A table on a terminal, redrawn in place: for every person the five likeliest classes, and the latencies.

    Args:
        stride: Seconds of the stream between two predictions of a person.
    """

    WIDTH = 24

    def __init__(self, *, stride: float = 0.25) -> None:
        self._kept_seconds = max(3.0, 1.5 * stride)
        # Replaced and never changed: another thread draws it.
        self._latest: dict[int, Prediction] = {}
        self._time = 0.0
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.live import Live

        self._live = Live(get_renderable=self._render, refresh_per_second=12, transient=False)
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(*error)

    def advance(self, time: float) -> None:
        """Move the clock; persons not predicted for three seconds of stream time, or 1.5 strides, vanish."""
        self._time = time
        if any(time - p.time >= self._kept_seconds for p in self._latest.values()):
            self._latest = {k: p for k, p in self._latest.items() if time - p.time < self._kept_seconds}

    def write(self, prediction: Prediction) -> None:
        """Show one prediction."""
        self._latest = {**self._latest, prediction.person: prediction}

    def _render(self) -> Any:
        from rich.table import Table

        latest = self._latest
        title = f"micro-actions at {self._time:.1f} s"
        if not latest:
            title += ": waiting for somebody to be seen for a whole window"
        table = Table(title=title, title_justify="left", expand=False)
        # Fixed widths, so that the table does not jump from one prediction to the next.
        for heading, width in (("person", 6), ("micro-action", 32), ("group", 10), ("probability", 7 + self.WIDTH)):
            table.add_column(heading, no_wrap=True, min_width=width)
        for person, prediction in sorted(latest.items()):
            for rank, (label, probability) in enumerate(prediction.top):
                bar = "█" * round(probability * self.WIDTH)
                table.add_row(
                    str(person) if rank == 0 else "",
                    label,
                    (prediction.group or "") if rank == 0 else "",
                    f"{probability:6.1%} {bar}",
                    style="bold" if rank == 0 else "dim",
                    end_section=rank == len(prediction.top) - 1,
                )
        if latest:
            stages = max(latest.values(), key=lambda p: p.time).latency_ms
            table.caption = "  ".join(f"{stage} {ms:.1f} ms" for stage, ms in stages.items())
        return table
