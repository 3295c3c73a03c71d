from __future__ import annotations

import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from mmn_edge.drift import page
from mmn_edge.drift.drift import LIMITS, Limits
from mmn_edge.drift.layers import Layer, LayerDrift
from mmn_edge.drift.report import DriftReport, Verdict
from mmn_edge.drift.windows import Windows
from mmn_edge.evaluation.evaluation import Trial
from mmn_edge.model.labels import Labels
from mmn_edge.reports.layer_chart import layer_chart

LOGITS = np.eye(4)[[0, 1, 2, 0, 1, 2]] * 5.0
TARGETS = np.array([0, 1, 2, 0, 1, 3])


def trial(name: str, logits: object = LOGITS) -> Trial:
    return Trial(name, name, "joint", "made up 1.0", np.asarray(logits, np.float64))


@pytest.fixture
def report() -> DriftReport:
    windows = Windows("made-up clips", np.zeros((6, 2, 3, 2), np.float32), Labels.numbered(4), TARGETS, ("A note.",))
    reference, wrong = trial("fp32"), LOGITS.copy()
    wrong[0] = wrong[1]
    verdicts = (
        Verdict.of(trial("fp16", LOGITS + 0.001), reference, TARGETS, LIMITS["fp16"]),
        Verdict.of(trial("int8", wrong), reference, TARGETS, LIMITS["int8"]),
    )
    layers = (Layer("a/Conv", 0.001, 0.0), Layer("MFM.0.blocks.0.proj/Add", 0.9, 0.001), Layer("b/Exp", math.nan, 0.9))
    found = {"fp16": LayerDrift(layers[:1], 2, 0.02), "int8": LayerDrift(layers, 2, 0.4)}
    return DriftReport(windows, reference, verdicts, {"machine": "an abacus", "cores": "1"}, found)


def test_the_report_says_who_failed_and_where_that_begins(report: DriftReport) -> None:
    assert [verdict.trial.name for verdict in report.failed] == ["int8"]
    header, rows = page.drifted(report)
    assert header == ["model", "what drifted", "where it begins"]
    assert [row[0] for row in rows] == ["int8", "int8"]
    assert rows[0][1] == "top-1 agreement 83.33%, at least 97.00% is asked for"
    assert rows[0][2] == "at MFM.0.blocks.0.proj/Add (90 %, inputs 0.1 %)"
    assert rows[1][1] == "top-1 loses 16.67 points, 0.5 are allowed"
    assert page.verdict(report) == "int8 drifted too far."


def test_each_is_compared_with_each(report: DriftReport) -> None:
    _, rows = page.pairs(report)
    assert [row[0] for row in rows] == ["fp32", "fp16", "int8"]
    assert [row[index + 1] for index, row in enumerate(rows)] == ["-"] * 3
    assert rows[1][3].startswith("83.3 %, ")


def test_few_clips_that_prove_little_are_noted(report: DriftReport) -> None:
    (note,) = report.unsure()  # of the model that passes; the other one failed anyway
    assert note.startswith("fp16: 6 clips cannot rule out a loss of up to ")
    many = Verdict.of(trial("fp16"), trial("fp32"), TARGETS, Limits(0.99, 0.9, None))
    assert not DriftReport(report.windows, report.reference, (many,), {}).unsure()


def test_windows_of_one_class_are_noted(report: DriftReport) -> None:
    assert page.ONE_CLASS not in page.notes(report)
    alike = replace(report, reference=trial("fp32", LOGITS[[0] * 6]))
    assert page.ONE_CLASS in page.notes(alike)


def test_backends_are_named_where_they_differ(report: DriftReport) -> None:
    assert "backend" not in page.summary(report)[0]
    other = replace(report.verdicts[0], trial=replace(report.verdicts[0].trial, backend="an engine"))
    header, rows = page.summary(replace(report, verdicts=(other,)))
    assert header[:3] == ["model", "verdict", "backend"]
    assert [row[2] for row in rows] == ["made up 1.0", "an engine"]
    assert len({len(row) for row in (header, *rows)}) == 1


def test_pages_hold_the_same(report: DriftReport) -> None:
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["passed"] is False
    assert values["notes"][0] == "A note."
    assert values["top1_agreement"]["int8"]["fp32"] == pytest.approx(5 / 6)
    built = page.build(report, layer_chart(page.curves(report), title="Layers & all"))
    text, html = built.markdown(), built.html()
    for words in ("int8 drifted too far.", "6 windows of made-up clips, labelled", "A note.", "sees 3 of 4 classes"):
        assert words in text
        assert words in html
    assert "| fp16 | passes | 100.0 [61.0, 100.0] |" in text


def test_the_chart_marks_where_drift_begins(report: DriftReport) -> None:
    root = ElementTree.fromstring(layer_chart(page.curves(report), title="Layers & all"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "Layers & all" in texts
    assert texts.count("MFM.0.blocks.0.proj/Add") == 1
    assert "int8, threshold 40 %" in texts
    titles = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 4
    assert sum("nan" in title for title in titles) == 1


def test_no_error_has_a_place_below_the_logarithmic_axis(report: DriftReport) -> None:
    curves = page.curves(report)
    name, curve = next(item for item in curves.items() if item[1].layers)
    layer = curve.layers[0]
    layers = [replace(layer, name="a/Add", error=0.0), replace(layer, name="b/Add", error=1e-3)]
    svg = layer_chart({name: replace(curve, layers=layers, marked=None)}, title="t")
    root = ElementTree.fromstring(svg)
    labels = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "0" in labels
    assert "0.1 %" in labels
    assert "0.01 %" not in labels  # where the zero is
    assert "0" not in [text.text for text in ElementTree.fromstring(layer_chart(curves, title="t")).iter() if text.text]
