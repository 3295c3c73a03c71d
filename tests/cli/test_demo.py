import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmn_edge.cli.demo import recognised, score
from mmn_edge.datasets.synthetic.clips import Segment


def prediction(time: float, label: str, probability: float = 0.9) -> dict[str, object]:
    return {"time": time, "label": label, "probability": probability}


def test_runs_of_confident_predictions_become_segments() -> None:
    predictions = [
        prediction(2.0, "rest"),
        prediction(2.25, "waving"),
        prediction(2.5, "waving"),
        prediction(2.75, "nodding", 0.4),  # unsure
        prediction(3.0, "waving"),
        prediction(3.25, "nodding"),  # once is not enough
        prediction(3.5, "rest"),
        prediction(8.0, "waving"),
        prediction(8.25, "waving"),
    ]
    assert recognised(predictions) == [Segment(2.25, 3.0, "waving"), Segment(8.0, 8.25, "waving")]


def test_score_counts_each_movement_once() -> None:
    truth = [Segment(2, 4, "waving"), Segment(8, 10, "nodding"), Segment(14, 16, "waving")]
    found = [
        Segment(3, 5, "waving"),
        Segment(5.2, 5.5, "waving"),  # the same movement again: a false alarm
        Segment(9, 10, "shrugging"),  # wrong class
        Segment(17, 17.5, "waving"),  # late, but within the window's lag
    ]
    match = score(truth, found)
    assert match.precision == pytest.approx(2 / 4)
    assert match.recall == pytest.approx(2 / 3)
    assert (truth[1], None) in match.rows
    assert (None, found[1]) in match.rows
    assert (truth[2], found[3]) in match.rows


def test_score_of_nothing() -> None:
    assert (score([], []).precision, score([], []).recall) == (0.0, 0.0)
    assert score([Segment(0, 1, "waving")], []).recall == 0.0


def test_the_demo_from_end_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmn_edge", "demo", "-o", str(tmp_path), "--seconds", "40", "--speed", "20"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    found = re.search(r"precision (\d+)% of (\d+) recognised, recall (\d+)% of (\d+)", result.stdout)
    assert found, result.stdout
    precision, recognised_count, recall, scripted = map(int, found.groups())
    assert scripted >= 4
    assert recognised_count >= 2
    assert precision >= 50, "the shipped checkpoint recognises its own synthetic people"
    assert recall >= 50
    assert "latency, ms" in result.stdout
    predictions = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert len(predictions) > 100
    assert (tmp_path / "demo.bundle" / "manifest.json").is_file()


def test_the_shipped_checkpoint_is_small() -> None:
    from importlib import resources

    with resources.as_file(resources.files("mmn_edge") / "data" / "demo.pt") as path:
        assert path.stat().st_size <= 3_000_000
