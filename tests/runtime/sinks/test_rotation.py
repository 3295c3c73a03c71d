from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmn_edge.runtime.sinks import rotation
from mmn_edge.runtime.sinks.rotation import RotatedLines, Rotation

LINE = "x" * 99 + "\n"


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_begins_by_size(tmp_path: Path, clock: Clock) -> None:
    lines = RotatedLines(tmp_path / "events.jsonl", Rotation(size=250), clock=clock)
    for _ in range(5):
        lines.write(LINE)
    lines.close()
    assert [path.stat().st_size for path in lines.files()] == [200, 200, 100]
    assert lines.dropped == 0


def test_a_new_file_begins_by_age_and_is_named_after_its_beginning(tmp_path: Path, clock: Clock) -> None:
    lines = RotatedLines(tmp_path / "events.jsonl", Rotation(age=3600), clock=clock)
    lines.write(LINE)
    clock.now += 3599
    lines.write(LINE)
    clock.now += 1
    lines.write(LINE)
    lines.close()
    assert names(tmp_path) == ["events-20260921T141320.000Z.jsonl", "events-20260921T151320.000Z.jsonl"]


def test_a_restart_goes_on_with_the_newest_file_after_its_last_whole_line(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "events.jsonl"
    first = RotatedLines(path, Rotation(age=3600), clock=clock)
    first.write(LINE)
    first.close()
    (file,) = first.files()
    with file.open("a") as torn:
        torn.write('{"half a li')
    clock.now += 1000
    second = RotatedLines(path, Rotation(age=3600), clock=clock)
    second.write(LINE)
    assert second.files() == [file]
    assert file.read_text() == 2 * LINE
    clock.now += 3000  # 4000 s after it was begun, by the process before
    second.write(LINE)
    assert len(second.files()) == 2
    second.close()


def test_old_files_and_what_is_too_much_are_deleted_but_not_other_files(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "events-mine.jsonl").write_text("mine")
    (tmp_path / "other-20260101T000000.000Z.jsonl").write_text("mine")
    clock.now = time.time()
    lines = RotatedLines(tmp_path / "events.jsonl", Rotation(size=100, keep=3600, total=350), clock=clock)
    for _ in range(8):
        lines.write(LINE)
    assert len(lines.files()) == 4  # 350 bytes of ended files, and the one being written
    clock.now += 4000
    lines.write(LINE)
    assert len(lines.files()) == 1
    lines.close()
    assert {"events-mine.jsonl", "other-20260101T000000.000Z.jsonl"} <= set(names(tmp_path))


def test_a_clock_that_is_set_back_names_files_upwards(tmp_path: Path, clock: Clock) -> None:
    lines = RotatedLines(tmp_path / "events.jsonl", Rotation(size=100), clock=clock)
    for number in range(4):
        clock.now -= 1000
        lines.write(f"{number}".rjust(99) + "\n")
    lines.close()
    assert [path.read_text().strip() for path in lines.files()] == ["0", "1", "2", "3"]


def test_a_full_disk_drops_lines_says_so_once_and_goes_on(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files gives the same short writes and errors as a full disk."""
    monkeypatch.setattr(rotation, "RETRY_SECONDS", 0.0)
    notes: list[str] = []
    lines = RotatedLines(tmp_path / "events.jsonl", Rotation(size=None), on_note=notes.append, clock=clock)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))
    try:
        for _ in range(5):
            lines.write(LINE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    (file,) = lines.files()
    assert file.read_text() == 2 * LINE
    assert lines.dropped == 3
    assert len(notes) == 1
    assert "cannot be written" in notes[0]
    lines.write(LINE)
    assert file.read_text() == 3 * LINE
    assert "3 lines were dropped" in notes[1]
    lines.close()


WRITER = """
import sys
from pathlib import Path
from mmn_edge.runtime.sinks.rotation import RotatedLines, Rotation
lines = RotatedLines(Path(sys.argv[1]), Rotation(size=3_000_000))
print("writing", flush=True)
n = 0
while True:
    lines.write('{"n": %d, "text": "%s"}\\n' % (n, "x" * 20000))
    n += 1
"""


@pytest.mark.proof
def test_a_process_killed_while_it_writes_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for number in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.02 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        RotatedLines(path, Rotation()).close()  # as the next process does
    files = sorted(tmp_path.glob("*.jsonl"))
    assert files
    for file in files:
        for line in file.read_bytes().splitlines(keepends=True):
            assert line.endswith(b"\n")
            json.loads(line)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="denied"):
        RotatedLines(tmp_path / "logs" / "events.jsonl", Rotation())
