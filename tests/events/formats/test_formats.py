"""Each format written, then read: by ourselves, and within a millisecond by somebody else's reader."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.errors import DataError, UsageError
from mmn_edge.events.formats import FORMATS, format_for, format_of, read, write, write_folder
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.model import labels

NOD, WAVE = "nodding", "waving"


def interval(start: float, end: float, label: str = NOD, person: str = "", **more: Any) -> Interval:
    return Interval(more.pop("recording", "talk"), start, end, label, person, **more)


PLAIN = AnnotationSet(
    (
        interval(0.0005, 0.7314, person="Ann"),
        interval(1.25, 3.5, person="Ann"),
        interval(2.0, 2.2, person="Ann"),  # inside the one before it
        interval(2.0, 2.2, WAVE, "Ann"),
        interval(1.9996, 61.0004, WAVE, "Bob & <Co>"),
        interval(3600.125, 3601.0, "group:head", "Bob & <Co>"),
    )
)
"""What ELAN, Praat and subtitles hold alike: one recording, persons, overlaps, no scores."""

FULL = AnnotationSet(
    (
        interval(
            0.1, 0.30000000000000004, person="a", score=0.1 + 0.2, annotator="x, y", extra=(("note", 'say "no"'),)
        ),
        interval(5, 6, WAVE, recording="other", extra=(("colour", "red"),)),
        interval(5.5, 6.125, "größer", recording="other"),
    ),
    {
        "other": Recording("other", 90.5, 29.97, (0.0, 90.5)),
        "quiet": Recording("quiet", 60.0, None, (10.0, 60.0)),
        "talk": Recording("talk", None, 30.0, (0.0, 12.0)),
        "unseen": Recording("unseen", 60.0),
    },
)


def spans(annotations: AnnotationSet) -> list[tuple[str, str, int, int]]:
    """What there is, with times in milliseconds."""
    found = [(i.person, i.label, round(i.start * 1000), round(i.end * 1000)) for i in annotations.intervals]
    return sorted(found)


def test_a_table_keeps_everything(tmp_path: Path) -> None:
    lost = write(FULL, tmp_path / "a.csv")
    assert lost == ("what was watched is not in a.csv: keep recordings.csv beside it",)
    header, *lines = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    assert header == "recording,person,start,end,label,score,annotator,colour,note"
    assert lines[0] == "other,,5,6,waving,,,red,"
    assert lines[2] == 'talk,a,0.1,0.30000000000000004,nodding,0.30000000000000004,"x, y",,"say ""no"""'
    assert read(tmp_path / "a.csv").intervals == FULL.intervals
    write_folder(FULL, tmp_path / "set", to="csv")
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == [
        "other.csv",
        "quiet.csv",
        "recordings.csv",
        "talk.csv",
    ]
    assert read(tmp_path / "set") == FULL
    assert read(tmp_path / "set" / "quiet.csv").annotated == ("quiet",)


@pytest.mark.parametrize("name", ["talk.eaf", "talk.TextGrid", "talk.vtt", "talk.srt"])
def test_what_is_written_reads_back(tmp_path: Path, name: str) -> None:
    assert write(PLAIN, tmp_path / name) == ()
    found = read(tmp_path / name)
    assert spans(found) == spans(PLAIN)
    assert found.annotated == ("talk",)
    assert found.notes == ()
    if name.endswith("TextGrid"):
        assert found.intervals == PLAIN.intervals  # to the bit


@pytest.mark.parametrize("name", ["quiet.eaf", "quiet.TextGrid", "quiet.vtt", "quiet.srt", "quiet.csv"])
def test_watched_and_nothing_happened_is_kept(tmp_path: Path, name: str) -> None:
    write(AnnotationSet(empty=frozenset({"quiet"})), tmp_path / name)
    found = read(tmp_path / name)
    assert (found.annotated, found.intervals) == (("quiet",), ())


def test_elan_as_pympi_reads_it(tmp_path: Path) -> None:
    pympi = pytest.importorskip("pympi")
    entries = [*PLAIN.intervals, interval(70, 71, annotator="Eve", person="Ann")]
    (tmp_path / "talk.mp4").touch()
    path = tmp_path / "coded by Eve.eaf"
    write(AnnotationSet(tuple(entries)), path, media=tmp_path / "talk.mp4")
    document = pympi.Elan.Eaf(str(path))
    names = list(document.get_tier_names())
    assert sorted(names) == [
        "Ann/nodding",
        "Ann/nodding (2)",
        "Ann/nodding (3)",
        "Ann/waving",
        "Bob & <Co>/group:head",
        "Bob & <Co>/waving",
    ]
    found = []
    for tier in names:
        attributes = document.get_parameters_for_tier(tier)
        for start, end, value in document.get_annotation_data_for_tier(tier):
            found.append((attributes["PARTICIPANT"], value, start / 1000, end / 1000, attributes.get("ANNOTATOR", "")))
    expected = [(i.person, i.label, i.start, i.end, i.annotator) for i in entries]
    for one, other in zip(sorted(found), sorted(expected), strict=True):
        assert one[:2] == other[:2]
        assert one[4] == other[4]
        assert one[2:4] == pytest.approx(other[2:4], abs=0.001)
    assert document.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "./talk.mp4"
    assert read(path).annotated == ("talk",)  # called as the video
    (tmp_path / "coded").mkdir()
    write(PLAIN, tmp_path / "coded" / "a.eaf", media=tmp_path / "talk.mp4")
    linked = pympi.Elan.Eaf(str(tmp_path / "coded" / "a.eaf")).get_linked_files()[0]
    assert linked["RELATIVE_MEDIA_URL"] == "../talk.mp4"


def test_a_textgrid_as_praatio_reads_it(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    known = AnnotationSet(PLAIN.intervals, {"talk": Recording("talk", 4000.5, watched=(0, 4000.5))})
    write(known, tmp_path / "talk.TextGrid")
    grid = textgrid.openTextgrid(str(tmp_path / "talk.TextGrid"), includeEmptyIntervals=True, reportingMode="error")
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, 4000.5)
    found = []
    for tier in grid.tiers:
        at = 0.0
        for start, end, text in tier.entries:
            assert start == at  # no gaps
            at = end
            if text:
                found.append((tier.name.split("/")[0], text, start, end))
        assert at == 4000.5
    expected = [(i.person, i.label, i.start, i.end) for i in PLAIN.intervals]
    for one, other in zip(sorted(found), sorted(expected), strict=True):
        assert one[:2] == other[:2]
        assert one[2:] == pytest.approx(other[2:], abs=0.001)


def test_textgrids_of_praatio_are_read(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    grid = textgrid.Textgrid()
    grid.addTier(textgrid.IntervalTier("Ann/x", [(0.5, 1.25, 'a "b" ! 5'), (2, 3, WAVE)], 0, 4))
    grid.addTier(textgrid.PointTier("clicks", [(1, "x")], 0, 4))
    for form in ("long_textgrid", "short_textgrid"):
        path = tmp_path / "talk.TextGrid"
        grid.save(str(path), form, includeBlankSpaces=True)
        path.write_bytes(path.read_text().encode("utf-16"))  # as Praat does
        found = read(path)
        assert spans(found) == [("Ann", 'a "b" ! 5', 500, 1250), ("Ann", WAVE, 2000, 3000)]
        assert found.notes == (f"{path}: the 1 points of tier 'clicks' have no length and were left out",)


@pytest.mark.parametrize("name", ["talk.vtt", "talk.srt"])
def test_subtitles_as_ffmpeg_reads_them(tmp_path: Path, name: str) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("PROOF SKIPPED: ffprobe is not installed")
    write(PLAIN, tmp_path / name)
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=pts_time,duration_time", "-of", "json"]
    process = subprocess.run([*command, tmp_path / name], capture_output=True, check=True)
    packets = json.loads(process.stdout)["packets"]
    found = [(float(p["pts_time"]), float(p["pts_time"]) + float(p["duration_time"])) for p in packets]
    expected = [(start / 1000, end / 1000) for _, _, start, end in spans(PLAIN)]
    for one, other in zip(sorted(found), sorted(expected), strict=True):
        assert one == pytest.approx(other, abs=0.001)


@pytest.mark.parametrize("name", ["predictions.zip", "predictions.csv"])
def test_mma52(tmp_path: Path, name: str) -> None:
    entries = (
        interval(0.9324134826660156, 6.672196655273438, "bowing head", recording="val0000", score=0.2297385185956955),
        interval(1, 2, "Waving", recording="val0001", score=0.5),
    )
    write(AnnotationSet(entries), tmp_path / name, to="mma52")
    if name.endswith("zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert archive.namelist() == ["prediction.csv"]
            text = archive.read("prediction.csv").decode()
    else:
        text = (tmp_path / name).read_text()
    assert text == (
        ",video_id,t_start,t_end,class,score\n"
        "0,val0000,0.9324134826660156,6.672196655273438,5,0.2297385185956955\n"
        "1,val0001,1,2,19,0.5\n"
    )
    found = read(tmp_path / name)
    assert found.intervals[0] == entries[0]
    assert found.intervals[1].label == "waving"
    assert read(tmp_path / name, labels=labels.get("ma52")) == found


def test_truth_of_mma52_has_no_score(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    write(AnnotationSet((interval(1, 2),)), path, to="mma52")
    assert path.read_text() == ",video_id,t_start,t_end,class\n0,talk,1,2,9\n"
    assert read(path).intervals == (interval(1, 2),)
    assert format_of(path).name == "mma52"
    with pytest.raises(DataError, match="1 of 2 intervals have no score"):
        write(AnnotationSet((interval(1, 2), interval(2, 3, score=1.0))), path, to="mma52")
    with pytest.raises(DataError, match=r"'sneezing' \(recording talk, 1 s\) has no number"):
        write(AnnotationSet((interval(1, 2, "sneezing"),)), path, to="mma52")
    assert read(path).intervals == (interval(1, 2),)  # what was there is there


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    entries = (interval(1, 1.0001, "group:head", "Ann", score=0.5, annotator="Eve", extra=(("peak", "1.5"),)),)
    found = AnnotationSet(entries, empty=frozenset({"talk"}))
    assert write(found, tmp_path / "a.csv") == ()
    assert write(found, tmp_path / "talk.eaf") == (
        "ELAN holds no scores: 1 score is lost",
        "ELAN holds no further columns: peak lost",
        "ELAN holds whole milliseconds: 1 shorter event is lengthened to one",
    )
    assert "SubRip subtitles holds no annotators: 1 name is lost" in write(found, tmp_path / "talk.srt")
    lost = write(found, tmp_path / "a.zip")
    assert "MMA-52 table holds no persons: 1 name is lost" in lost
    assert "MMA-52 table holds no body-level groups: 1 event is lost" in lost
    assert (
        write(found, tmp_path / "other.TextGrid")[-1] == "recording talk is called other where other.TextGrid is read"
    )
    two = AnnotationSet(entries, empty=frozenset({"quiet"}))
    (lost_recording,) = write(two, tmp_path / "a.csv")
    assert lost_recording == "a.csv says nothing of quiet, where nothing happened: recordings.csv can"


def test_one_recording_a_file_needs_a_folder_for_several(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds one recording, and there are 3: name a folder, with --to elan"):
        write(FULL, tmp_path / "a.eaf")
    lost = write_folder(FULL, tmp_path / "set", to="elan")
    assert "ELAN holds no scores: 1 score is lost" in lost
    found = read(tmp_path / "set")
    assert found.recordings == FULL.recordings
    assert spans(found) == spans(FULL)
    one = read(tmp_path / "set" / "talk.eaf")
    assert (one.annotated, one.watched("talk")) == (("talk",), (0.0, 12.0))
    with pytest.raises(UsageError, match="cannot be the name of a file"):
        write_folder(AnnotationSet((interval(1, 2, recording="a/b"),)), tmp_path / "b", to="csv")
    assert not (tmp_path / "b").exists()


def test_a_folder_annotates_each_recording_once(tmp_path: Path) -> None:
    write(AnnotationSet((interval(1, 2),)), tmp_path / "a.csv")
    write(AnnotationSet((interval(1, 2),)), tmp_path / "talk.vtt")
    with pytest.raises(DataError, match=r"a.csv and .*talk.vtt both annotate recording 'talk'"):
        read(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no files of annotations"):
        read(tmp_path / "none")


def test_suffixes_and_names_of_formats() -> None:
    assert format_for(Path("a.CSV")).name == "csv"
    assert format_for(Path("a.textgrid")).name == "praat"
    assert format_for(Path("a.csv"), "mma52").name == "mma52"
    with pytest.raises(UsageError, match=r"a.mp4 does not end as a file of annotations does: .csv, .eaf, .TextGrid, "):
        format_for(Path("a.mp4"))
    with pytest.raises(UsageError, match="unknown format 'elam'"):
        format_for(Path("a.eaf"), "elam")
    with pytest.raises(UsageError, match=r"a.csv cannot be ELAN, whose files end in .eaf"):
        format_for(Path("a.csv"), "elan")
    with pytest.raises(UsageError, match="is read and not written"):
        format_for(Path("a.tsv"), "boris")
    assert {entry.name for entry in FORMATS.values()} == set(FORMATS)


def test_labels_are_matched_or_refused(tmp_path: Path) -> None:
    write(AnnotationSet((interval(1, 2, "Turning-Head"),)), tmp_path / "talk.srt")
    found = read(tmp_path / "talk.srt", labels=labels.get("ma52"))
    assert found.labels == ("turning head",)
    write(AnnotationSet((interval(1, 2, "sneezing"),)), tmp_path / "talk.srt")
    with pytest.raises(
        DataError, match=r"'sneezing' \(recording talk, 1 s\) is not in the label set, whose classes are "
    ):
        read(tmp_path / "talk.srt", labels=labels.get("ma52"))
