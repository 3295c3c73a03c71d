from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mmn_edge.datasets.synthetic.scenes import scene
from mmn_edge.skeleton import recording

pytestmark = pytest.mark.proof


@pytest.fixture
def live(small_bundle: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of a pipe that is fed as a sensor would, under a systemd of the test."""
    bundle = Path(shutil.copytree(small_bundle, tmp_path / "live.bundle"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        feeder = (
            "import sys, time\n"
            f"for line in open({str(_session(tmp_path))!r}):\n"
            "    sys.stdout.write(line); sys.stdout.flush(); time.sleep(1 / 30)\n"
        )
        sensor = subprocess.Popen([sys.executable, "-c", feeder], stdout=subprocess.PIPE)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        environment.pop("WATCHDOG_PID", None)
        process = subprocess.Popen(
            [sys.executable, "-m", "mmn_edge", "run", "-m", str(bundle), "-", "--emit", "predictions", "--json"],
            stdin=sensor.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        process.manager = manager  # type: ignore[attr-defined]
        process.bundle = bundle  # type: ignore[attr-defined]
        yield process
        for one in (process, sensor):
            one.kill()
            one.wait()
        for pipe in (process.stdout, process.stderr, sensor.stdout):
            if pipe is not None:
                pipe.close()


def _session(folder: Path) -> Path:
    path = folder / "session.jsonl"
    with path.open("w") as file:
        recording.write_frames(file, scene(120.0, seed=4, persons=1).frames())
    return path


def heard(manager: socket.socket, word: bytes, seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    manager.settimeout(1.0)
    while time.monotonic() < until:
        with suppress(TimeoutError):
            if manager.recv(200).startswith(word):
                return True
    return False


def test_a_replaced_bundle_is_used_and_a_broken_one_is_not(live: subprocess.Popen[str]) -> None:
    manager, bundle = live.manager, live.bundle  # type: ignore[attr-defined]
    assert live.stdout is not None
    assert live.stderr is not None
    assert heard(manager, b"READY=1")
    assert heard(manager, b"WATCHDOG=1")
    json.loads(live.stdout.readline())
    manifest = bundle / "manifest.json"
    good = manifest.read_text()
    (bundle / "new").write_text("{}")
    (bundle / "new").replace(manifest)
    assert "the new bundle is not used, the old one goes on" in live.stderr.readline()
    json.loads(live.stdout.readline())
    (bundle / "new").write_text(good)
    (bundle / "new").replace(manifest)
    assert "was replaced and is used from now on" in live.stderr.readline()
    live.send_signal(signal.SIGUSR1)
    assert "was replaced and is used from now on" in live.stderr.readline()
    json.loads(live.stdout.readline())
    assert heard(manager, b"WATCHDOG=1")
    live.send_signal(signal.SIGTERM)
    assert heard(manager, b"STOPPING=1")
    live.communicate(timeout=60)
    assert live.returncode == 130
