"""A sensor that is faster than recognition: windows are skipped, and what is said is never old."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from mmn_edge.datasets.synthetic import clips
from mmn_edge.skeleton import recording

SLOW = """
import sys, time
from mmn_edge.cli import main
from mmn_edge.runtime.backends.onnxruntime import OnnxRuntimeBackend

inner, enter = OnnxRuntimeBackend.run, OnnxRuntimeBackend.__enter__

def ready(self):
    enter(self)
    print("ready", file=sys.stderr, flush=True)
    return self

def run(self, inputs):
    time.sleep(0.15 * len(next(iter(inputs.values()))))
    return inner(self, inputs)

OnnxRuntimeBackend.run, OnnxRuntimeBackend.__enter__ = run, ready
main(sys.argv[1:])
"""
"""The command, on a machine on which a window takes 150 ms: four persons need more than twice the time there is."""

SECONDS, PERSONS = 6.0, 4


def test_four_persons_on_a_slow_machine_are_recognised_now(small_bundle: Path) -> None:
    command = [sys.executable, "-c", SLOW, "run", "-m", str(small_bundle), "-", "--emit", "predictions", "--json"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    began: float | None = None
    for frame in clips.script(SECONDS, 3).frames():
        line = json.loads(recording.format_frame(frame))
        line["persons"] = [dict(line["persons"][0], id=n) for n in range(PERSONS)] if line["persons"] else []
        began = time.monotonic() - frame.time if began is None else began
        time.sleep(max(0.0, began + frame.time - time.monotonic()))
        process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
    output, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    lines = [json.loads(line) for line in output.splitlines()]
    # In order and one by one they would take 4 * 16 * 0.15 s: the last would be over 5 s old.
    assert max(line["age_ms"] for line in lines) < 2500
    assert all(line["latency_ms"]["total"] > line["latency_ms"]["infer"] for line in lines)
    assert {line["person"] for line in lines} == set(range(PERSONS))
    assert max(line["time"] for line in lines) > SECONDS - 0.5
    assert said.count("recognition is slower than the stream") == 1
    assert "windows skipped" in said
    assert " 0 windows skipped" not in said
    assert "s behind" in said
