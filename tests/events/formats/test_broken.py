"""Files that are broken: one clear sentence each, with the file and the place."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from mmn_edge.errors import DataError
from mmn_edge.events.formats import read
from mmn_edge.events.formats.table import read_recordings
from mmn_edge.model import labels

HEADER = "recording,person,start,end,label,score,annotator\n"


def refused(path: Path, content: str | bytes, reason: str) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as raised:
        read(path)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert re.search(reason, message), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\): where nothing happened, a table still has its header"),
        (HEADER + "talk,,-0.5,1,nodding,,\n", r", line 2: the start is negative \(-0.5 s\)"),
        (HEADER + "\ntalk,,2,1,nodding,,\n", r", line 3: the end \(1 s\) is before the start"),
        (HEADER + "talk,,1,1,nodding,,\n", "has no length"),
        (HEADER + 'talk,,"1,5",2,nodding,,\n', "the start must be a number, not '1,5': write 1.5"),
        (HEADER + "talk,,nan,2,nodding,,\n", "the start must be a number, not 'nan'"),
        (HEADER + "talk,,1_0,20,nodding,,\n", "not '1_0'"),
        (HEADER + "talk,,1,1e400,nodding,,\n", "the end must be a number of seconds, not inf"),
        (HEADER + "talk,,1,2,nodding,high,\n", "the score must be a number, not 'high'"),
        (HEADER + "talk,,1,2,,,\n", "line 2: the label is empty"),
        (HEADER + "talk,,1,2,nodding,,,,9\n", "line 2 has 9 fields, and there are 7 columns"),
        (HEADER + 'talk,,1,2,"nod\nding",,\n', "holds a line break"),
        (HEADER + 'talk,,1,2,"nodding,,\n', "is no line of a table"),
        (
            HEADER.encode() + "talk,,1,2,größer,,\n".encode("latin-1"),
            r"line 2 is no UTF-8 text \(byte 0xf6\): save it as",
        ),
        ((HEADER + "talk,,1,2,nodding,,\n").encode("utf-16"), "is UTF-16 and not UTF-8"),
        ("recording;person;start;end;label\n", "its fields must be separated by commas"),
        ("start,end,label\n1,2,x\n", "lacks the column recording: its first line is 'start,end,label'"),
        ("recording,start,end,label,label\n", "has two columns called 'label'"),
    ],
)
def test_tables(tmp_path: Path, content: str | bytes, reason: str) -> None:
    refused(tmp_path / "talk.csv", content, reason)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("", "lists no recordings"),
        ("a,,,0,\n", "line 2: watched_from and watched_to are given both, or neither"),
        ("a,,,5,4\n", "line 2: watched_from and watched_to must be seconds, one after the other, not 5 and 4"),
        ("a,0,,0,4\n", "line 2: duration_s must be a number above 0"),
        ("a,,,,\na,,,0,1\n", "line 3: recording 'a' is there already"),
    ],
)
def test_recordings(tmp_path: Path, rows: str, reason: str) -> None:
    path = tmp_path / "recordings.csv"
    path.write_text("recording,duration_s,fps,watched_from,watched_to\n" + rows)
    with pytest.raises(DataError, match=reason):
        read_recordings(path)
    path.write_text("recording,duration_s\na,5\n")
    with pytest.raises(DataError, match="lacks the columns watched_from, watched_to"):
        read_recordings(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (",video_id,t_start,t_end,class\n0,a,1,2,nodding\n", "line 2: the class must be a number counted from 0"),
        (",video_id,t_start,t_end,class\n0,a,1,2,52\n", "line 2: class 52 is not there: the label set has 52 classes"),
        (",video_id,t_start,t_end,class\n0,a,1,2\n", "line 2 has 4 fields"),
        (",video_id,t_start,t_end,class\n0,a,-1,2,5\n", "line 2: the start is negative"),
    ],
)
def test_mma52_tables(tmp_path: Path, content: str | bytes, reason: str) -> None:
    refused(tmp_path / "talk.csv", content, reason)


def test_zips(tmp_path: Path) -> None:
    refused(tmp_path / "a.zip", "no zip at all", "lacks the columns")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    refused(tmp_path / "b.zip", (tmp_path / "b.zip").read_bytes(), r"holds 0 tables \(.csv\), and must hold one")
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("prediction.csv", b"0" * (257 * 2**20))
    refused(tmp_path / "c.zip", (tmp_path / "c.zip").read_bytes(), "unpacks to more than 256 MiB")


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://www.mpi.nl/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="900"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="1300"/>
<TIME_SLOT TIME_SLOT_ID="ts5"/><TIME_SLOT TIME_SLOT_ID="ts6" TIME_VALUE="-200"/></TIME_ORDER>
{tiers}
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""


def tier(name: str, *annotations: str, **attributes: str) -> str:
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    body = "".join(f"<ANNOTATION>{annotation}</ANNOTATION>" for annotation in annotations)
    return f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="{name}"{more}>{body}</TIER>'


def aligned(name: str, start: str, end: str, value: str = "nodding") -> str:
    return (
        f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>"
    )


def referring(name: str, to: str, value: str = "fast", previous: str = "") -> str:
    before = f' PREVIOUS_ANNOTATION="{previous}"' if previous else ""
    return (
        f'<REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{to}"{before}>'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></REF_ANNOTATION>"
    )


def test_elan_tiers_of_classes_and_tiers_with_values(tmp_path: Path) -> None:
    pytest.importorskip("pympi")
    path = tmp_path / "talk.eaf"
    tiers = (
        tier("Ann/nodding", aligned("a1", "ts1", "ts3", ""), aligned("a2", "ts2", "ts4", " x ")),
        tier("hands", aligned("a3", "ts1", "ts2", "waving"), PARTICIPANT="Bob", ANNOTATOR="Eve"),
        tier("how", referring("a4", "a3"), referring("a5", "a3", "slow", "a4"), PARENT_REF="hands"),
        tier("unused"),
    )
    path.write_text(EAF.format(tiers="".join(tiers)))
    found = read(path)
    assert [(i.start, i.end, i.label, i.person, i.annotator) for i in found.intervals] == [
        (0.0, 0.45, "fast", "", ""),
        (0.0, 0.5, "nodding", "Ann", ""),
        (0.0, 0.9, "waving", "Bob", "Eve"),
        (0.45, 0.9, "slow", "", ""),
        (0.9, 1.3, "x", "Ann", ""),
    ]
    assert found.notes == (f"{path}: tier 'unused' is empty",)
    chosen = read(path, tiers=["Ann/*", "hands"], labels=labels.get("ma52"))
    assert [i.label for i in chosen.intervals] == ["nodding", "waving", "nodding"]  # x is no class, its tier names one
    with pytest.raises(DataError, match="has no tier feet: it has Ann/nodding, hands, how, unused"):
        read(path, tiers=["feet"])


def test_an_elan_video_with_an_offset_is_said(tmp_path: Path) -> None:
    pytest.importorskip("pympi")
    path = tmp_path / "talk.eaf"
    media = (
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="file:///a/walk.mp4" {}/></HEADER>'
    )
    header = '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>'
    for attribute, said in (('TIME_ORIGIN="500"', True), ("", False)):
        text = EAF.format(tiers=tier("a", aligned("a1", "ts1", "ts2"))).replace(header, media.format(attribute))
        path.write_text(text)
        found = read(path)
        assert found.annotated == ("walk",)
        assert any("linked with an offset" in note for note in found.notes) == said


def test_elan_annotations_that_share_a_time(tmp_path: Path) -> None:
    """As in ELAN's own sample: a subdivision whose parts were not aligned."""
    pytest.importorskip("pympi")
    path = tmp_path / "talk.eaf"
    slots = '<TIME_SLOT TIME_SLOT_ID="ts7"/><TIME_SLOT TIME_SLOT_ID="ts8"/></TIME_ORDER>'
    parts = [aligned("a1", "ts1", "ts7", "x"), aligned("a2", "ts7", "ts8", "y"), aligned("a3", "ts8", "ts2", "z")]
    path.write_text(
        EAF.replace("</TIME_ORDER>", slots).format(tiers=tier("a", *parts, aligned("a4", "ts2", "ts4", "w")))
    )
    assert [(i.start, i.end, i.label) for i in read(path).intervals] == [
        (0.0, 0.3, "x"),
        (0.3, 0.6, "y"),
        (0.6, 0.9, "z"),
        (0.9, 1.3, "w"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        ("hello", "is no XML"),
        ("<html></html>", "is no ELAN file: it begins with <html>"),
        ("<ANNOTATION_DOCUMENT/>", "is no ELAN file that can be read"),
        (b'<?xml version="1.0" encoding="klingon"?><ANNOTATION_DOCUMENT/>', "is no XML|in an encoding"),
        (EAF.format(tiers="grö").encode("latin-1"), "is no XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><ANNOTATION_DOCUMENT/>", "brings a document type of its own"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><ANNOTATION_DOCUMENT/>', "brings a document type of its own"),
        ("<ANNOTATION_DOCUMENT>" + "<a>" * 40 + "</a>" * 40 + "</ANNOTATION_DOCUMENT>", "nested more than 32 deep"),
        (EAF.format(tiers=tier("a") + tier("a")), "TIER_ID 'a' is there twice"),
        (
            EAF.format(tiers=tier("a", aligned("a1", "ts1", "ts2"), aligned("a2", "ts3", "ts4"))),
            "a1 and a2 of tier 'a' ov",
        ),
        (EAF.format(tiers=tier("a", aligned("a1", "ts6", "ts2"))), r"tier 'a', annotation a1: the start is negative"),
        (
            EAF.format(tiers=tier("a", aligned("a1", "ts2", "ts3"))),
            r"annotation a1: the end \(0.5 s\) is before the start",
        ),
        (EAF.format(tiers=tier("a", aligned("a1", "ts1", "ts5"))), "annotation a1 has no time of its own"),
        (EAF.format(tiers=tier("a", aligned("a1", "ts1", "ts9"))), "refers to the time ts9, which is not there"),
        (EAF.format(tiers=tier("a", referring("a1", "a9"))), "annotation a1 refers to a9, which is not there"),
        (EAF.format(tiers=tier("a", referring("a1", "a2"), referring("a2", "a1"))), "refers to itself by way of"),
        (
            EAF.format(
                tiers=tier("a", aligned("a1", "ts1", "ts2")) + tier("b", referring("a2", "a1"), referring("a3", "a1"))
            ),
            "annotations a2 and a3 of tier 'b' both refer to a1 and overlap",
        ),
    ],
)
def test_elan(tmp_path: Path, content: str | bytes, reason: str) -> None:
    pytest.importorskip("pympi")
    refused(tmp_path / "talk.eaf", content, reason)


GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 5
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "a"
        xmin = 0
        xmax = 5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 2
            text = "nodding"
        intervals [2]:
            xmin = 2
            xmax = 5
            text = ""
"""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("hello", "ends too early: a text is due"),
        (GRID.replace("TextGrid", "Sound"), "is no TextGrid"),
        (
            GRID.replace("xmin = 0\n            xmax = 2", "xmin = -1\n            xmax = 2"),
            r"'a': the start is negative \(-1",
        ),
        (GRID.replace("xmin = 2", "xmin = 1.5"), "the interval from 1.5 s begins before the one before it ends"),
        (GRID.replace("size = 2", "size = 3"), "ends too early: a number is due"),
        (GRID.replace("size = 2", "size = 1"), "line 20 holds more than the counts before it say"),
        (GRID.replace("size = 2", "size = 1.5"), "line 14 has 1.5 where a count is due"),
        (GRID.replace('"nodding"', '"nodding'), "quotes do not close|where a text is due|ends too early"),
        (GRID.replace("IntervalTier", "FormantTier"), "is of an unknown kind, 'FormantTier'"),
        (GRID.replace("xmax = 2", 'xmax = "2"'), r"line 17 has a text \(\"2\"\) where a number is due"),
        (GRID.replace("nodding", "grö").encode("latin-1"), "is no UTF-8 text"),
    ],
)
def test_textgrids(tmp_path: Path, content: str | bytes, reason: str) -> None:
    refused(tmp_path / "talk.TextGrid", content, reason)


def test_a_textgrid_may_hold_comments_and_many_of_them(tmp_path: Path) -> None:
    path = tmp_path / "talk.TextGrid"
    path.write_text(GRID.replace("xmin = 0\nxmax = 5", '! 7 "x"\n' * 3000 + "xmin = 0\nxmax = 5", 1))
    assert [(i.start, i.end, i.label) for i in read(path).intervals] == [(0.0, 2.0, "nodding")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("talk.vtt", "", "is empty"),
        ("talk.vtt", "00:01.000 --> 00:02.000\nnodding\n", "is no WebVTT"),
        ("talk.vtt", "WEBVTT\n\n00:01.000 --> soon\nnodding\n", "line 3 is no timing"),
        ("talk.vtt", "WEBVTT\n\n00:02.000 --> 00:01.000\nnodding\n", "line 3: the end"),
        ("talk.vtt", "WEBVTT\n\n-00:02.000 --> 00:01.000\nnodding\n", "line 3: the start is negative"),
        ("talk.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n\n", "line 3: the label is empty"),
        ("talk.srt", "1\n00:00:01,000 --> 00:00:02\nnodding\n", "line 2 is no timing"),
        ("talk.srt", "1\n00:00:01,000 --> 00:00:02,000\ngrö\n".encode("latin-1"), "line 3 is no UTF-8 text"),
        (
            "talk.mp4",
            "x",
            "is no file of annotations: .csv, .eaf, .TextGrid, .vtt, .srt, .zip, .tsv, .txt, .jsonl are read",
        ),
    ],
)
def test_subtitles(tmp_path: Path, name: str, content: str | bytes, reason: str) -> None:
    refused(tmp_path / name, content, reason)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"talk.vtt does not exist"):
        read(tmp_path / "talk.vtt")
