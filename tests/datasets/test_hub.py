from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmn_edge.datasets.hub import download
from mmn_edge.errors import MissingDependencyError, UsageError

ROOT = Path(__file__).resolve().parents[2]
REVISION = "a" * 40
FILES = {"README.md": b"# data\n", "MA52/train_data.pkl": b"\x80\x04cposix\nsystem\n.", "talk.mp4": b"0" * 99}


class Hub(BaseHTTPRequestHandler):
    """The few answers of the Hugging Face hub that a download asks for."""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        start = f"/datasets/owner/name/resolve/{REVISION}/"
        if path == "/api/datasets/owner/name/revision/main":
            names = [{"rfilename": name} for name in FILES]
            self.answer(json.dumps({"id": "owner/name", "sha": REVISION, "siblings": names, "tags": []}).encode())
        elif path == f"/api/datasets/owner/name/tree/{REVISION}":
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in FILES.items()
            ]
            self.answer(json.dumps(tree).encode())
        elif path.startswith(start) and path.removeprefix(start) in FILES:
            self.answer(FILES[path.removeprefix(start)])
        else:
            self.answer(b"{}", status=404)

    def answer(self, content: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    if importlib.util.find_spec("huggingface_hub") is None:
        pytest.skip("huggingface_hub is not installed")
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(endpoint: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The hub's address is read when its package is imported, so the command has a process of its own."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "0"}
    environment["PYTHONPATH"] = str(ROOT / ".typing")
    command = [sys.executable, "-m", "mmn_edge", "data", "download", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_files_are_stored_and_not_opened(endpoint: str, tmp_path: Path) -> None:
    for _ in range(2):  # the second time there is nothing left to fetch
        process = run(endpoint, tmp_path, "owner/name")
        assert process.returncode == 0, process.stderr
        assert [line.split()[0] for line in process.stdout.splitlines()] == [
            "name/MA52/train_data.pkl",
            "name/README.md",
        ]
    assert (tmp_path / "name" / "MA52" / "train_data.pkl").read_bytes() == FILES["MA52/train_data.pkl"]


def test_files_by_pattern(endpoint: str, tmp_path: Path) -> None:
    process = run(endpoint, tmp_path, "owner/name", "-o", "x", "--include", "*.mp4")
    assert process.returncode == 0, process.stderr
    assert process.stdout.split()[0] == "x/talk.mp4"
    process = run(endpoint, tmp_path, "owner/name", "-o", "y", "--include", "*.zip")
    assert process.returncode == 7
    assert "mmn-edge: the data set owner/name has no files named *.zip" in process.stderr


def test_a_data_set_or_a_hub_that_is_not_there(endpoint: str, tmp_path: Path) -> None:
    process = run(endpoint, tmp_path, "owner/other")
    assert process.returncode == 7
    assert "the data set owner/other could not be downloaded (RepositoryNotFoundError" in process.stderr
    assert "check its id" in process.stderr
    process = run("http://127.0.0.1:9", tmp_path, "owner/name")
    assert process.returncode == 7
    assert "the data set owner/name could not be downloaded" in process.stderr
    assert "Traceback" not in process.stderr


def test_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r'needs huggingface_hub, .*pip install "mmn-edge\[hub\]"$'):
        download("owner/name", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="holds something else: name a new folder"):
        download("owner/name", tmp_path)
    with pytest.raises(UsageError, match=r"mine\.txt is a file"):
        download("owner/name", tmp_path / "mine.txt")


@pytest.mark.parametrize("name", ["", "name", "a/b/c", "https://huggingface.co/datasets/a/b", "a/ b", "../x/y"])
def test_what_is_no_id(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no data set's id"):
        download(name, tmp_path / "new")
