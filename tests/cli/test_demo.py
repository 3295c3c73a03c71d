import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from mmn_edge.events import formats


def test_the_demo_from_end_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmn_edge", "demo", "-o", str(tmp_path), "--seconds", "40", "--speed", "20"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    found = re.search(r"(\d+) played, (\d+) found: event F1 (\d+)% at IoU 0.5, detection mAP (\d+)%", result.stdout)
    assert found, result.stdout
    played, events, f1, average = map(int, found.groups())
    assert played >= 4
    assert events >= 4
    assert f1 >= 60, "the shipped checkpoint finds what its own synthetic people do"
    assert average >= 50
    assert "latency, ms" in result.stdout
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert (
        sum(line["kind"] == "end" for line in lines) == len(formats.read(tmp_path / "events.csv").intervals) == events
    )
    assert len(formats.read(tmp_path / "truth.csv").intervals) == played
    assert (tmp_path / "timeline.svg").read_text().startswith("<svg")
    assert (tmp_path / "demo.bundle" / "manifest.json").is_file()


@pytest.mark.parametrize("name", ["demo.pt", "scenes.pt"])
def test_the_shipped_checkpoints_are_small(name: str) -> None:
    with resources.as_file(resources.files("mmn_edge") / "data" / name) as path:
        assert path.stat().st_size <= 1_000_000
