"""Predictions in the format of MA-52's evaluation server: a zip with one ``prediction.csv``.

The format is that of the organisers' page (https://github.com/VUT-HFUT/Micro-Action): columns ``vid``,
``action_pred_1`` to ``action_pred_5`` and ``body_pred_1`` to ``body_pred_5``, class numbers counted from 0.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmn_edge.errors import UsageError
from mmn_edge.evaluation.evaluation import TOP
from mmn_edge.evaluation.metrics import Array, group_probabilities, ranking, softmax
from mmn_edge.model.labels import Labels
from mmn_edge.system.files import atomic_file
from mmn_edge.system.replacing import check_replaceable

__all__ = ["check_submission", "rows", "write_submission"]

MEMBER = "prediction.csv"


def rows(names: Sequence[str], logits: Array, labels: Labels) -> list[list[str]]:
    """The lines of the table, header first.

    Actions are ranked by logit. Groups are ranked by the sum of the probabilities of their classes, which need not put
    the group of the likeliest action first. Of equal ones the lower number comes first.

    Args:
        names: Names of the N clips.
        logits: ``(N, K)`` over the temperature.
        labels: The K classes, with groups.

    Raises:
        UsageError: The classes have no groups, or there are fewer than five classes or groups.
    """
    if min(len(labels), len(labels.groups)) < TOP:
        raise UsageError(
            f"a submission needs {TOP} actions and {TOP} body-level groups for each clip, and the model has "
            f"{len(labels)} classes in {len(labels.groups)} groups: use a model of MA-52's classes"
        )
    actions = ranking(logits, TOP)
    groups = ranking(group_probabilities(softmax(logits), labels.class_groups, len(labels.groups)), TOP)
    header = ["vid", *(f"{kind}_pred_{rank}" for kind in ("action", "body") for rank in range(1, TOP + 1))]
    both = np.concatenate([actions, groups], axis=1)
    return [header, *([name, *map(str, row)] for name, row in zip(names, both.tolist(), strict=True))]


def check_submission(path: Path) -> None:
    """Refuse to write over anything but an earlier submission.

    Raises:
        UsageError: ``path`` holds something else.
    """
    check_replaceable(path, _objection)


def _objection(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.namelist() == [MEMBER]:
                return None
    except (OSError, zipfile.BadZipFile):
        pass
    return "exists and is no earlier submission"


def write_submission(path: Path, table: Sequence[Sequence[str]]) -> None:
    """Write the zip, whole or not at all; the same table gives the same bytes.

    Raises:
        UsageError: See :func:`check_submission`.
    """
    check_submission(path)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(table)
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(MEMBER), text.getvalue(), zipfile.ZIP_DEFLATED)
