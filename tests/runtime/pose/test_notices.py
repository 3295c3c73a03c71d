from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mmn_edge.runtime.pose.notices import Notices

DROPPED = (
    b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n",
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n",
    b"W0000 00:00:1795898234.477250   21283 inference_feedback_manager.cc:114] Feedback manager requires a model\n",
    b"I0000 00:00:1795898234.477250   21283 gl_context.cc:357] GL version\n",
)
KEPT = (
    b"E0000 00:00:1795898234.477250   21283 graph.cc:114] out of memory\n",
    b"the sensor is hot\n",
    b"2026-11-28 [W:onnxruntime:, x.cc:1 F] careful\n",
    b"\n",
)


def test_only_notices_are_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    notices = Notices()
    notices.start()
    notices.start()
    for dropped, kept in zip(DROPPED, KEPT, strict=True):
        os.write(2, dropped[:20])  # lines come in pieces
        os.write(2, dropped[20:] + kept)
    os.write(2, b"unfinished")
    notices.stop()
    notices.stop()
    os.write(2, DROPPED[0])
    assert capfd.readouterr().err.encode() == b"".join(KEPT) + b"unfinished" + DROPPED[0]


def test_other_threads_words_survive(capfd: pytest.CaptureFixture[str]) -> None:
    notices = Notices()
    notices.start()
    threads = [
        threading.Thread(target=lambda name=name: [os.write(2, b"thread %d speaks\n" % name) for _ in range(200)])
        for name in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    notices.stop()
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == sorted(f"thread {name} speaks" for name in range(3) for _ in range(200))


def test_a_child_that_lives_on_does_not_hold_the_end(tmp_path: Path) -> None:
    notices = Notices()
    notices.start()
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        notices.stop()  # the child has the pipe as its standard error
    finally:
        child.communicate(timeout=30)
