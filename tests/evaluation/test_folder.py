import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.datasets.reading import Clip
from mmn_edge.errors import UsageError
from mmn_edge.evaluation.calibration import TemperatureFit
from mmn_edge.evaluation.evaluation import Trial
from mmn_edge.evaluation.folder import check_folder, write_folder
from mmn_edge.evaluation.report import Report
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.model.labels import Labels

NAMES = Labels(("a", "b", "c"))
PICTURES = ("confusion.svg", "reliability.svg", "mistakes.svg")
FILES = {"report.json", "report.md", "report.html", "predictions.csv", *PICTURES}


@pytest.fixture
def report() -> Report:
    targets = np.array([0, 1, 1])
    clips = tuple(Clip(f"clip, {i}", int(t), np.zeros((1, 1, 2), np.float32)) for i, t in enumerate(targets))
    data = EvaluationSet(Path("set.pkl"), None, clips, None, None)
    trial = Trial("m", "fp32", "joint", "torch", np.array([[2.0, 1, 0], [0, 1, 2], [5, 9, 1]]), 2.0)
    fit = TemperatureFit.of(trial.logits, targets, 2.0)
    return Report.of(data, targets, NAMES, [trial], protocol="deployed", views=1, fits=[fit])


def test_what_is_written(report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    write_folder(report, folder)
    assert {entry.name for entry in folder.iterdir()} == FILES
    values = json.loads((folder / "report.json").read_text())
    assert values == report.to_dict()
    for name in PICTURES:
        ET.parse(folder / name)
        assert (folder / name).read_text() in (folder / "report.html").read_text()
    assert "before, T = 2" in (folder / "reliability.svg").read_text()


def test_predictions(report: Report, tmp_path: Path) -> None:
    write_folder(report, tmp_path / "r")
    with (tmp_path / "r" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["clip"], row["true"], row["predicted"], row["predicted_3"]) for row in rows] == [
        ("clip, 0", "a", "a", "c"),
        ("clip, 1", "b", "c", "a"),
        ("clip, 2", "b", "b", "c"),
    ]
    p = np.exp([1.0, 0.5, 0.0])
    assert float(rows[0]["probability"]) == pytest.approx(p[0] / p.sum(), abs=1e-6)


def test_an_earlier_report_is_replaced_and_nothing_else(report: Report, tmp_path: Path) -> None:
    earlier, empty, other, file = (tmp_path / name for name in ("earlier", "empty", "other", "file"))
    write_folder(report, earlier)
    write_folder(report, earlier)
    empty.mkdir()
    write_folder(report, empty)
    assert {entry.name for entry in empty.iterdir()} == FILES

    other.mkdir()
    (other / "report.md").write_text("my thesis")
    file.write_text("x")
    (earlier / "notes.txt").write_text("mine")
    for path, message in [(other, "is no earlier report"), (file, "is no folder"), (earlier, "holds notes.txt")]:
        with pytest.raises(UsageError, match=message):
            write_folder(report, path)
        with pytest.raises(UsageError, match=message):
            check_folder(path)
    assert (other / "report.md").read_text() == "my thesis"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["earlier", "empty", "file", "other"]
