"""Where predictions go: JSON lines for programs, a live table for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, TextIO

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


class JsonLinesSink:
    """One JSON object a line, flushed at once so that a reader at the other end of a pipe sees it in time."""

    def __init__(self, file: TextIO) -> None:
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
    """A table on a terminal, redrawn in place: for every person the five likeliest classes, and the latencies."""

    WIDTH = 24
    KEPT_SECONDS = 3.0

    def __init__(self) -> None:
        self._latest: dict[int, Prediction] = {}
        self._time = 0.0
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.live import Live

        self._live = Live(self._render(), refresh_per_second=12, transient=False)
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(*error)

    def advance(self, time: float) -> None:
        """Move the clock; persons not predicted for three seconds of stream time vanish."""
        self._time = time
        kept = {k: p for k, p in self._latest.items() if time - p.time < self.KEPT_SECONDS}
        if kept != self._latest:
            self._latest = kept
            self._live.update(self._render())

    def write(self, prediction: Prediction) -> None:
        """Show one prediction."""
        self._latest[prediction.person] = prediction
        self._live.update(self._render())

    def _render(self) -> Any:
        from rich.table import Table

        title = f"micro-actions at {self._time:.1f} s"
        if not self._latest:
            title += ": waiting for somebody to be seen for a whole window"
        table = Table(title=title, title_justify="left", expand=False)
        # Fixed widths, so that the table does not jump from one prediction to the next.
        for heading, width in (("person", 6), ("micro-action", 32), ("group", 10), ("probability", 7 + self.WIDTH)):
            table.add_column(heading, no_wrap=True, min_width=width)
        for person, prediction in sorted(self._latest.items()):
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
        if self._latest:
            stages = max(self._latest.values(), key=lambda p: p.time).latency_ms
            table.caption = "  ".join(f"{stage} {ms:.1f} ms" for stage, ms in stages.items())
        return table
