"""What ``mmn-edge events score`` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mmn_edge.cli import terminal

if TYPE_CHECKING:
    from mmn_edge.events.scoring import Scores

__all__ = ["print_scores"]


def print_scores(scores: Scores) -> None:
    """The tables, on standard output."""
    known = "" if scores.hours is None else f", {scores.hours:.2f} hours watched"
    click.echo(
        f"{_number(scores.recordings, 'recording')}{known}: {_number(scores.truth, 'true event')}, "
        f"{scores.predicted} predicted"
    )
    for note in scores.notes:
        click.echo(terminal.paragraph(note, indent="- "))
    rows = []
    for name, title, style in ROWS:
        value, interval = _value(scores.measures, name), _value(scores.intervals, name)
        if value is not None or name in ALWAYS:
            rows.append([title, style(value), f"{style(interval[0])} to {style(interval[1])}" if interval else ""])
    terminal.show(["measure", "value", "95 % interval"], rows, words=1)
    classes = [
        [
            name,
            str(entry["truth"]),
            str(entry["predicted"]),
            _percent(entry["detection_map"]),
            _percent(entry["event_f1"]),
            _percent(entry["frame_f1"]),
            _plain(entry["kappa"]),
        ]
        for name, entry in scores.classes.items()
    ]
    if classes:
        terminal.show(["class", "true", "found", "mAP", "F1", "frame", "kappa"], classes, words=1)
    body = scores.body_level
    if body["truth"] or body["predicted"]:
        right = f", {body['right']} of them right" if "right" in body else ""
        click.echo(f"body-level groups, not scored: {body['truth']} true, {body['predicted']} predicted{right}")


def _value(values: dict[str, Any], name: str) -> Any:
    for part in name.split("/"):
        values = values.get(part) or {}
    return values if values != {} else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 2) + 0:.2f}"  # no -0.00


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{_plain(value)} s"


ROWS: Sequence[tuple[str, str, Callable[[Any], str]]] = (
    ("detection_map", "detection mAP, %", _percent),
    ("detection_map_all_classes", "  over all classes", _percent),
    ("map_by_iou/0.1", "  at IoU 0.1", _percent),
    ("map_by_iou/0.5", "  at IoU 0.5", _percent),
    ("map_by_iou/0.9", "  at IoU 0.9", _percent),
    ("event_f1", "event F1, %", _percent),
    ("event_f1_macro", "  mean over classes", _percent),
    ("event_precision", "  precision", _percent),
    ("event_recall", "  recall", _percent),
    ("frame_f1", "frame F1, %", _percent),
    ("kappa", "kappa", _plain),
    ("onset_error_s/median", "onset error, median", _seconds),
    ("onset_error_s/p90", "  90 % below", _seconds),
    ("onset_error_s/signed_median", "  signed, median", _seconds),
    ("offset_error_s/median", "offset error, median", _seconds),
    ("offset_error_s/p90", "  90 % below", _seconds),
    ("offset_error_s/signed_median", "  signed, median", _seconds),
    ("onset_delay_s/median", "onset delay, median", _seconds),
    ("onset_delay_s/p90", "  90 % below", _seconds),
    ("false_events_per_hour", "false events an hour", _plain),
    ("events_per_truth", "events per true one", _plain),
)
ALWAYS = ("detection_map", "event_f1", "frame_f1", "kappa", "false_events_per_hour")


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
