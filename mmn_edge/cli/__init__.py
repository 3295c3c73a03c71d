"""The command line: the only place where the stages meet, by imports inside commands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

from mmn_edge import __version__
from mmn_edge.cli.lazy import LazyGroup, Place
from mmn_edge.errors import INTERRUPTED, MissingDependencyError, MmnEdgeError

__all__ = ["cli", "main"]


COMMANDS = {
    "convert": Place(
        "mmn_edge.cli.bundles", "Convert CHECKPOINT to a bundle: an ONNX model and a manifest that says all about it."
    ),
    "data": Place("mmn_edge.cli.data", "Check, import and download skeleton data sets."),
    "demo": Place(
        "mmn_edge.cli.demo",
        "See it work: convert a small checkpoint, play a synthetic scene, compare the events with what was played.",
    ),
    "doctor": Place("mmn_edge.cli.doctor", "Say what this machine is, and what keeps mmn-edge from working on it."),
    "evaluate": Place(
        "mmn_edge.cli.evaluation", "Measure how good each MODEL is on labelled clips, and how far the models differ."
    ),
    "events": Place(
        "mmn_edge.cli.events", "Convert, compare and draw annotations and events: who did what from when to when."
    ),
    "layouts": Place("mmn_edge.cli.layouts", "List and draw skeleton layouts, and show how their joints are mapped."),
    "profile": Place("mmn_edge.cli.profile", "Measure latency and throughput of TARGET on this machine."),
    "quantize": Place(
        "mmn_edge.cli.quantization", "Quantize CHECKPOINT to int8 after training, and see which layers mind."
    ),
    "recipes": Place("mmn_edge.cli.training", "List the training recipes, or show all fields of the recipe NAME."),
    "record": Place(
        "mmn_edge.cli.streams", "Record the skeletons of SOURCE, so that the session can be replayed exactly."
    ),
    "replay": Place(
        "mmn_edge.cli.replay",
        "Run RECORDING through a model as fast as it goes, and say where that differs from an earlier run.",
    ),
    "run": Place("mmn_edge.cli.streams", "Recognise micro-actions in SOURCE."),
    "train": Place(
        "mmn_edge.cli.training",
        "Train MMN on DATA: a data set as 'mmn-edge data check' reads it, or the word synthetic.",
    ),
    "verify": Place(
        "mmn_edge.cli.verification",
        "Compare the precisions of BUNDLE with its fp32 model and with each other, and fail where one drifts too far.",
    ),
}


@click.group(
    cls=LazyGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="mmn-edge")
def cli() -> None:
    """Micro-action recognition on the edge: train, convert, run and profile MMN.

    \b
    Examples:
      mmn-edge demo                           see it work: no GPU, no camera
      mmn-edge doctor                         what this machine lacks
      mmn-edge convert model.pt               checkpoint -> model.bundle
      mmn-edge verify model.bundle            what fp16 and int8 lose, and where
      mmn-edge run --camera 0                 recognise live (after convert)
      mmn-edge run -m model.bundle talk.avi   recognise in a video
      mmn-edge profile model.bundle           latency and throughput here
      mmn-edge train synthetic -o runs/first  train a small model
      mmn-edge data check set.pkl -o report   what is in a data set
      mmn-edge evaluate best.pt --data a.pkl  how good a model is
      mmn-edge events score truth.csv b.csv   how good events are

    \b
    Shell completion (bash; likewise zsh_source, fish_source):
      eval "$(_MMN_EDGE_COMPLETE=bash_source mmn-edge)"

    Exit codes: 0 done, 1 failure, 2 wrong usage, 3 bad data, 4 bad checkpoint, 5 bad bundle, 6 missing package,
    7 source failed, 8 verification failed, 9 no engine that fits, 10 a gate failed, 130 interrupted.
    """


class _Interrupt:
    """What Ctrl-C does: KeyboardInterrupt, and a note of it, for C code makes other errors of that while it imports."""

    def __init__(self) -> None:
        self.heard = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.heard = True
        raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; errors of :mod:`mmn_edge.errors` become one sentence and an exit code.

    To be asked to end, by systemd or a closed terminal, is treated as Ctrl-C: what was recorded is kept. What was to be
    ignored from the start, as a closed terminal is after ``nohup``, still is. Standard streams that are closed are
    open to nowhere, so that no file gets their numbers.
    """
    interrupt = _Interrupt()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    _open_streams()
    code = _invoke(arguments, interrupt)
    code = _flushed(code)
    if signal.getsignal(signal.SIGINT) is interrupt:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # once more, while the interpreter takes itself apart: no traceback
    sys.exit(code)


def _invoke(arguments: Sequence[str] | None, interrupt: _Interrupt | None = None) -> Any:
    try:
        return cli.main(args=arguments, prog_name="mmn-edge", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except SystemExit as left:
        # When the reader has gone rich leaves out of the error, and click after it put a wrapper before the stream.
        if isinstance(left.__context__, BrokenPipeError) or type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):
            return 0
        raise
    except MmnEdgeError as error:
        if interrupt is not None and interrupt.heard and isinstance(error, MissingDependencyError):
            return _interrupted()  # the package is there; its import was interrupted
        click.echo(f"mmn-edge: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        if interrupt is not None and interrupt.heard:
            return _interrupted()
        place = f" {error.filename}" if error.filename else ""
        click.echo(f"mmn-edge: the system refused{place}: {error.strerror or error}", err=True)
        return MmnEdgeError.exit_code
    except MemoryError as error:
        click.echo(f"mmn-edge: not enough memory ({error}): ask for less at once", err=True)
        return MmnEdgeError.exit_code
    except Exception:
        if interrupt is not None and interrupt.heard:
            return _interrupted()
        raise


def _interrupted() -> int:
    click.echo("mmn-edge: interrupted", err=True)
    return INTERRUPTED


def _open_streams() -> None:
    """Open closed standard streams to nowhere, and give Python's words of its own a way past descriptor 2.

    Native code writes to descriptor 2, and what it says can be filtered there without our own words, see
    :mod:`mmn_edge.runtime.pose.notices`.
    """
    for number in (0, 1, 2):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    # A stream of a closed descriptor is None, which its annotation does not say.
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")
    elif sys.__stderr__ is not None and sys.stderr is sys.__stderr__:
        encoding = sys.__stderr__.encoding
        copy = os.dup(2)  # not closed before the process ends, which the interpreter would warn of
        sys.stderr = os.fdopen(copy, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _flushed(code: Any) -> Any:
    """The exit code, after what was printed has left; an error of that is told here and not by the interpreter."""
    try:
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has gone, as in `mmn-edge layouts | head`
        pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        click.echo(f"mmn-edge: the system refused standard output: {reason}", err=True)
        code = code or MmnEdgeError.exit_code
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code
