from pathlib import Path

import numpy as np
import pytest

from mmn_edge.datasets.reading import Clip
from mmn_edge.evaluation.calibration import TemperatureFit
from mmn_edge.evaluation.evaluation import Trial
from mmn_edge.evaluation.page import build, summary
from mmn_edge.evaluation.report import Report
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.model.labels import Labels

NAMES = Labels(("a<b", "b|c", "d"))


def make(count: int = 1, *, fused: bool = False, restrict: bool = False, fit: bool = False) -> Report:
    rng = np.random.default_rng(0)
    targets = np.arange(40) % 2
    clips = tuple(Clip(f"clip{i}", int(t), np.zeros((1, 1, 2), np.float32)) for i, t in enumerate(targets))
    trials = [
        Trial(f"model{i}", "fp32", "joint", "torch", np.eye(3)[targets] + rng.normal(size=(40, 3)), 2.0)
        for i in range(count)
    ]
    fits = [TemperatureFit.of(t.logits, targets, 2.0) for t in trials] if fit else []
    if fused:
        trials.append(Trial.fused(trials, [0.5] * count, "mean of logits"))
    return Report.of(
        EvaluationSet(Path("set.pkl"), "val", clips, NAMES.classes, None),
        targets,
        NAMES,
        trials,
        protocol="deployed",
        views=2,
        allowed=np.array([0, 1]) if restrict else None,
        fused=fused,
        fits=fits,
        notes=["Mind <this>."],
    )


def test_as_data() -> None:
    values = make(2, fit=True).to_dict()
    assert values["data"]["classes_with_clips"] == ["a<b", "b|c"]
    assert values["protocol"]["views"] == 2
    one, two = values["models"]
    assert "compared_with_first" not in one
    assert 0 < two["compared_with_first"]["top1_agreement"] < 1
    assert one["temperature_fit"]["earlier"] == 2.0
    assert np.sum(one["confusion"]) == values["data"]["clips"] == 40
    assert one["classes"][0]["clips"] == 20


def test_the_fused_trial_is_the_one_shown() -> None:
    assert make(2).shown == 0
    assert make(2, fused=True).shown == 2


def test_restricted_reports_predict_only_what_occurs() -> None:
    free, limited = make(), make(restrict=True)
    assert free.scores[0].classes.predicted[2] > 0
    assert limited.scores[0].classes.predicted[2] == 0
    assert limited.scores[0].top1 > free.scores[0].top1
    assert limited.to_dict()["protocol"]["restricted"]


def test_confusions_are_sorted_and_leave_the_diagonal_out() -> None:
    found = make().confusions()
    counts = [count for _, _, count, _ in found]
    assert counts == sorted(counts, reverse=True)
    assert all(true != taken and total == 20 for true, taken, _, total in found)
    assert sum(counts) == 40 - np.trace(make().scores[0].confusion)


def test_the_summary_has_a_cell_for_every_column() -> None:
    for report in (make(), make(2, fused=True)):
        header, rows = summary(report)
        assert len(rows) == len(report.trials)
        assert all(len(row) == len(header) for row in rows)
    assert "agrees" in header
    assert "agrees" not in summary(make())[0]


def test_markdown() -> None:
    text = build(make(2, fit=True), confusion="", reliability="").markdown()
    assert "# Evaluation on set.pkl:val" in text
    assert "logits averaged over 2 temporal samplings" in text
    assert "b\\|c" in text
    assert "- Mind <this>." in text
    assert "## Temperature" in text
    assert len([line for line in text.splitlines() if line.startswith("| model |")]) == 2


def test_html_escapes_and_holds_its_pictures() -> None:
    page = build(make(fit=True), confusion="<svg>one</svg>", reliability="<svg>two</svg>").html()
    assert "Mind &lt;this&gt;." in page
    assert "a&lt;b" in page
    assert "<svg>one</svg>" in page
    assert "<svg>two</svg>" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert 'class="bar" style="--share: ' in page


@pytest.mark.parametrize("views", [1, 3])
def test_the_setting_in_words(views: int) -> None:
    report = Report(**{**vars(make()), "views": views, "protocol": "published"})
    assert report.setting.startswith("published (as published: normalised over the whole clip")
    assert report.setting.endswith("one view" if views == 1 else "over 3 temporal samplings")
