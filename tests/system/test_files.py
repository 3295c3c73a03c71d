from __future__ import annotations

import errno
import hashlib
import os
import re
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mmn_edge.system import files
from mmn_edge.system.files import LineFile, atomic_file, atomic_folder, line_file, sha256

Atomic = Callable[[Path], AbstractContextManager[Path]]


def make(path: Path, content: dict[str, str]) -> None:
    path.mkdir()
    for name, text in content.items():
        (path / name).write_text(text, encoding="utf-8")


def content(path: Path) -> dict[str, str]:
    return {entry.name: entry.read_text(encoding="utf-8") for entry in path.iterdir()}


def killed_inside(block: str, path: Path) -> int:
    """Kill a process with SIGKILL once it is inside a block that writes ``path``; returns its id."""
    script = f"""
import pathlib, sys, time
from mmn_edge.system.files import atomic_file, atomic_folder
{block}
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    return process.pid


IN_FILE = """
with atomic_file(pathlib.Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("inside", flush=True)
    time.sleep(60)
"""
IN_FOLDER = """
with atomic_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "a").write_text("half")
    print("inside", flush=True)
    time.sleep(60)
"""


def test_sha256_of_a_file_of_several_blocks(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "x").write_bytes(data)
    assert sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_atomic_file_makes_its_folder_and_replaces_an_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "x.txt"
    for text in ("one", "two"):
        with atomic_file(path) as partial:
            assert partial.parent == path.parent  # a rename is atomic within one file system only
            partial.write_text(text, encoding="utf-8")
        assert content(path.parent) == {"x.txt": text}


def test_atomic_file_keeps_the_earlier_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old", encoding="utf-8")

    def write() -> None:
        with atomic_file(path) as partial:
            partial.write_text("new", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert content(tmp_path) == {"x.txt": "old"}


def test_atomic_folder_replaces_the_whole_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x"
    for entries in ({"a": "1", "b": "1"}, {"b": "2"}):
        with atomic_folder(path) as folder:
            for name, text in entries.items():
                (folder / name).write_text(text, encoding="utf-8")
        assert content(path) == entries
        assert list(path.parent.iterdir()) == [path]


def test_atomic_folder_keeps_the_earlier_folder_until_the_block_ends_and_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "x"
    make(path, {"a": "old", "b": "old"})

    def write() -> None:
        with atomic_folder(path) as folder:
            (folder / "a").write_text("new", encoding="utf-8")
            assert content(path) == {"a": "old", "b": "old"}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert content(path) == {"a": "old", "b": "old"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x.txt", "x [1]*.txt"])
def test_a_kill_inside_atomic_file_keeps_the_old_one_and_what_was_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("old", encoding="utf-8")
    killed_inside(IN_FILE, path)
    assert path.read_text(encoding="utf-8") == "old"
    assert len(list(tmp_path.iterdir())) == 2
    (left,) = (entry for entry in tmp_path.iterdir() if entry != path)
    with atomic_file(path) as partial:
        partial.write_text("new", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "new"
    assert left.exists(), "it may be all there is of a recording"


def test_a_link_stays_and_a_device_or_pipe_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with atomic_file(tmp_path / "link") as partial:
        partial.write_text("new", encoding="utf-8")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text(encoding="utf-8") == "new"
    os.mkfifo(tmp_path / "pipe")
    with atomic_file(tmp_path / "pipe") as partial:
        assert partial == (tmp_path / "pipe").resolve()
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["x.bundle", "x [1]*.bundle"])
def test_a_kill_inside_atomic_folder_keeps_the_old_one_and_the_next_run_cleans_up(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    make(path, {"a": "old", "b": "old"})
    killed_inside(IN_FOLDER, path)
    assert content(path) == {"a": "old", "b": "old"}
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_folder(path) as folder:
        (folder / "a").write_text("new", encoding="utf-8")
    assert content(path) == {"a": "new"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("block", "atomic"), [(IN_FILE, atomic_file), (IN_FOLDER, atomic_folder)])
def test_leftovers_under_the_own_process_id_do_no_harm(tmp_path: Path, block: str, atomic: Atomic) -> None:
    """A container gives the restarted process the id of the killed one."""
    path = tmp_path / "x"
    pid = killed_inside(block, path)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(f"-{pid}")
    left.rename(left.with_name(left.name.replace(f"-{pid}", f"-{os.getpid()}")))
    with pytest.raises(ValueError, match="stop"), atomic(path):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_the_work_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    foreign = tmp_path / f".x.partial-{os.getppid()}"
    make(foreign, {"a": "of another process"})
    with atomic_folder(path):
        pass
    assert content(foreign) == {"a": "of another process"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is Linux's")
def test_two_folders_change_places_in_one_step(tmp_path: Path) -> None:
    make(tmp_path / "a", {"x": "1"})
    make(tmp_path / "b", {"x": "2"})
    if not files._exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange two folders")
    assert content(tmp_path / "a") == {"x": "2"}
    assert content(tmp_path / "b") == {"x": "1"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is Linux's")
def test_an_exchange_that_the_system_refuses_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / "a", {})
    with pytest.raises(FileNotFoundError):
        files._exchange(tmp_path / "a", tmp_path / "missing")


def test_atomic_folder_without_exchange_renames_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    path = tmp_path / "x"
    make(path, {"a": "old"})
    with atomic_folder(path) as folder:
        (folder / "b").write_text("new", encoding="utf-8")
    assert content(path) == {"b": "new"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may have more than 100 bytes, which fails as a full disk does."""
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_lines_take_the_place_of_an_earlier_file_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("before")
    with line_file(path) as file:
        file.write("ä\n")
        file.flush()
        file.write("b\n")
        assert path.read_text() == "before"
    assert file.lines == 2
    assert content(tmp_path) == {"a.jsonl": "ä\nb\n"}
    with line_file(path):
        pass
    assert content(tmp_path) == {"a.jsonl": ""}


def interrupted_after_a_line(path: Path, kind: type[BaseException]) -> None:
    with line_file(path) as file:
        file.write("1\n")
        raise kind


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, SystemExit])
def test_lines_are_kept_whatever_ends_the_block(kind: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("before")
    with pytest.raises(kind), line_file(path):
        raise kind
    assert content(tmp_path) == {"a.jsonl": "before"}
    with pytest.raises(kind):
        interrupted_after_a_line(path, kind)
    assert content(tmp_path) == {"a.jsonl": "1\n"}


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_the_lines_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with line_file(path) as file:
        for number in range(12):
            file.write(f"line {number}\n")
        for _ in range(2):
            with pytest.raises(OSError, match=re.escape(str(path))) as caught:
                file.write("a line that is too long by half a line\n")
            assert caught.value.errno == errno.EFBIG
        file.write("a\n")
    assert file.lines == 13
    assert path.read_text() == "".join(f"line {number}\n" for number in range(12)) + "a\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_second_interruption_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = LineFile.close

    def interrupted(self: LineFile, **options: bool) -> None:
        close(self)
        raise KeyboardInterrupt

    path = tmp_path / "a.jsonl"
    monkeypatch.setattr(LineFile, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        interrupted_after_a_line(path, KeyboardInterrupt)
    assert path.read_text() == "1\n"


def test_lines_go_through_a_pipe_whose_reader_may_leave(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with line_file(path) as file:
        file.write("1\n")
        assert os.read(reader, 10) == b"1\n"
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            file.write("2\n")
    assert path.is_fifo()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was waited for and renamed, in order, by the names of files without those of processes."""
    done: list[str] = []
    sync, replace, rename, exchange = os.fsync, os.replace, os.rename, files._exchange

    def name(path: str | Path) -> str:
        return Path(path).name.replace(f".partial-{os.getpid()}", "").lstrip(".")

    def noted(word: str, function: Callable[..., None]) -> Callable[..., None]:
        def note(first: Path, second: Path) -> None:
            done.append(word)
            function(first, second)

        return note

    def noted_sync(descriptor: int) -> None:
        done.append(f"sync {name(Path(f'/proc/self/fd/{descriptor}').readlink())}")
        sync(descriptor)

    def noted_exchange(first: Path, second: Path) -> bool:
        done.append("exchange")
        return exchange(first, second)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted("replace", replace))
    monkeypatch.setattr(os, "rename", noted("rename", rename))
    monkeypatch.setattr(files, "_exchange", noted_exchange)
    return done


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors have names in /proc")
def test_a_file_is_on_the_disk_before_it_takes_its_place_and_its_name_thereafter(
    tmp_path: Path, steps: list[str]
) -> None:
    with atomic_file(tmp_path / "x") as partial:
        partial.write_text("new", encoding="utf-8")
        assert not steps
    assert steps == ["sync x", "replace", f"sync {tmp_path.name}"]
    steps.clear()
    with line_file(tmp_path / "y") as file:
        file.write("1\n")
    assert steps == ["sync y", "replace", f"sync {tmp_path.name}"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors have names in /proc")
def test_a_folder_is_on_the_disk_before_the_earlier_one_is_deleted(tmp_path: Path, steps: list[str]) -> None:
    """Else a power cut right after the command could leave neither: both names lead to files without content."""
    path = tmp_path / "x.bundle"

    def write() -> None:
        steps.clear()
        with atomic_folder(path) as folder:
            (folder / "a").write_text("1", encoding="utf-8")
            (folder / "deep").mkdir()
            (folder / "deep" / "b").write_text("2", encoding="utf-8")
            (folder / "link").symlink_to("nowhere")
            assert not steps

    content = ["sync b", "sync deep", "sync a", "sync x.bundle"]
    write()
    assert steps == [*content, "rename", f"sync {tmp_path.name}"]
    write()
    assert steps[:-2] == content
    assert steps[-2:] == ["exchange", f"sync {tmp_path.name}"]


def test_a_folder_whose_files_cannot_be_written_out_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "x", {"a": "old"})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic_folder(tmp_path / "x") as folder:
        (folder / "a").write_text("new", encoding="utf-8")
    assert content(tmp_path / "x") == {"a": "old"}
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_file_system_that_cannot_wait_for_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    with atomic_folder(tmp_path / "x") as folder:
        (folder / "a").write_text("new", encoding="utf-8")
    assert content(tmp_path / "x") == {"a": "new"}
