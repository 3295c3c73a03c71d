from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.cli import main
from mmn_edge.events.formats.table import read_recordings

HEADER = "recording,person,start,end,label,score,annotator\n"


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in ("events", *arguments)])
    return int(ended.value.code or 0)


def table(path: Path, *rows: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = table(tmp_path / "truth" / "a.csv", "talk,0,1,2.5,nodding,,", "talk,0,4,5,waving,,", "walk,1,0,3,nodding,,")
    (path.parent / "recordings.csv").write_text(
        "recording,duration_s,fps,watched_from,watched_to\ntalk,60,30,0,60\nwalk,60,30,0,60\nquiet,60,30,0,60\n"
    )
    return path


def test_convert_there_and_back(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coded = tmp_path / "coded"
    assert run("convert", truth.parent, coded, "--to", "praat") == 0
    assert sorted(p.name for p in coded.iterdir()) == [
        "quiet.TextGrid",
        "recordings.csv",
        "talk.TextGrid",
        "walk.TextGrid",
    ]
    assert capsys.readouterr().err == f"wrote {coded}: 3 events of 3 recordings\n"
    assert run("convert", coded, tmp_path / "back.csv") == 0
    assert (tmp_path / "back.csv").read_text() == truth.read_text()
    assert "warning: what was watched is not in back.csv: keep recordings.csv beside it" in capsys.readouterr().err


def test_convert_replaces_nothing_unasked(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "talk.srt"
    target.write_text("mine")
    one = table(tmp_path / "one.csv", "talk,0,1,2.5,nodding,,")
    assert run("convert", one, target) == 2
    assert "exists and was left alone" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert run("convert", one, target, "--force") == 0
    assert "nodding" in target.read_text()
    assert run("convert", one, one, "--force") == 2
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "thesis.docx").touch()
    assert run("convert", one, notes, "--to", "csv", "--force") == 2
    assert "is a folder that holds something, and was left alone" in capsys.readouterr().err
    assert [p.name for p in notes.iterdir()] == ["thesis.docx"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["b.mp4"], "does not end as a file of annotations does"),
        (["b"], "has no suffix that says its format"),
        (["b", "--to", "elam"], "unknown format 'elam'"),
        (["b.eaf"], "holds one recording, and there are 3: name a folder, with --to elan"),
        (["b.csv", "--media", "none.mp4"], "--media is a video that is there, for an .eaf"),
        (["b.csv", "--labels", "synthetik"], "unknown label set 'synthetik'"),
    ],
)
def test_convert_says_what_is_wrong(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run("convert", truth, tmp_path / arguments[0], *arguments[1:]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_labels_come_from_a_set_a_file_or_a_bundle(
    truth: Path, tmp_path: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("nodding\nwaving\n")
    for number, labels in enumerate(["ma52", names]):
        assert run("convert", truth, tmp_path / f"{number}.zip", "--labels", labels) == 0
    names.write_text("nodding\n")
    assert run("convert", truth, tmp_path / "x.zip", "--labels", names) == 3
    assert "'waving' (recording talk, 4 s) is not in the label set" in capsys.readouterr().err
    assert run("convert", truth, tmp_path / "y.zip", "--labels", small_bundle) == 0
    assert not (tmp_path / "x.zip").exists()


def test_score_prints_and_gives_json(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predicted = table(tmp_path / "p" / "p.csv", "talk,0,1,2.5,nodding,0.9,", "walk,1,0.5,3,nodding,0.8,")
    assert run("score", truth.parent, predicted) == 0
    printed = capsys.readouterr().out
    for part in ("3 recordings, 0.05 hours watched: 3 true events, 2 predicted", "event F1, %", "80.0", "nodding"):
        assert part in printed
    assert "- Nothing was predicted in 1 of 3 recordings, such as quiet." in printed
    assert run("score", truth.parent, predicted, "--json", "--labels", "ma52") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["event_f1"] == 0.8
    assert set(found) >= {
        "detection_map",
        "map_by_iou",
        "event_f1",
        "frame_f1",
        "onset_error_s",
        "offset_error_s",
        "kappa",
        "false_events_per_hour",
        "events_per_truth",
        "intervals",
        "classes",
    }
    assert list(found["map_by_iou"]) == [f"0.{n}" for n in range(1, 10)]
    assert found["classes"]["waving"]["truth"] == 1
    assert run("score", truth.parent, tmp_path / "none.csv") == 3
    (tmp_path / "empty.csv").touch()
    assert run("score", truth.parent, tmp_path / "empty.csv") == 3
    assert "is empty (0 bytes)" in capsys.readouterr().err


def test_recordings_says_how_long_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    lines = "".join(f'{{"time": {5 + n / 25}, "layout": "ma52", "persons": []}}\n' for n in range(51))
    (folder / "talk.jsonl").write_text(lines)
    with gzip.open(folder / "walk.jsonl.gz", "wt") as file:
        file.write(lines)
    (folder / "notes.txt").touch()
    output = tmp_path / "recordings.csv"
    assert run("recordings", folder, "-o", output) == 0
    assert "2 recordings, 0.00 hours, all taken as watched" in capsys.readouterr().err
    talk, walk = read_recordings(output)
    assert (talk.name, talk.duration_s, talk.fps, talk.watched) == ("talk", 2.04, 25.0, (5.0, 7.04))
    assert walk.name == "walk"
    assert run("recordings", folder, "-o", output) == 2
    assert run("recordings", folder, folder / "talk.jsonl", "-o", output, "--force") == 3
    assert "another recording is called 'talk'" in capsys.readouterr().err
    assert run("recordings", folder / "notes.txt", "-o", output, "--force") == 3


def test_recordings_of_videos(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="PROOF SKIPPED: OpenCV is not installed")
    video = Path(__file__).resolve().parents[3] / "shared" / "video" / "hello.avi"
    if not video.is_file():
        pytest.skip("needs shared/video beside the checkout")
    assert run("recordings", video, "-o", tmp_path / "r.csv") == 0
    (hello,) = read_recordings(tmp_path / "r.csv")
    assert hello.name == "hello"
    assert hello.fps == 10
    assert hello.duration_s is not None
    assert 1 < hello.duration_s < 20


def test_plot_draws_one_or_all(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predicted = table(tmp_path / "p" / "p.csv", "talk,0,1,2.5,nodding,0.9,", "walk,1,0.5,3,nodding,0.8,")
    assert run("plot", truth.parent, predicted, "-o", tmp_path / "pictures") == 0
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["quiet.svg", "talk.svg", "walk.svg"]
    assert run("plot", truth.parent, predicted, "--recording", "talk", "-o", tmp_path / "talk.svg") == 0
    assert (tmp_path / "talk.svg").read_text() == (tmp_path / "pictures" / "talk.svg").read_text()
    capsys.readouterr()
    for arguments, code, message in (
        (["-o", tmp_path / "all.svg"], 2, "shows one recording, and there are 3: choose one with --recording"),
        (["-o", tmp_path / "all.gif"], 2, "a picture ends in .svg, .png, .pdf"),
        (["-o", tmp_path / "x.svg", "--recording", "none"], 3, "recording 'none' is not annotated"),
        ([predicted, "-o", tmp_path / "x"], 2, "plot draws one set of annotations, or the truth and one other"),
    ):
        assert run("plot", truth.parent, predicted, *arguments) == code
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x.svg").exists()


def test_json_everywhere(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def printed() -> Any:
        captured = capsys.readouterr()
        assert captured.err == ""
        return json.loads(captured.out)

    assert run("convert", truth, tmp_path / "a.zip", "--json") == 0
    found = printed()
    assert (found["written"], found["events"], found["recordings"]) == (str(tmp_path / "a.zip"), 3, 3)
    assert "MMA-52 table holds no persons: 2 names are lost" in found["lost"]
    assert run("plot", truth, "--recording", "talk", "-o", tmp_path / "a.svg", "--json") == 0
    assert printed() == {"written": [str(tmp_path / "a.svg")]}
    lines = "".join(f'{{"time": {n / 25}, "layout": "ma52", "persons": []}}\n' for n in range(51))
    (tmp_path / "talk.jsonl").write_text(lines)
    assert run("recordings", tmp_path / "talk.jsonl", "-o", tmp_path / "r.csv", "--json") == 0
    assert printed()["recordings"] == [{"recording": "talk", "duration_s": 2.04, "fps": 25.0}]


def test_data_check_describes_annotations(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def check(*arguments: str | Path) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["data", "check", *map(str, arguments)])
        return int(ended.value.code or 0)

    assert check(truth.parent) == 0
    printed = capsys.readouterr().out
    for part in ("3 recordings, nothing happened in 1", "0.05 hours", "nodding", "problems: none"):
        assert part in printed
    (truth.parent / "classes.txt").write_text("waving\n")
    assert check(truth.parent, "--json") == 3
    assert json.loads(capsys.readouterr().out)["problems"] == ["label 'nodding' of 2 events is not in classes.txt"]
    assert check(truth.parent, "-o", tmp_path / "x") == 2
    assert check(truth.parent / "none.csv") == 3


def test_two_people_coded_one_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ann = table(tmp_path / "c" / "c.csv", "by_ann,,1,2.5,nodding,,")
    bob = table(tmp_path / "d" / "d.csv", "by_bob,,1,2.5,nodding,,")
    assert run("score", ann, bob) == 0
    printed = capsys.readouterr().out
    assert "- Recording by_bob is taken for recording by_ann: each file holds one." in printed
    assert "100.0" in printed
    assert run("plot", ann, bob, "-o", tmp_path / "both.svg") == 0
    assert "true, and found" in (tmp_path / "both.svg").read_text()
    assert run("score", ann.parent, bob.parent) == 3
    assert "no recording in common" in capsys.readouterr().err
