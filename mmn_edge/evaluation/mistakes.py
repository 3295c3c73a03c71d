"""A picture of the clips that a model got wrong: their skeletons, what they show, and what they were taken for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmn_edge.datasets.contact_sheet import Strip, contact_sheet
from mmn_edge.evaluation.metrics import Indices, softmax
from mmn_edge.evaluation.report import Report
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.layouts import Layout

__all__ = ["SHOWN", "mistakes", "worst"]

SHOWN = 18
"""Clips on the sheet; all are in ``predictions.csv``."""


def worst(report: Report, count: int = SHOWN) -> Indices:
    """The shown trial's wrong clips, first those where the wrong class is furthest ahead of the true one."""
    probabilities = _probabilities(report)
    clips = np.arange(len(report.targets))
    taken = probabilities.argmax(axis=1)
    lead = probabilities[clips, taken] - probabilities[clips, report.targets]
    wrong = clips[taken != report.targets]
    found: Indices = wrong[np.argsort(-lead[wrong], kind="stable")][:count]
    return found


def mistakes(report: Report, title: str) -> str | None:
    """The sheet as SVG: a row a clip, titled with its class; None where nothing was mistaken."""
    probabilities, names = _probabilities(report), report.labels.classes
    strips = []
    for index in worst(report):
        clip, row, true = report.data.clips[index], probabilities[index], int(report.targets[index])
        taken = int(row.argmax())
        note = f"taken for {names[taken]} at {row[taken]:.0%}, itself {row[true]:.0%}; {clip.name}"
        strips.append(Strip(names[true], note, clip.keypoints))
    return contact_sheet(strips, _layout(report), title) if strips else None


def _probabilities(report: Report) -> npt.NDArray[np.float64]:
    trial = report.trials[report.shown]
    return np.asarray(softmax(trial.limited(report.allowed) / trial.temperature), np.float64)


def _layout(report: Report) -> Layout | None:
    """The clips' layout, where it is known and has their joints; without it joints are drawn and no bones."""
    if report.data.layout is None:
        return None
    layout = layouts.get(report.data.layout)
    joints = {clip.keypoints.shape[1] for clip in report.data.clips}
    return layout if joints == {layout.num_joints} else None
