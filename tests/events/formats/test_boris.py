"""Tables with the columns that BORIS exports (export_observation.py of versions 7 to 8.27)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmn_edge.errors import DataError
from mmn_edge.events.formats import read
from mmn_edge.events.interval import Interval

TABULAR = """Observation id,Observation date,Description,Observation duration,Observation type,Source,\
Time offset (s),Media duration (s),FPS,Subject,Behavior,Behavioral category,Modifier #1,Behavior type,Time,\
Media file name,Image index,Image file path,Comment
"""
AGGREGATED = """Observation id,Observation date,Description,Observation duration,Observation type,Source,\
Time offset (s),Coding duration,Media duration (s),FPS (frame/s),Subject,\
Observation duration by subject by observation,Behavior,Behavioral category,Modifier #1,\
Behavior type,Start (s),Stop (s),Duration (s),Media file name,\
Image index start,Image index stop,Image file path start,Image file path stop,Comment start,Comment stop
"""
OLD = """Observation id\tinterview
\t
Media file(s)\t
Player #1\tvideos/talk.mp4

Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tBehavioral category\tComment\tStatus
1.5\tvideos/talk.mp4\t60.0\t25.0\tAnn\tnodding\thead\t\tSTART
3.25\tvideos/talk.mp4\t60.0\t25.0\tAnn\tnodding\thead\t\tSTOP
"""


def event(subject: str, behaviour: str, kind: str, time: float, modifier: str = "", source: str = "") -> str:
    where = source or "player #1:C:\\videos\\talk.mp4"
    return (
        f"obs 1,2026-01-01 10:00:00,,60,Media file(s),{where},0.0,60.000,25.000,{subject},{behaviour},head,{modifier},"
        f"{kind},{time},talk.mp4,37,NA,\n"
    )


def test_tabular_events_are_paired(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(
        TABULAR
        + event("Ann", "nodding", "START", 1.5, "fast")
        + event("No focal subject", "waving", "START", 2)
        + event("Ann", "nodding", "START", 2.5, "slow")
        + event("Ann", "blink", "POINT", 2.75)
        + event("Ann", "nodding", "STOP", 3.25, "fast")
        + event("Ann", "nodding", "STOP", 4, "slow")
        + event("No focal subject", "waving", "STOP", 5)
    )
    found = read(path)
    assert [(i.recording, i.person, i.label, i.start, i.end) for i in found.intervals] == [
        ("talk", "Ann", "nodding", 1.5, 3.25),
        ("talk", "", "waving", 2.0, 5.0),
        ("talk", "Ann", "nodding", 2.5, 4.0),
    ]
    assert found.intervals[0].extra == (("observation", "obs 1"), ("category", "head"), ("modifiers", "fast"))
    assert found.notes == (f"{path}: 1 POINT events have no length and were left out",)


def test_aggregated_events(tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    rows = (
        "obs 1,2026-01-01 10:00:00,,60,Media file(s),player #1:talk.mp4,0.0,60,60.000,25.000,Ann,2,nodding,head,,STATE,"
        "1.500,3.250,1.750,talk.mp4,37,81,NA,NA,good,\n"
        "obs 2,2026-01-01,,60,Media file(s),player #1:a.mp4;b.mp4,5,60,60.000,25.000,Ann,2,nodding,head,,STATE,"
        "1,2,1,a.mp4,37,81,NA,NA,,\n"
        "obs 3,2026-01-01,,60,Live observation,NA,0.0,60,NA,NA,Ann,2,blink,head,,POINT,1,1,NA,NA,NA,NA,NA,NA,,\n"
    )
    path.write_text((AGGREGATED + rows).replace(",", "\t"))
    found = read(path)
    assert [(i.recording, i.start, i.end) for i in found.intervals] == [("obs 2", 1.0, 2.0), ("talk", 1.5, 3.25)]
    assert dict(found.intervals[1].extra)["comment"] == "good"
    assert any("1 POINT events" in note for note in found.notes)
    assert any("have a time offset" in note for note in found.notes)


def test_tables_of_older_versions(tmp_path: Path) -> None:
    (tmp_path / "events.tsv").write_text(OLD)
    assert read(tmp_path / "events.tsv").intervals == (
        Interval("talk", 1.5, 3.25, "nodding", "Ann", extra=(("observation", "interview"), ("category", "head"))),
    )


def test_an_observation_of_several_videos_is_one_recording(tmp_path: Path) -> None:
    """As in BORIS's own tests: the table names the video of each event, and times count from the first one's start."""
    path = tmp_path / "events.tsv"
    header = (
        "Observation id\tObservation date\tDescription\tMedia file\tTotal length\tFPS\tSubject\tBehavior\t"
        "Behavioral category\tModifiers\tBehavior type\tStart (s)\tStop (s)\tDuration (s)\tComment start\n"
    )
    row = "observation #2\t2016-12-01 23:01:31\t\t{}.mp4\t539.920\t25.0\tNo focal subject\ts\t\t\t{}\t{}\t{}\tNA\t\n"
    rows = (("a", "STATE", 1.8, 8.125), ("a", "POINT", 32.825, 32.825), ("b", "STATE", 227.765, 253.49))
    path.write_text(header + "".join(row.format(*values) for values in rows))
    found = read(path)
    assert [(i.recording, i.start, i.end) for i in found.intervals] == [
        ("observation #2", 1.8, 8.125),
        ("observation #2", 227.765, 253.49),
    ]
    assert any(
        "is of several videos (a, b): its times count from the beginning of the first" in note for note in found.notes
    )


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (event("Ann", "nodding", "START", 1), "line 2: 'nodding' starts and never stops: repair the events in BORIS"),
        (event("Ann", "nodding", "STOP", 1), "line 2: 'nodding' stops and did not start"),
        (event("Ann", "nodding", "START", 1) * 2, "line 3: 'nodding' starts, and it runs since line 2"),
        (event("Ann", "nodding", "STATE", 1), "the behavior type must be START, STOP or POINT, not 'STATE'"),
        (event("Ann", "nodding", "START", 2) + event("Ann", "nodding", "STOP", 1), "line 2: the end"),
        (event("Ann", "nodding", "START", -2) + event("Ann", "nodding", "STOP", 1), "line 2: the start is negative"),
    ],
)
def test_broken_tables(tmp_path: Path, rows: str, reason: str) -> None:
    (tmp_path / "events.csv").write_text(TABULAR + rows)
    with pytest.raises(DataError, match=reason):
        read(tmp_path / "events.csv")


def test_a_table_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "events.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match="is no table of events as BORIS exports it"):
        read(tmp_path / "events.tsv")
