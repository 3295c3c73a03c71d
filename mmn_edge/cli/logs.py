"""What a long run tells on standard error: ``-v`` and ``--log-json``."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any, TypeVar

import click

__all__ = ["log_options", "logging_to_stderr", "note", "tell_summary"]

ROOT = "mmn_edge"
NOTES = f"{ROOT}.note"
"""The logger of what a user must know, with or without ``-v``."""

SUMMARY = f"{ROOT}.summary"

Command = TypeVar("Command", bound=Callable[..., Any])


def log_options(command: Command) -> Callable[..., Any]:
    """Give a command ``-v`` and ``--log-json``; the log goes to standard error while it runs."""

    @functools.wraps(command)
    def logged(*, verbose: int, log_json: bool, **rest: Any) -> Any:
        with logging_to_stderr(verbose, log_json):
            return command(**rest)

    click.option(
        "--log-json", is_flag=True, help="Notes, log and summary as JSON lines on standard error, for a collector."
    )(logged)
    click.option("-v", "--verbose", count=True, help="Tell what happens; twice: in detail.")(logged)
    return logged


@contextmanager
def logging_to_stderr(verbose: int, as_json: bool) -> Iterator[None]:
    """Send the log of :mod:`mmn_edge` to standard error while the block runs.

    Args:
        verbose: 0 for notes, 1 for what happens, 2 for all details.
        as_json: One JSON object a line.
    """
    logger = logging.getLogger(ROOT)
    handler = _Handler()
    handler.setFormatter(_Json() if as_json else _Text())
    level, propagates = logger.level, logger.propagate
    logger.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)])
    logging.getLogger(SUMMARY).setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


def note(text: str) -> None:
    """Say something that a user must know while the stream runs."""
    if any(isinstance(handler, _Handler) for handler in logging.getLogger(ROOT).handlers):
        logging.getLogger(NOTES).warning("%s", text)
    else:
        print(f"note: {text}", file=sys.stderr, flush=True)


def tell_summary(text: str, values: Mapping[str, Any]) -> None:
    """Print what is told at the end of a run: ``text``, or ``values`` where the log is JSON."""
    handlers = logging.getLogger(ROOT).handlers
    if any(isinstance(handler.formatter, _Json) for handler in handlers):
        logging.getLogger(SUMMARY).info("summary", extra={"values": dict(values)})
    else:
        click.echo(text, err=True)


class _Handler(logging.Handler):
    """Prints above the live table, which lends its standard error for that; a terminal that was closed takes none."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):
            print(self.format(record), file=sys.stderr, flush=True)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if record.name == NOTES:
            return f"note: {record.getMessage()}"
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        text = f"{moment} {record.levelname.lower():7} {record.name.removeprefix(ROOT + '.')}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        values: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        values |= getattr(record, "values", {})
        return json.dumps(values, ensure_ascii=False, default=str)
