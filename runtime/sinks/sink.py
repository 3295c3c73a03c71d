"""Where events and predictions go: JSON lines for programs, a live table for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks.event_table import event_table

if TYPE_CHECKING:
    from rich.console import Console
    from typing_extensions import Self

    from mmn_edge.runtime.sinks.context import SinkContext
    from mmn_edge.runtime.sinks.rotation import RotatedLines

__all__ = ["JsonLinesSink", "RotatedSink", "Sink", "TableSink"]


class Sink(Protocol):
    """Takes events and predictions, in order; a context manager.

    Attributes:
        name: What counters and notes call it.
        prompt: Whether it never waits for a device, a network or a reader. Others get a thread and a queue of their own
            where a live source must not wait for them.
    """

    @property
    def name(self) -> str:
        """What counters and notes call it."""

    @property
    def prompt(self) -> bool:
        """Whether it never waits for anything."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *error: object) -> None:
        """End, and flush what is pending."""

    def advance(self, time: float, source: str = "") -> None:
        """Learn that a stream has come to ``time``, seconds: for every frame, or now and then where it has a queue."""

    def write(self, item: Event | Prediction) -> None:
        """Take one of either."""


class Lines(Protocol):
    """What lines are written to: a text file, or a :class:`mmn_edge.system.files.LineFile`."""

    def write(self, line: str, /) -> object:
        """Write one line."""

    def flush(self) -> None:
        """Let readers see it."""


class JsonLinesSink:
    """One JSON object a line, flushed at once so that a reader at the other end of a pipe sees it in time."""

    prompt = False

    def __init__(self, file: Lines, name: str = "standard output") -> None:
        self._file = file
        self.name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do: a line stays as it was written."""

    def write(self, item: Event | Prediction) -> None:
        """Write one line."""
        self._file.write(json.dumps(item.to_dict(), ensure_ascii=False) + "\n")
        self._file.flush()


class RotatedSink:
    """JSON lines into rotated files, each with its source, and with the time of day when live.

    Args:
        lines: The files.
        context: The run.
    """

    name = "rotated files"
    prompt = False

    def __init__(self, lines: RotatedLines, context: SinkContext) -> None:
        self._lines, self._context = lines, context
        context.losses[str(lines)] = lambda: self.dropped

    @property
    def dropped(self) -> int:
        """Lines that could not be written."""
        return self._lines.dropped

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()

    def advance(self, time: float, source: str = "") -> None:
        """Nothing to do: a line stays as it was written."""

    def write(self, item: Event | Prediction) -> None:
        """Write one line."""
        self._lines.write(json.dumps(self._context.values(item), ensure_ascii=False) + "\n")


class TableSink:
    """Tables on a terminal, redrawn in place: what goes on and what ended last, and each window's likeliest classes.

    A terminal that is narrow gets less: first the bars go, then the group, then what is beside the label and its
    probability.

    Args:
        console: Where it is drawn; its width is asked for at each drawing. Labels are printed as they are: the console
            must take neither markup nor emoji codes.
        stride: Seconds of the stream between two predictions of a person.
        events: Show events.
        predictions: Show predictions.
        status: Asked for the line below the tables.
    """

    BAR = 24
    LABEL = 32
    ENDED = 8

    name = "the table"
    prompt = True

    def __init__(
        self,
        console: Console,
        *,
        stride: float = 0.25,
        events: bool = False,
        predictions: bool = True,
        status: Callable[[], str] = lambda: "",
    ) -> None:
        self._console = console
        self._status = status
        self._kept_seconds = max(3.0, 1.5 * stride)
        # Replaced and never changed: another thread draws it.
        self._latest: dict[tuple[str, int], Prediction] = {}
        self._running: dict[tuple[str, str], Event] = {}
        self._ended: tuple[Event, ...] = ()
        self._events, self._predictions = events, predictions
        self._times: dict[str, float] = {}
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.live import Live

        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=12, transient=False)
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(*error)

    def advance(self, time: float, source: str = "") -> None:
        """Move a clock; persons not predicted for three seconds of stream time, or 1.5 strides, vanish."""
        self._times[source] = time
        gone = [k for k, p in self._latest.items() if k[0] == source and time - p.time >= self._kept_seconds]
        if gone:
            self._latest = {k: p for k, p in self._latest.items() if k not in gone}

    def write(self, item: Event | Prediction) -> None:
        """Show it."""
        if not isinstance(item, Event):
            self._latest = {**self._latest, (item.source, item.person): item}
            return
        name = (item.source, item.id)
        others = {key: event for key, event in self._running.items() if key != name}
        self._running = others if item.kind == "end" else {**others, name: item}
        if item.kind == "end":
            self._ended = (item, *self._ended)[: self.ENDED]

    def _render(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        tables: list[Any] = []
        if self._events:
            tables.append(event_table(self._running.values(), self._ended, self._now(), self._console.width))
        if self._predictions:
            tables.append(self._prediction_table())
        if status := self._status():
            tables.append(Text(status, "dim"))
        return Group(*tables)

    def _now(self) -> float:
        return max(self._times.values(), default=0.0)

    def _prediction_table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        latest = self._latest
        title = f"micro-actions at {self._now():.1f} s"
        if not latest:
            return Text(f"{title}: waiting for somebody to be seen for a whole window", "italic")
        # Fixed widths, so that the table does not jump from one prediction to the next.
        person, label, group, bar = self._widths(max(len(p.group or "") for p in latest.values()))
        table = Table(expand=False)
        table.add_column("person" if person >= 6 else "", no_wrap=True, width=person)
        table.add_column("micro-action", width=label)  # wrapped between words where it must be
        if group:
            table.add_column("group", no_wrap=True, width=group)
        table.add_column("prob." if not bar else "probability", no_wrap=True, width=6 + (bar and bar + 1))
        for (source, number), prediction in sorted(latest.items()):
            identity = f"{source} {number}".strip()
            if prediction.label is None:
                cells = [identity, f"{prediction.reason} ({prediction.seen:.0%} of the joints)"]
                table.add_row(*cells, *([""] if group else []), "", style="dim", end_section=True)
            for rank, (name, probability) in enumerate(prediction.top):
                cells = [identity if rank == 0 else "", name]
                if group:
                    cells.append((prediction.group or "") if rank == 0 else "")
                filled = f" {'█' * round(probability * bar)}" if bar else ""
                table.add_row(
                    *cells,
                    f"{probability:6.1%}{filled}",
                    style="bold" if rank == 0 else "dim",
                    end_section=rank == len(prediction.top) - 1,
                )
        stages = max(latest.values(), key=lambda p: p.time).latency_ms
        caption = ", ".join(f"{stage} {ms:.1f}" for stage, ms in stages.items()) + " ms"
        return Group(Text(title, "italic"), table, Text(caption, "dim"))

    def _widths(self, group: int) -> tuple[int, int, int, int]:
        """Columns of person, label, group and bar; 0 leaves one out."""
        group = group and max(group, 10)
        room = self._console.width - 6  # of the probability
        for person, shown_group, label, bar in (
            (6, group, self.LABEL, self.BAR),
            (6, group, self.LABEL, 0),
            (6, 0, self.LABEL, 0),
            (3, 0, self.LABEL, 0),
        ):
            frames = 3 * (3 + bool(shown_group)) + 1
            left = room - person - shown_group - label - (bar and bar + 1) - frames
            if left >= 0:
                return person, label, shown_group, bar or (left - 1 if left >= 9 else 0)
        return 3, max(room - 3 - 10, 12), 0, 0
