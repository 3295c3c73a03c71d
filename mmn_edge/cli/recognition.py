"""One run of ``mmn-edge run``: sources through a pipeline into sinks, with progress and a summary."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmn_edge.cli import terminal
from mmn_edge.cli.event_output import open_sinks
from mmn_edge.cli.logs import note, tell_summary
from mmn_edge.cli.run_summary import summary
from mmn_edge.errors import BundleError, DataError, SourceError

if TYPE_CHECKING:
    from mmn_edge.bundle.bundle import Bundle
    from mmn_edge.events.parameters import DecoderParameters
    from mmn_edge.runtime.backends.backend import Backend
    from mmn_edge.runtime.counters import SourceCounters
    from mmn_edge.runtime.pipeline import Emit
    from mmn_edge.runtime.sinks.sink import Sink
    from mmn_edge.runtime.sources.source import Source

__all__ = ["Recognition"]


@dataclass(frozen=True)
class Recognition:
    """What is the same for each run of a command.

    Attributes:
        bundle: The model.
        loaded: What runs it.
        emit: Events, predictions or both.
        parameters: The decoder's.
        enough_seen: Share of a window's joints that must have been seen.
        duration: Seconds of each stream.
        sink_names: Further sinks.
        as_json: JSON lines on standard output, also on a terminal.
        reopen: Opens the bundle anew where it is replaced; None where it is not to be.
    """

    bundle: Bundle
    loaded: Backend
    emit: Emit
    parameters: DecoderParameters
    enough_seen: float | None
    duration: float | None
    sink_names: tuple[str, ...]
    as_json: bool
    reopen: Callable[[], tuple[Bundle, Backend, DecoderParameters]] | None = None

    def run(
        self,
        opened: Mapping[str, tuple[str, Source]],
        outputs: Sequence[Path],
        *,
        further: Sequence[Sink] = (),
        prefix: str = "",
    ) -> bool:
        """Run what :func:`mmn_edge.cli.source_options.open_sources` gave; False if nobody reads standard output.

        Args:
            opened: The sources.
            outputs: Files to write.
            further: Sinks besides those that were named.
            prefix: Stands before what is said of the progress.

        Raises:
            MmnEdgeError: What went wrong, after what was predicted until then was written and summed up.
            KeyboardInterrupt: Likewise.
        """
        from mmn_edge.runtime.pipeline import Pipeline
        from mmn_edge.runtime.service import Service

        streams = {called: stream for called, (_, stream) in opened.items()}
        failure: BaseException | None = None
        with ExitStack() as stack:
            progress = _Progress(prefix)
            pipeline = Pipeline(
                streams,
                self.bundle,
                self.loaded,
                emit=self.emit,
                parameters=self.parameters,
                enough_seen=self.enough_seen,
                duration=self.duration,
                on_note=note,
                on_frame=progress.frame,
            )
            stack.enter_context(pipeline)
            counters = pipeline.counters
            sinks = open_sinks(
                stack,
                self.bundle,
                next(iter(opened.values()))[0],
                outputs,
                names=self.sink_names,
                live=any(stream.live for stream in streams.values()),
                emit=self.emit,
                as_json=self.as_json,
                on_note=note,
                counters=counters,
            )
            # Where events are seen, they tell how far it is.
            follow = terminal.following(f"{prefix}starting", quiet=sys.stdout.isatty())
            progress.follow = stack.enter_context(follow)
            try:
                with Service(pipeline, self.bundle.path, self.reopen, on_note=note):
                    pipeline.run([*sinks, *further])
            except BrokenPipeError:
                # The reader has gone, as in `mmn-edge run ... | head`: no error. Nothing is left to flush to.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return False
            except (SourceError, DataError, OSError, KeyboardInterrupt) as error:
                if not counters.predictions and (outputs or not isinstance(error, KeyboardInterrupt)):
                    raise  # nothing to keep: an earlier output file stays
                failure = error  # raised below, after the summary of what was predicted until now
        recognizers = list(pipeline.recognizers.values())
        tell_summary(summary(counters, recognizers, self.bundle.manifest.window), counters.to_dict())
        for stream in streams.values() if failure is None or isinstance(failure, KeyboardInterrupt) else ():
            if stream.note is not None:  # Ctrl-C is how a live stream ends
                note(stream.note)
        if failure is not None:
            raise failure
        if 0 < counters.predictions == sum(recognizer.not_finite for recognizer in recognizers):
            raise BundleError(
                f"{self.bundle.path} gave no finite number for any window ({self.loaded.precision} on "
                f"{self.loaded.name}): try another --precision, or train or convert it again"
            )
        return True


class _Progress:
    """Tells the terminal how far the streams are, not oftener than it can be read."""

    EVERY = 0.1

    def __init__(self, prefix: str = "") -> None:
        self.follow: Callable[[str, float | None], None] = lambda text, done: None
        self._prefix = prefix
        self._told = 0.0

    def frame(self, counters: SourceCounters, done: float | None) -> None:
        """A frame has come."""
        now = time.monotonic()
        if now - self._told >= self.EVERY:
            self._told = now
            self.follow(f"{self._prefix}{counters.time:.1f} s, {counters.events} events", done)
