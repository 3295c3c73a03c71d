"""The command line: the only place where the stages meet, by imports inside commands."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from mmn_edge import __version__
from mmn_edge.cli.lazy import LazyGroup, Place
from mmn_edge.errors import MmnEdgeError

__all__ = ["cli", "main"]

INTERRUPTED = 130
"""128 + SIGINT, what shells expect."""


COMMANDS = {
    "convert": Place(
        "mmn_edge.cli.bundles", "Convert CHECKPOINT to a bundle: an ONNX model and a manifest that says all about it."
    ),
    "data": Place("mmn_edge.cli.data", "Check, import and download skeleton data sets."),
    "demo": Place(
        "mmn_edge.cli.demo",
        "See it work: convert a small checkpoint, play a scripted synthetic person, compare with the script.",
    ),
    "evaluate": Place(
        "mmn_edge.cli.evaluation", "Measure how good each MODEL is on labelled clips, and how far the models differ."
    ),
    "events": Place(
        "mmn_edge.cli.events", "Convert, compare and draw annotations and events: who did what from when to when."
    ),
    "layouts": Place("mmn_edge.cli.layouts", "List and draw skeleton layouts, and show how their joints are mapped."),
    "profile": Place("mmn_edge.cli.bundles", "Measure latency and throughput of BUNDLE on this machine."),
    "quantize": Place(
        "mmn_edge.cli.quantization", "Quantize CHECKPOINT to int8 after training, and see which layers mind."
    ),
    "recipes": Place("mmn_edge.cli.training", "List the training recipes, or show all fields of the recipe NAME."),
    "record": Place(
        "mmn_edge.cli.streams", "Record the skeletons of SOURCE, so that the session can be replayed exactly."
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
      mmn-edge demo                                    see it work: no GPU, no camera, no data
      mmn-edge convert model.pt                        checkpoint -> model.bundle
      mmn-edge verify model.bundle                     what fp16 and int8 lose, and where
      mmn-edge run --camera 0                          recognise live (after convert)
      mmn-edge run --model model.bundle talk.avi       recognise in a video
      mmn-edge profile model.bundle                    latency and throughput on this machine
      mmn-edge train synthetic -o runs/first           train a small model
      mmn-edge data check set.pkl -o report            what is in a data set, and what is wrong with it
      mmn-edge evaluate best.pt model.bundle --data set.pkl
                                                       how good models are, and how far apart
      mmn-edge events score truth.csv predicted.csv    how good events are, or how two annotators agree

    \b
    Shell completion (bash; likewise zsh_source, fish_source):
      eval "$(_MMN_EDGE_COMPLETE=bash_source mmn-edge)"

    Exit codes: 0 done, 1 failure, 2 wrong usage, 3 bad data, 4 bad checkpoint, 5 bad bundle, 6 missing package,
    7 source failed, 8 verification failed, 9 no engine that fits, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; errors of :mod:`mmn_edge.errors` become one sentence and an exit code.

    To be asked to end, by systemd or a closed terminal, is treated as Ctrl-C: what was recorded is kept. What was to be
    ignored from the start, as a closed terminal is after ``nohup``, still is.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    sys.exit(_invoke(arguments))


def _invoke(arguments: Sequence[str] | None) -> Any:
    try:
        return cli.main(args=arguments, prog_name="mmn-edge", standalone_mode=False)
    except MmnEdgeError as error:
        click.echo(f"mmn-edge: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        click.echo(f"mmn-edge: the system refused{place}: {error.strerror or error}", err=True)
        return MmnEdgeError.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("mmn-edge: interrupted", err=True)
        return INTERRUPTED
