"""The program itself, fed by a sender over a socket."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from mmn_edge.runtime.sources.recordings import RecordingSource
from mmn_edge.skeleton import layouts


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def connected(port: int, process: subprocess.Popen[str]) -> socket.socket:
    due = time.monotonic() + 60
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port))
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < due
        time.sleep(0.1)


def kinect(k: int) -> bytes:
    """A frame of the Kinect v2: the drawn person in camera space, waving."""
    layout = layouts.get("kinect-v2")
    x, y = np.array(layout.pose).T
    points = np.stack([0.5 - x, 0.5 - y, x * 0 + 2], axis=-1)
    points[layout.index("left_wrist"), 1] += 0.2 * np.sin(k / 3)
    frame = {
        "time": 77.0 + k / 30,
        "sequence": k,
        "layout": layout.name,
        "persons": [{"id": 5, "keypoints": points.tolist()}],
    }
    return json.dumps(frame).encode() + b"\n"


def test_run_goes_on_through_garbage_and_ends_with_a_signal(small_bundle: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mmn_edge", "run", "--model", str(small_bundle), f"tcp://:{port}"]
    process = subprocess.Popen(
        [*command, "--emit", "predictions", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        with connected(port, process) as client:
            for k in range(150):
                client.sendall(kinect(k) + (b"garbage\n" if k % 30 == 0 else b""))
                time.sleep(1 / 60)
            time.sleep(1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    predictions = [json.loads(line) for line in out.splitlines()]
    assert predictions, err
    assert all(prediction["person"] == 5 and prediction["seen"] > 0.5 for prediction in predictions)
    assert "Traceback" not in err
    assert "sent what is no frame, and it was left out: the message is not JSON" in err
    assert "5 messages that are no frames" in err


def test_record_keeps_what_a_sensor_sends(tmp_path: Path) -> None:
    port, target = free_port(), tmp_path / "kept.jsonl"
    command = [sys.executable, "-m", "mmn_edge", "record", f"tcp://:{port}", "-o", str(target), "--duration", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with connected(port, process) as client:
            client.sendall(b"".join(kinect(k) for k in range(45)))
            _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    with RecordingSource(target) as source:
        frames = [observation.frame for observation in source]
    assert [frame.time for frame in frames] == [77.0 + k / 30 for k in range(31)]
    assert frames[0].persons[0].keypoints.shape == (25, 3)
