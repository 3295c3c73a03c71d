"""Network video from real servers: GStreamer's RTSP server, killed and stalled, and MJPEG over HTTP."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.errors import SourceError
from mmn_edge.runtime.sources import live
from mmn_edge.runtime.sources.devices import NetworkVideo
from mmn_edge.runtime.sources.live import LiveImages

cv2 = pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
HAS_SERVER = (
    shutil.which(SYSTEM_PYTHON) is not None
    and subprocess.run(
        [SYSTEM_PYTHON, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
        capture_output=True,
        check=False,
    ).returncode
    == 0
)

needs_rtsp = pytest.mark.skipif(not HAS_SERVER, reason="needs Debian's gir1.2-gst-rtsp-server-1.0 and python3-gi")

H264 = "x264enc tune=zerolatency key-int-max=10 speed-preset=ultrafast ! rtph264pay name=pay0 pt=96"
PATTERN = f"( videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=15/1 ! {H264} )"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(port: int, pipeline: str = PATTERN) -> Iterator[subprocess.Popen[str]]:
    command = [SYSTEM_PYTHON, str(SERVER), str(port), pipeline]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline().strip() == str(port)
        yield server
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def device(port: int, silence: float = 10.0) -> NetworkVideo:
    return NetworkVideo(f"rtsp://me:secret@127.0.0.1:{port}/1", f"rtsp://***@127.0.0.1:{port}/1", silence)


@needs_rtsp
@pytest.mark.proof
def test_a_server_that_is_killed_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LAST_WAIT", 2.0)
    port, notes = free_port(), list[str]()
    with LiveImages(lambda: device(port), patient=True, on_note=notes.append) as source:
        images = iter(source)
        with serving(port):
            seen = [next(images) for _ in range(20)]
        with serving(port):
            after = next(images)
            while after.connection == 0:
                after = next(images)
    blue, green, red = seen[-1].pixels[120, 160][::-1]
    assert (blue < 30, green < 30, red > 200) == (True, True, True)
    assert all(image.connection == 0 for image in seen)
    assert (after.connection, source.reconnects) == (1, 1)
    assert after.time > seen[-1].time
    assert sum("is back after" in note for note in notes) >= 1
    assert not any("secret" in note for note in notes)


@needs_rtsp
@pytest.mark.proof
def test_a_server_that_stalls_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LAST_WAIT", 2.0)
    port, notes = free_port(), list[str]()
    with serving(port) as server, LiveImages(lambda: device(port, 3.0), silence=3.0, on_note=notes.append) as source:
        images = iter(source)
        next(images)
        began = time.monotonic()
        os.kill(server.pid, signal.SIGSTOP)
        threading.Timer(6.0, os.kill, (server.pid, signal.SIGCONT)).start()
        while next(images).connection == 0:
            pass
        assert time.monotonic() - began > 3.0
    assert "has ended, or gave no image for 3 s" in notes[0]
    assert "begin anew" in notes[1]


class Mjpeg(BaseHTTPRequestHandler):
    """Sends images without end; the paths /short and /file are a stream that ends and something else."""

    jpeg = bytes(cv2.imencode(".jpg", np.full((48, 64, 3), (0, 0, 200), np.uint8))[1])

    def do_GET(self) -> None:
        if self.headers.get("Authorization") is None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=image")
        self.end_headers()
        try:
            for _ in range(40 if self.path == "/short" else 1000):
                head = f"--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self.jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + self.jpeg + b"\r\n")
                time.sleep(0.02)
        except OSError:
            pass

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_mjpeg_over_http_with_a_password(camera: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT", 0.05)
    shown = f"http://***@{camera}/short"
    with LiveImages(lambda: NetworkVideo(f"http://me:secret@{camera}/short", shown, 5.0)) as source:
        images = iter(source)
        first = image = next(images)
        while image.connection == 0:  # it ends, and is opened again
            image = next(images)
    red, green, blue = first.pixels[24, 32]
    assert (red > 180, green < 20, blue < 20) == (True, True, True)
    assert source.note == f"{shown} was lost and found again once"


def test_a_wrong_password_is_told(camera: str) -> None:
    network = NetworkVideo(f"http://{camera}/1", f"http://{camera}/1", 5.0)
    with pytest.raises(SourceError, match=r"cannot open .* user name and password"):
        network.open()
    network.close()


@needs_rtsp
@pytest.mark.proof
def test_a_person_on_a_network_camera_is_seen(shared: Path, tmp_path: Path) -> None:
    """Through the command line: H.264 of a video over RTSP, MediaPipe, a recording."""
    pytest.importorskip("mediapipe", reason="needs MediaPipe (the camera extra)")
    video = shared / "video" / "hello.avi"
    port, recording = free_port(), tmp_path / "r.jsonl"
    pipeline = f"( filesrc location={video} ! decodebin ! videoconvert ! {H264} )"
    command = [sys.executable, "-m", "mmn_edge", "record", f"rtsp://me:secret@127.0.0.1:{port}/1", "-o", str(recording)]
    with serving(port, pipeline):
        ended = subprocess.run([*command, "--duration", "2"], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "secret" not in ended.stderr
    lines = recording.read_text().splitlines()
    assert len(lines) >= 3
    assert any('"persons":[{' in line.replace(" ", "") for line in lines)
