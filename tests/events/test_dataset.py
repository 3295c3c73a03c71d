from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.errors import DataError
from mmn_edge.events.check import check
from mmn_edge.events.dataset import assign, is_annotated, open_annotated
from mmn_edge.events.interval import Interval
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import Frame, Person
from mmn_edge.skeleton.recording import write_frames

HEADER = "recording,person,start,end,label,score,annotator\n"
JOINTS = layouts.get("ma52").num_joints


def frames(seconds: float, people: tuple[int, ...], layout: str = "ma52") -> list[Frame]:
    joints = layouts.get(layout).num_joints
    rng = np.random.default_rng(0)
    result = []
    for number in range(round(seconds * 10)):
        scores = np.ones(joints, dtype=np.float32)
        scores[0] = 0
        persons = []
        for person in people:
            points = rng.uniform(0, 400, (joints, 2)).astype(np.float32)
            points[0] = np.nan
            persons.append(Person(person, points, scores))
        result.append(Frame(number / 10, layout, tuple(persons)))
    return result


def save(path: Path, seconds: float = 10, people: tuple[int, ...] = (0,), layout: str = "ma52") -> None:
    text = io.StringIO()
    write_frames(text, frames(seconds, people, layout))
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "talk.jsonl")
    save(tmp_path / "walk.jsonl.gz", people=(3, 7))
    save(tmp_path / "new.jsonl")
    (tmp_path / "events.csv").write_text(
        HEADER + "talk,Ann,1,2.5,nodding,,\ntalk,Ann,2,4,waving,,\nwalk,7,0,3,nodding,,\n"
    )
    (tmp_path / "recordings.csv").write_text(
        "recording,duration_s,fps,watched_from,watched_to\ntalk,10,10,0,10\nwalk,10,10,0,5\nnew,10,10,,\n"
    )
    return tmp_path


def test_recordings_come_with_who_did_what(folder: Path) -> None:
    assert is_annotated(folder)
    data = open_annotated(folder)
    assert data.class_names == ("nodding", "waving")
    assert (data.unannotated, data.absent) == (("new",), ())
    talk, walk = data.recordings
    assert (talk.name, talk.watched, walk.watched) == ("talk", (0.0, 10.0), (0.0, 5.0))
    layout, (track,) = talk.read()
    assert layout == "ma52"
    assert track.times.tolist() == [n / 10 for n in range(100)]
    assert track.keypoints.shape == (100, JOINTS, 2)
    assert np.isnan(track.keypoints[:, 0]).all()
    assert not track.scores[:, 0].any()
    assert [entry.label for entry in track.intervals] == ["nodding", "waving"]  # one person, whatever the name
    _, (third, seventh) = walk.read()
    assert (third.person, third.intervals) == (3, ())
    assert [entry.label for entry in seventh.intervals] == ["nodding"]


def test_whose_is_whose() -> None:
    nod, other = Interval("a", 1, 2, "nod"), Interval("a", 1, 2, "nod", "Ann")
    assert assign([nod], [5]) == {5: (nod,)}
    assert assign([], [1, 2]) == {}
    with pytest.raises(DataError, match="do not say whose they are, and the recording shows 1, 2"):
        assign([nod], [1, 2])
    with pytest.raises(DataError, match="are of person 'Ann', and the recording shows 1, 2: use its ids"):
        assign([nod, other], [1, 2])
    with pytest.raises(DataError, match="are of person 'Ann'"):
        assign([other, Interval("a", 1, 2, "nod", "Bob")], [1])


def test_a_good_set_has_no_problems(folder: Path) -> None:
    report = check(open_annotated(folder))
    assert report.problems == ()
    assert report.recordings == 2
    assert report.hours == pytest.approx(15 / 3600)
    assert report.persons == ("7", "Ann")
    nodding, waving = report.classes
    assert (nodding.events, nodding.recordings, nodding.seconds) == (2, 2, 4.5)
    assert waving.durations == (2, 2, 2)
    # Ann: 7 s nothing, 2.5 s one, 0.5 s two; person 7: 2 s nothing, 3 s one.
    assert report.at_once == pytest.approx((9 / 15, 5.5 / 15, 0.5 / 15, 0))
    assert report.warnings == (
        "1 recording that nobody annotated: new",
        "1 class occurs in one recording only, and cannot be both trained and tested: waving",
    )


def test_everything_that_is_wrong_is_said(folder: Path) -> None:
    (folder / "classes.txt").write_text("nodding\nshrugging\n")
    (folder / "events.csv").write_text(
        HEADER
        + "talk,,1,2.5,nodding,,Ann\ntalk,,2,3,nodding,,Bob\ntalk,,2,3,sneezing,,\ntalk,,30,31,nodding,,\n"
        + "walk,Eve,6,7,nodding,,\nwalk,7,1,1.01,nodding,,\ngone,,1,2000,nodding,,\n"
    )
    with (folder / "recordings.csv").open("a") as file:
        file.write("gone,,,0,3000\n")
    report = check(open_annotated(folder))
    assert set(report.problems) == {
        "label 'sneezing' of 1 event is not in classes.txt",
        "recording talk: 1 interval lies after the recording has ended, the first from 30 to 31 s",
        "recording walk: 1 interval lies outside what was watched, the first from 6 to 7 s",
        "1 annotated recording is not there: gone",
        "recording talk: 1 interval begins after its last frame with somebody in it (9.9 s), the first at 30 s",
        "recording walk: annotations are of person 'Eve', and the recording shows 3, 7: use its ids",
    }
    assert set(report.warnings) == {
        "1 recording that nobody annotated: new",
        "1 class without any event: shrugging",
        "1 class occurs in one recording only, and cannot be both trained and tested: sneezing",
        "1 event is shorter than 0.1 s, the first is nodding of walk at 1 s",
        "1 event is longer than 600 s: are times seconds? the first is nodding of gone at 1 s",
        "1 pair of one person's events of one class overlap, the first is nodding of talk at 2 s",
        "2 annotators are in one set, and all of them count: Ann, Bob",
    }


def test_annotations_alone_and_broken_recordings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    alone = tmp_path_factory.mktemp("alone")
    (alone / "events.csv").write_text(HEADER + "talk,,1,2,nodding,,\n")
    report = check(open_annotated(alone / "events.csv"))
    assert (report.problems, report.hours, report.at_once) == ((), None, None)
    assert report.warnings == ("there is no recordings.csv, so that nobody knows what was watched",)

    save(folder / "new.jsonl", layout="imigue")
    (folder / "talk.jsonl").write_text("{}\n")
    (folder / "recordings.csv").unlink()
    (folder / "events.csv").write_text(HEADER + "talk,,1,2,nodding,,\nnew,,1,2,nodding,,\nwalk,3,1,2,nodding,,\n")
    problems = check(open_annotated(folder)).problems
    assert any("talk.jsonl, line 1 is no frame" in problem for problem in problems)
    assert "recordings are in several layouts: imigue, ma52" in problems
    save(folder / "walk.jsonl")
    with pytest.raises(DataError, match="are both called 'walk'"):
        open_annotated(folder)


def test_what_is_no_set_of_intervals(tmp_path: Path) -> None:
    assert not is_annotated(tmp_path)
    (tmp_path / "events.csv").touch()
    assert is_annotated(tmp_path)
    (tmp_path / "labels.csv").touch()
    assert not is_annotated(tmp_path)  # clips
    assert not is_annotated(tmp_path / "set.pkl")
