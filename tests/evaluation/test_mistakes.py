from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.datasets.clip import Clip
from mmn_edge.evaluation.evaluation import Trial
from mmn_edge.evaluation.mistakes import mistakes, worst
from mmn_edge.evaluation.report import Report
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.model.labels import Labels

NAMES = Labels(("nod", ":smile: <wave>", "rest"))
TARGETS = np.array([0, 1, 1, 2])
LOGITS = np.array([[0.0, 1, 0], [0, 9, 0], [5, 0, 0], [0, 0, 0.1]])


@pytest.fixture
def report() -> Report:
    rng = np.random.default_rng(0)
    clips = tuple(
        Clip(f"clip{i}", int(target), rng.normal(300, 50, (20, 44, 2)).astype(np.float32))
        for i, target in enumerate(TARGETS)
    )
    data = EvaluationSet(Path("set.pkl"), "val", clips, None, "ma52")
    trial = Trial("m", "fp32", "joint", "torch", LOGITS, 1.0)
    return Report.of(data, TARGETS, NAMES, [trial], protocol="deployed", views=1)


def test_the_clearest_mistakes_come_first(report: Report) -> None:
    assert worst(report).tolist() == [2, 0]
    assert worst(report, 1).tolist() == [2]


def test_the_sheet_shows_what_it_is_and_what_it_was_taken_for(report: Report) -> None:
    sheet = mistakes(report, "Worst")
    assert sheet is not None
    text = " ".join("".join(ET.fromstring(sheet).itertext()).split())
    assert text.index("clip2") < text.index("clip0")
    assert "clip1" not in text
    assert "taken for nod at" in text
    assert ":smile: <wave>" in text
    assert sheet.count("<path") > 20  # skeletons with bones


def test_unknown_joints_are_drawn_without_bones(report: Report) -> None:
    other = replace(report, data=replace(report.data, layout="imigue"))
    assert mistakes(other, "Worst") is not None


def test_nothing_is_drawn_where_nothing_was_mistaken(report: Report) -> None:
    right = replace(report.trials[0], logits=np.eye(3)[TARGETS])
    assert mistakes(replace(report, trials=(right,)), "Worst") is None
