from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmn_edge.cli import main
from mmn_edge.cli.file_batch import NAME, Job, expanded, plan, run_all
from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import SourceError, UsageError
from mmn_edge.skeleton import recording


@pytest.fixture(scope="module")
def session() -> str:
    """A recording of 12 s."""
    return "".join(recording.format_frame(frame) + "\n" for frame in clips.script(12.0, 1).frames())


@pytest.fixture
def folder(tmp_path: Path, session: str) -> Path:
    """Two recordings, one in a folder below, and things that are none."""
    folder = tmp_path / "in"
    (folder / "monday").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for place in ("a.jsonl", "monday/b.jsonl", ".hidden/c.jsonl"):
        (folder / place).write_text(session)
    (folder / "notes.txt").write_text("not a recording")
    return folder


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as left:
        main(["run", *map(str, arguments)])
    return left.value.code or 0  # type: ignore[return-value]


def test_a_folder_stands_for_its_videos_and_recordings(folder: Path, tmp_path: Path) -> None:
    assert expanded([str(folder), "camera:0"]) == [
        ("a.jsonl", str(folder / "a.jsonl")),
        ("monday/b.jsonl", str(folder / "monday" / "b.jsonl")),
        ("camera:0", "camera:0"),
    ]
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="without a video or recording"):
        expanded([str(empty)])


def test_outputs_are_called_by_their_sources(tmp_path: Path) -> None:
    files = [("a.avi", "in/a.avi"), ("sub/a.avi", "in/sub/a.avi"), ("b.avi", "in/b.avi"), ("b.mp4", "in/b.mp4")]
    out = Path("out")
    assert [job.outputs for job in plan(files, [out / f"{NAME}.eaf"])] == [
        (out / "a.eaf",),
        (out / "sub" / "a.eaf",),
        (out / "b.avi.eaf",),
        (out / "b.mp4.eaf",),
    ]
    with pytest.raises(UsageError, match=r"not written to the one file all\.jsonl: name a folder, -o all/"):
        plan(files, [Path("all.jsonl")])
    with pytest.raises(UsageError, match="would be written by several"):
        plan([("a.avi", "x/a.avi"), ("a.avi", "y/a.avi")], [out / f"{NAME}.eaf"])
    with pytest.raises(UsageError, match="is both source and output"):
        plan([("a.jsonl", "in/a.jsonl"), ("b.jsonl", "in/b.jsonl")], [Path("in") / f"{NAME}.jsonl"])


def test_one_that_fails_keeps_none_of_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [Job(tmp_path / f"{name}.avi", (tmp_path / f"{name}.csv",)) for name in "abc"]

    def one(job: Job, written: Sequence[Path], prefix: str) -> bool:
        written[0].write_text(prefix)
        if job.source.stem == "b":
            raise SourceError("b breaks off")
        return True

    with pytest.raises(SourceError, match="b breaks off"):
        run_all(jobs, one, resume=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.unfinished.csv", "c.csv"]
    assert (tmp_path / "c.csv").read_text() == "[3/3] c.avi: "
    assert "1 of 3 files failed (what was read is in *.unfinished.*)" in capsys.readouterr().err


def test_a_folder_is_run_and_what_is_finished_is_skipped(
    folder: Path, tmp_path: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["-m", small_bundle, folder, "-o", f"{out}/", "-o", out / "{name}.csv", "--resume"]
    assert run(*arguments) == 0
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert made == ["a.csv", "a.jsonl", "monday/b.csv", "monday/b.jsonl"]
    stamps = {name: (out / name).stat().st_mtime_ns for name in made}
    capsys.readouterr()
    assert run(*arguments) == 0
    assert "2 of 2 files are finished and skipped" in capsys.readouterr().err
    assert stamps == {name: (out / name).stat().st_mtime_ns for name in made}
    later = max(stamps.values()) + 10**9
    os.utime(folder / "a.jsonl", ns=(later, later))  # changed since
    assert run(*arguments) == 0
    assert "1 of 2 files are finished and skipped" in capsys.readouterr().err
    assert (out / "a.jsonl").stat().st_mtime_ns != stamps["a.jsonl"]
    assert (out / "monday" / "b.jsonl").stat().st_mtime_ns == stamps["monday/b.jsonl"]


def test_what_does_not_go_together(
    folder: Path, tmp_path: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in (
        ([folder, "--resume"], "--resume skips what is finished"),
        ([folder, "-o", tmp_path / "all.csv"], "not written to the one file"),
        ([folder, "--record", tmp_path / "r.jsonl"], "--record takes one source"),
        ([folder, "camera:0", "-o", f"{tmp_path}/"], "several live sources are not written to files"),
    ):
        assert run("-m", small_bundle, *arguments) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_a_run_is_recorded_and_replays_the_same(
    folder: Path, tmp_path: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live, kept = tmp_path / "live.jsonl", tmp_path / "kept.jsonl"
    assert run("-m", small_bundle, folder / "a.jsonl", "-o", live, "--record", kept, "--emit", "predictions") == 0
    assert kept.read_text() == (folder / "a.jsonl").read_text()
    kept.write_text("")
    command = ["-m", small_bundle, folder / "a.jsonl", "--speed", 50, "--record", kept, "--emit", "predictions"]
    assert run(*command, "-o", live) == 0
    assert len(kept.read_text().splitlines()) == len((folder / "a.jsonl").read_text().splitlines())
    assert run("-m", small_bundle, kept, "-o", tmp_path / "again.jsonl", "--emit", "predictions") == 0
    first, again = (path.read_text().splitlines() for path in (live, tmp_path / "again.jsonl"))
    assert [_lasting(line) for line in again] == [_lasting(line) for line in first]
    capsys.readouterr()


def _lasting(line: str) -> dict[str, object]:
    fleeting = ("latency_ms", "age_ms", "utc")
    return {key: value for key, value in json.loads(line).items() if key not in fleeting}
