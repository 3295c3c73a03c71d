"""Real children of gst-launch; about a second each."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from mmn_edge.errors import MissingDependencyError, SourceError
from mmn_edge.runtime.sources import live
from mmn_edge.runtime.sources.gstreamer import GStreamer, csi_pipeline, pipeline_words
from mmn_edge.runtime.sources.live import LiveImages

pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")

needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="needs gst-launch-1.0 (Debian's gstreamer1.0-tools)"
)

LIVE = "videotestsrc is-live=true pattern=red ! video/x-raw,width=64,height=48,framerate=30/1"


def device(pipeline: str) -> GStreamer:
    return GStreamer(pipeline_words(pipeline), f"gst:{pipeline}")


def children() -> list[int]:
    """Processes of gst-launch that are ours."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            if f"PPid:\t{os.getpid()}\n" in status and status.startswith("Name:\tgst-launch"):
                found.append(int(entry.name))
    return found


@needs_gstreamer
def test_images_of_a_pipeline_and_nothing_left_of_its_child() -> None:
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    gst = device(LIVE)
    gst.open()
    shots = [gst.read() for _ in range(5)]
    assert shots[0].bgr.shape == (48, 64, 3)
    blue, green, red = shots[0].bgr[24, 32]
    assert (blue < 20, green < 20, red > 230) == (True, True, True)
    assert shots[-1].captured > shots[0].captured
    assert children()
    gst.close()
    gst.close()
    assert children() == []
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


@needs_gstreamer
@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("nosuchelement ! videoconvert", 'does not run: no element "nosuchelement"'),
        ("v4l2src device=/dev/none9", "does not run: Cannot identify device .*/dev/none9"),
        ("videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48", "is not live"),
        ("nvarguscamerasrc ! nvvidconv", r"no element \"nvarguscamerasrc\" \(csi: is for Jetsons\)"),
    ],
)
def test_what_does_not_run_is_told_in_a_sentence(pipeline: str, words: str) -> None:
    gst = device(pipeline)
    with pytest.raises(SourceError, match=words) as caught:
        gst.open()
    gst.close()
    assert "\n" not in str(caught.value)
    assert children() == []


@needs_gstreamer
def test_the_end_of_a_pipeline_is_told() -> None:
    gst = device(LIVE.replace("is-live=true", "is-live=true num-buffers=3"))
    gst.open()
    assert [gst.read().bgr.shape for _ in range(3)] == 3 * [(48, 64, 3)]
    with pytest.raises(SourceError, match=r"has ended: gst-launch-1.0 ended by itself"):
        gst.read()
    gst.close()


@needs_gstreamer
def test_a_killed_child_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT", 0.1)
    notes: list[str] = []
    with LiveImages(lambda: device(LIVE), on_note=notes.append) as source:
        images = iter(source)
        next(images)
        (child,) = children()
        os.kill(child, signal.SIGKILL)
        while next(images).connection == 0:
            pass
    assert "was killed by signal 9" in notes[0]
    assert "begin anew" in notes[1]
    assert children() == []


@needs_gstreamer
def test_a_child_that_stalls_is_ended_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT", 0.1)
    with LiveImages(lambda: device(LIVE), silence=1.0) as source:
        images = iter(source)
        next(images)
        (child,) = children()
        os.kill(child, signal.SIGSTOP)
        began = time.monotonic()
        while next(images).connection == 0:
            pass
        assert time.monotonic() - began < 20
    assert child not in children()


def test_without_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    gst = device(LIVE)
    with pytest.raises(MissingDependencyError, match=r"gst-launch-1.0: apt-get install gstreamer1.0-tools"):
        gst.open()
    gst.close()


def test_the_pipeline_of_a_csi_camera() -> None:
    assert csi_pipeline(1, (640, 480), 29.97).startswith(
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=640,height=480,framerate=30000/1001 ! "
    )
    assert "width=1280,height=720,framerate=30/1" in csi_pipeline(0, None, None)
    assert (
        pipeline_words(csi_pipeline(0, None, None))[3]
        == "video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1"
    )
