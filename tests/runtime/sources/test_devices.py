from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.errors import SourceError
from mmn_edge.runtime.sources.devices import Camera

cv2 = pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Three images, all red and brighter than the one before."""
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for index in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 60 * (index + 1)), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (99, "cannot open camera 99: check that /dev/video99"),
        ("/dev/none", "cannot open camera /dev/none: check that /dev/none"),
    ],
)
def test_camera_that_is_not_there(place: int | str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    camera = Camera(place)
    with pytest.raises(SourceError, match=words):
        camera.open()
    camera.close()
    assert capfd.readouterr().err == ""


def test_camera_delivers_until_it_stops(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: real(str(video)))
    camera = Camera(3)
    camera.open()
    shots = [camera.read() for _ in range(3)]
    np.testing.assert_allclose(shots[0].bgr[24, 32], (0, 0, 60), atol=6)
    assert shots[0].captured < shots[1].captured < shots[2].captured
    with pytest.raises(SourceError, match="camera 3 stopped delivering"):
        camera.read()
    camera.close()
    camera.close()


def test_a_size_that_a_camera_does_not_have_is_named(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: real(str(video)))
    camera = Camera(3, (1280, 720), 30.0)
    with pytest.raises(SourceError, match="no images of 1280x720; the nearest are 64x48"):
        camera.open()
    camera.close()


NOTHING_ANSWERS = """
from mmn_edge.errors import SourceError
from mmn_edge.runtime.sources.devices import NetworkVideo

for scheme in ("rtsp", "http"):
    address = NetworkVideo(f"{scheme}://me:secret@127.0.0.1:9/1", f"{scheme}://***@127.0.0.1:9/1", 1.0)
    try:
        address.open()
    except SourceError as error:
        print(error)
    address.close()
"""


def test_an_address_where_nothing_answers() -> None:
    """In a process of its own: FFmpeg asks once, at its first use, whether it is to be quiet."""
    env = {name: value for name, value in os.environ.items() if name != "OPENCV_FFMPEG_LOGLEVEL"}
    command = [sys.executable, "-c", NOTHING_ANSWERS]
    process = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert process.stderr == ""
    assert [line.partition(": ")[0] for line in process.stdout.splitlines()] == [
        "cannot open rtsp://***@127.0.0.1:9/1",
        "cannot open http://***@127.0.0.1:9/1",
    ]
    assert "secret" not in process.stdout
