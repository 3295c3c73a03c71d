import gzip
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mmn_edge.cli import _invoke, cli
from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import BundleError, DataError, LayoutError, MmnEdgeError, SourceError, TruncatedError, UsageError
from mmn_edge.events import formats
from mmn_edge.runtime.backends.backend import Output
from mmn_edge.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mmn_edge.runtime.sources.recordings import RecordingSource
from mmn_edge.skeleton import recording


def invoke(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin)


def predictions(text: str) -> list[dict[str, Any]]:
    """What was predicted, without what differs from run to run."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    for line in lines:
        assert line.pop("latency_ms")["total"] > 0
        line.pop("age_ms", None), line.pop("utc", None)
    return lines


@pytest.fixture(scope="module")
def session_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "session.jsonl"
    with path.open("w") as file:
        recording.write_frames(file, clips.script(12.0, 5).frames())
    return path


def test_run_prints_one_json_line_a_prediction(small_bundle: Path, session_file: Path) -> None:
    result = invoke("run", "--emit", "predictions", "--model", small_bundle, session_file)
    assert result.exit_code == 0, result.output
    lines = predictions(result.stdout)
    assert 38 <= len(lines) <= 41  # (12 s - 2 s) / 0.25 s + 1, give or take a dropped frame
    first = lines[0]
    assert first["time"] == pytest.approx(2.0, abs=0.1)
    assert first["person"] == 0
    assert len(first["top5"]) == 5
    assert first["top5"][0]["label"] == first["label"]
    assert first["group"]
    assert "predictions in" in result.stderr
    assert "p99" in result.stderr


def test_standard_input_file_and_source_agree(small_bundle: Path, session_file: Path) -> None:
    from_file = predictions(invoke("run", "--emit", "predictions", "--model", small_bundle, session_file).stdout)
    from_pipe = predictions(
        invoke("run", "--emit", "predictions", "--model", small_bundle, "-", stdin=session_file.read_text()).stdout
    )
    from_source = predictions(
        invoke("run", "--emit", "predictions", "--model", small_bundle, "synthetic:seconds=12,seed=5").stdout
    )
    assert from_file == from_pipe == from_source


def test_record_then_run_gives_the_same(small_bundle: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "r.jsonl"
    result = invoke("record", "synthetic:seconds=12,seed=6", "-o", recorded)
    assert result.exit_code == 0, result.output
    direct = invoke("run", "--emit", "predictions", "--model", small_bundle, "synthetic:seconds=12,seed=6")
    assert predictions(invoke("run", "--emit", "predictions", "--model", small_bundle, recorded).stdout) == predictions(
        direct.stdout
    )


def test_a_real_video_and_its_recording_agree(small_bundle: Path, shared: Path, tmp_path: Path) -> None:
    video = shared / "video/hello.avi"
    direct = invoke("run", "--emit", "predictions", "--model", small_bundle, video)
    assert direct.exit_code == 0, direct.output
    stages = json.loads(direct.stdout.splitlines()[0])["latency_ms"]
    assert set(stages) == {"capture", "pose", "prepare", "infer", "total"}
    assert invoke("record", video, "-o", tmp_path / "hello.jsonl").exit_code == 0
    replayed = invoke("run", "--emit", "predictions", "--model", small_bundle, tmp_path / "hello.jsonl")
    assert predictions(replayed.stdout) == predictions(direct.stdout) != []


def test_predictions_before_a_broken_line_are_kept(small_bundle: Path, session_file: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source.jsonl", tmp_path / "p.jsonl"
    source.write_text(session_file.read_text() + "broken\n")
    result = invoke("run", "--emit", "predictions", "-m", small_bundle, source, "-o", target)
    assert isinstance(result.exception, DataError)
    whole = invoke("run", "--emit", "predictions", "-m", small_bundle, session_file)
    assert predictions(target.read_text()) == predictions(whole.stdout)


def test_a_run_without_predictions_leaves_an_earlier_output(small_bundle: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source.jsonl", tmp_path / "p.jsonl"
    source.write_text("broken\n")
    target.write_text("precious")
    assert isinstance(
        invoke("run", "--emit", "predictions", "-m", small_bundle, source, "-o", target).exception, DataError
    )
    assert target.read_text() == "precious"


def test_output_file_and_duration(small_bundle: Path, session_file: Path, tmp_path: Path) -> None:
    result = invoke(
        "run", "--emit", "predictions", "-m", small_bundle, session_file, "-o", tmp_path / "p.jsonl", "--duration", 4
    )
    assert result.exit_code == 0
    lines = predictions((tmp_path / "p.jsonl").read_text())
    assert lines
    assert lines[-1]["time"] <= 4.0
    assert '{"time"' not in result.stdout


def test_the_only_bundle_here_is_taken(
    small_bundle: Path, session_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(small_bundle.parent)
    assert invoke("run", "--emit", "predictions", session_file, "--duration", 3).exit_code == 0
    monkeypatch.chdir(tmp_path)
    result = invoke("run", "--emit", "predictions", session_file)
    assert isinstance(result.exception, UsageError)
    assert "mmn-edge convert" in str(result.exception)


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("not json", DataError, "line 2 is not JSON"),
        ('{"time": 1, "layout": "mars", "persons": []}', LayoutError, "unknown skeleton layout 'mars'"),
        (
            '{"time": 1, "layout": "nw-ucla", "persons": [{"id": 0, "keypoints": '
            + json.dumps([[0, 0, 0]] * 20)
            + "}]}",
            LayoutError,
            "nw-ucla",
        ),
        (
            '{"time": 1, "layout": "ma52", "persons": [{"id": 0, "keypoints": [' + "[NaN, 1], " * 43 + "[0, 0]]}]}",
            DataError,
            "joint 0 .* is NaN",
        ),
        ('{"time": -1, "layout": "ma52", "persons": []}', DataError, "time runs backwards"),
    ],
)
def test_bad_lines(small_bundle: Path, line: str, kind: type[MmnEdgeError], message: str, tmp_path: Path) -> None:
    good = '{"time": 0, "layout": "ma52", "persons": []}'
    path = tmp_path / "bad.jsonl"
    path.write_text(f"{good}\n{line}\n")
    result = invoke("run", "--emit", "predictions", "--model", small_bundle, path)
    assert type(result.exception) is kind
    with pytest.raises(kind, match=message):
        raise result.exception
    assert _invoke(["run", "--model", str(small_bundle), str(path)]) == kind.exit_code == 3


def test_what_cannot_be_opened(small_bundle: Path, session_file: Path, tmp_path: Path) -> None:
    for arguments, kind in [
        (["--model", tmp_path / "none", session_file], BundleError),
        (["--model", small_bundle, tmp_path / "none.avi"], SourceError),
        (["--model", small_bundle], UsageError),
        (["--model", small_bundle, session_file, session_file], UsageError),
        (["--model", small_bundle, "--camera", "99"], SourceError),
    ]:
        assert type(invoke("run", "--emit", "predictions", *arguments).exception) is kind, arguments


def test_record_keeps_what_came_before_a_broken_line(session_file: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source.jsonl", tmp_path / "target.jsonl"
    source.write_text("".join(session_file.read_text().splitlines(keepends=True)[:10]) + "broken\n")
    result = invoke("record", source, "-o", target)
    assert isinstance(result.exception, DataError)
    assert len(target.read_text().splitlines()) == 10


def test_record_does_not_overwrite_before_it_has_anything(tmp_path: Path) -> None:
    source, target = tmp_path / "source.jsonl", tmp_path / "target.jsonl"
    source.write_text("broken\n")
    target.write_text("precious")
    assert isinstance(invoke("record", source, "-o", target).exception, DataError)
    assert target.read_text() == "precious"
    source.write_text("")
    result = invoke("record", source, "-o", target)
    assert isinstance(result.exception, SourceError)
    assert "no frame came" in str(result.exception)
    assert target.read_text() == "precious"


@pytest.mark.parametrize("command", ["record", "run"])
def test_a_full_disk_keeps_what_was_written(
    command: str, small_bundle: Path, session_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "r.jsonl"
    model = ["-m", str(small_bundle), "--emit", "predictions"] if command == "run" else []
    blocks = {"record": 64, "run": 1}[command]  # KiB that a file may have, fewer than all lines need
    line = f"ulimit -f {blocks}; exec " + shlex.join(
        [sys.executable, "-m", "mmn_edge", command, *model, str(session_file), "-o", str(target)]
    )
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"the system refused {target}: " in ended.stderr
    assert "Traceback" not in ended.stderr
    written = target.read_text()
    assert written.endswith("\n")
    whole = tmp_path / "whole.jsonl"
    assert invoke(command, *model, session_file, "-o", whole).exit_code == 0
    kept = predictions(written) if command == "run" else written.splitlines()
    expected = predictions(whole.read_text()) if command == "run" else whole.read_text().splitlines()
    assert 0 < len(kept) < len(expected)
    assert kept == expected[: len(kept)]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("command", ["record", "run"])
def test_a_disk_that_is_full_from_the_start_leaves_an_earlier_output(
    command: str, small_bundle: Path, session_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "r.jsonl"
    target.write_text("precious")
    model = ["-m", str(small_bundle), "--emit", "predictions"] if command == "run" else []
    arguments = [sys.executable, "-m", "mmn_edge", command, *model, str(session_file), "-o", str(target)]
    line = "ulimit -f 0; exec " + shlex.join(arguments)
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert f"the system refused {target}: " in ended.stderr
    assert target.read_text() == "precious"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("step", "seen", "message"),
    [
        (0.033, [0], "1 persons, 1 of them too briefly to predict\nnobody was seen for long enough"),
        (0.05, [0, 39], "2 persons, 2 of them too briefly to predict\nnobody was seen for long enough"),
        (0.033, [], "nobody was seen, so there was nothing"),
    ],
)
def test_why_nothing_was_predicted_is_said(
    step: float, seen: Collection[int], message: str, small_bundle: Path, tmp_path: Path
) -> None:
    frames = list(clips.script(12.0, 1).frames())[:40]
    lines = [
        recording.format_frame(replace(frame, time=index * step, persons=frame.persons if index in seen else ()))
        for index, frame in enumerate(frames)
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join(lines) + "\n")
    result = invoke("run", "--emit", "predictions", "-m", small_bundle, path)
    assert result.exit_code == 0
    assert re.search(message, result.stderr)


@pytest.mark.parametrize("command", ["record", "run"])
def test_ctrl_c_before_anything_came_leaves_an_earlier_output(command: str, small_bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "r.jsonl"
    target.write_text("precious")
    model = ["-m", str(small_bundle), "--emit", "predictions"] if command == "run" else []
    process = subprocess.Popen(
        [sys.executable, "-m", "mmn_edge", command, *model, "-", "-o", str(target)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while not partial(target, process).exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 130, message
    assert target.read_text() == "precious"
    assert not partial(target, process).exists()


def test_the_source_is_not_written_over(small_bundle: Path, session_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "session.jsonl"
    source.write_bytes(session_file.read_bytes())
    elsewhere = tmp_path / "." / "link.jsonl"
    elsewhere.symlink_to(source)
    for command in (["record", source, "-o", elsewhere], ["run", "-m", small_bundle, source, "-o", elsewhere]):
        result = invoke(*command)
        assert isinstance(result.exception, UsageError)
        assert "both source and output" in str(result.exception)
    command = [sys.executable, "-m", "mmn_edge", "record", "-", "-o", str(elsewhere)]
    with source.open() as file:
        ended = subprocess.run(command, stdin=file, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert "both source and output" in ended.stderr
    assert source.read_bytes() == session_file.read_bytes()


def test_a_device_or_pipe_is_written_to(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmn_edge", "record", "synthetic:seconds=1", "-o", "/dev/stdout"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) > 20


def endless_recording(target: Path, *launcher: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """A recording of standard input that goes on for ever, as a sensor's does; 40 frames have come."""
    command = [*launcher, sys.executable, "-m", "mmn_edge", "record", "-", "-o", str(target)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdin is not None
    for frame in list(clips.script(12.0, 1).frames())[:40]:
        process.stdin.write(recording.format_frame(frame) + "\n")
    process.stdin.flush()
    until = time.monotonic() + 30
    while not partial(target, process).exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.5)
    return process


def partial(target: Path, process: subprocess.Popen[str]) -> Path:
    return target.with_name(f".{target.name}.partial-{process.pid}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_recording_that_is_told_to_end_is_kept(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, systemd, or a closed terminal."""
    target = tmp_path / "r.jsonl"
    process = endless_recording(target)
    process.send_signal(number)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 0, message
    assert len(target.read_text().splitlines()) == 40
    assert not partial(target, process).exists()


def test_a_terminal_that_takes_no_more_text_loses_no_recording(tmp_path: Path) -> None:
    target = tmp_path / "r.jsonl"
    ours, theirs = pty.openpty()
    process = endless_recording(target, stderr=theirs)
    os.close(theirs)
    os.close(ours)  # from here on every word to the terminal is an input/output error
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert len(target.read_text().splitlines()) == 40


def test_a_closed_terminal_does_not_end_what_nohup_started(tmp_path: Path) -> None:
    target = tmp_path / "r.jsonl"
    process = endless_recording(target, "nohup")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    assert partial(target, process).exists()
    _, message = process.communicate(timeout=30)  # which also ends its input
    assert process.returncode == 0, message
    assert len(target.read_text().splitlines()) == 40


def test_ctrl_c_ends_a_run_with_its_summary(small_bundle: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mmn_edge",
        "run",
        "--emit",
        "predictions",
        "-m",
        str(small_bundle),
        "synthetic",
        "--speed",
        "4",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("{")
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "predictions in" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("command", ["record", "run"])
@pytest.mark.parametrize("source", ["empty.jsonl", "-"])
def test_an_empty_source_is_no_success(command: str, source: str, small_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    target = tmp_path / "out.jsonl"
    target.write_text("precious")
    model = ["-m", small_bundle, "--emit", "predictions"] if command == "run" else []
    name = source if source == "-" else tmp_path / source
    result = invoke(command, *model, name, "-o", target, stdin="")
    assert isinstance(result.exception, SourceError)
    assert f"no frame came from {name}" in str(result.exception)
    assert target.read_text() == "precious"


def test_a_recording_of_nobody_is_kept_and_no_success(tmp_path: Path) -> None:
    frames = [replace(frame, persons=()) for frame in clips.script(1.0, 1).frames()]
    source, target = tmp_path / "nobody.jsonl", tmp_path / "out.jsonl"
    with source.open("w") as file:
        recording.write_frames(file, frames)
    result = invoke("record", source, "-o", target)
    assert isinstance(result.exception, SourceError)
    assert "nobody was seen in any frame" in str(result.exception)
    assert len(target.read_text().splitlines()) == len(frames)


@pytest.mark.parametrize("packed", [False, True])
def test_a_recording_that_breaks_off_keeps_its_predictions(
    packed: bool, small_bundle: Path, session_file: Path, tmp_path: Path
) -> None:
    content = session_file.read_bytes()
    if packed:
        content = gzip.compress(content)
    source = tmp_path / ("cut.jsonl.gz" if packed else "cut.jsonl")
    source.write_bytes(content[: len(content) * 2 // 3])
    result = invoke("run", "--emit", "predictions", "-m", small_bundle, source)
    assert isinstance(result.exception, TruncatedError)
    assert "breaks off" in str(result.exception)
    assert result.exception.exit_code == 7
    whole = predictions(invoke("run", "--emit", "predictions", "-m", small_bundle, session_file).stdout)
    kept = predictions(result.stdout)
    assert 10 < len(kept) < len(whole)
    assert kept == whole[: len(kept)]


def test_a_packed_recording_gives_the_same_predictions(small_bundle: Path, session_file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "session.jsonl.gz"
    packed.write_bytes(gzip.compress(session_file.read_bytes()))
    command = ("run", "--emit", "predictions", "-m", small_bundle)
    one, other = (predictions(invoke(*command, path).stdout) for path in (packed, session_file))
    assert one == other


def test_what_was_left_out_of_a_video_is_said(
    small_bundle: Path, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordingSource, "note", "41 of 81 images were read")
    result = invoke("run", "--emit", "predictions", "-m", small_bundle, session_file)
    assert result.exit_code == 0
    assert "note: 41 of 81 images were read" in result.stderr


@pytest.mark.parametrize(
    ("command", "output", "words"),
    [
        ("record", "x.mp4", "what is written is .jsonl or .ndjson"),
        ("run", "x.mp4", "what is written is .jsonl or .ndjson"),
        ("record", "folder/", "names a folder"),
        ("record", ".", "is a"),
    ],
)
def test_a_file_of_lines_has_a_fitting_name(command: str, output: str, words: str, session_file: Path) -> None:
    result = invoke(command, session_file, "-o", output)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_the_wrong_room_is_named(small_bundle: Path, small_checkpoint: Path, session_file: Path) -> None:
    for model, source, words in (
        (small_bundle, small_bundle, "is a bundle, what recognises: give it with --model"),
        (session_file, session_file, "is a recording, and a model is a bundle: give it as SOURCE"),
        (small_checkpoint, session_file, "is a checkpoint, and a model is a bundle: make one of it"),
    ):
        result = invoke("run", "--emit", "predictions", "-m", model, source)
        assert isinstance(result.exception, UsageError)
        assert words in str(result.exception)


@pytest.fixture
def scene_file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.jsonl"
    assert invoke("record", "synthetic-scenes:seconds=14,seed=2,persons=2", "-o", path).exit_code == 0
    return path


def test_events_are_what_run_emits_unless_told_otherwise(small_bundle: Path, scene_file: Path) -> None:
    eager = ("--sensitivity", 0.95)
    result = invoke("run", "-m", small_bundle, scene_file, *eager)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events
    assert {event["type"] for event in events} == {"event"}
    begun = [event["id"] for event in events if event["kind"] == "start"]
    ended = [event["id"] for event in events if event["kind"] == "end"]
    assert sorted(begun) == sorted(ended)
    assert f"{len(begun)} events" in result.stderr
    both = invoke("run", "-m", small_bundle, scene_file, "--emit", "both", *eager)
    lines = [json.loads(line) for line in both.stdout.splitlines()]
    assert [line for line in lines if line["type"] == "event"] == events
    alone = invoke("run", "-m", small_bundle, scene_file, "--emit", "predictions")
    assert sum(line["type"] == "prediction" for line in lines) == len(alone.stdout.splitlines())


def test_events_are_written_as_annotations_by_suffix(small_bundle: Path, scene_file: Path, tmp_path: Path) -> None:
    table, subtitles, lines = tmp_path / "out.csv", tmp_path / "out.vtt", tmp_path / "out.jsonl"
    outputs = ("-o", table, "-o", subtitles, "-o", lines)
    result = invoke("run", "-m", small_bundle, scene_file, "--sensitivity", 0.95, *outputs)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    ended = [event for event in map(json.loads, lines.read_text().splitlines()) if event["kind"] == "end"]
    found = formats.read(table).intervals
    assert {interval.recording for interval in found} == {"talk"}
    assert sorted((i.start, i.end, i.person) for i in found) == sorted(
        (event["onset"], event["offset"], str(event["person"])) for event in ended
    )
    assert subtitles.read_text().startswith("WEBVTT")


def test_a_stream_without_events_is_annotated_with_none(small_bundle: Path, scene_file: Path, tmp_path: Path) -> None:
    result = invoke("run", "-m", small_bundle, scene_file, "--sensitivity", 0, "-o", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    assert formats.read(tmp_path / "out.csv").intervals == ()
    assert (tmp_path / "out.csv").read_text().startswith("recording,")


def test_a_decoder_file_changes_the_bundles_parameters(small_bundle: Path, scene_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "decoder.json"
    file.write_text('{"default": {"enter": 0.02, "leave": 0.01}, "allow": ["waving"], "group": null}')
    result = invoke("run", "-m", small_bundle, scene_file, "--decoder", file)
    assert {json.loads(line)["label"] for line in result.stdout.splitlines()} == {"waving"}
    for wrong, message in (
        ('{"allow": ["flying"]}', "flying"),
        ('{"default": {"enter": 3}}', "enter"),
        ("[]", "object"),
    ):
        file.write_text(wrong)
        error = invoke("run", "-m", small_bundle, scene_file, "--decoder", file).exception
        assert isinstance(error, UsageError)
        assert message in str(error)


def test_outputs_that_make_no_sense_end_the_run_before_it_begins(small_bundle: Path, tmp_path: Path) -> None:
    for name, options in (("out.mp4", ()), ("out.eaf", ("--emit", "predictions"))):
        result = invoke("run", "-m", small_bundle, "synthetic", "-o", tmp_path / name, *options)
        assert isinstance(result.exception, UsageError) or result.exit_code == 2, result.output
        assert not (tmp_path / name).exists()


def test_a_model_that_gives_nan_ends_in_an_error_and_valid_json(
    small_bundle: Path, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = OnnxRuntimeBackend.run

    def overflow(self: OnnxRuntimeBackend, inputs: Any) -> Output:
        output = inner(self, inputs)
        return Output(output.logits * np.float32(np.nan), output.probabilities * np.float32(np.nan))

    monkeypatch.setattr(OnnxRuntimeBackend, "run", overflow)
    for emit in ("predictions", "events"):
        result = invoke("run", "--emit", emit, "--model", small_bundle, session_file)
        assert isinstance(result.exception, BundleError)
        assert "gave no finite number for any window (fp32 on onnxruntime" in str(result.exception)
        assert "NaN" not in result.stdout
        lines = predictions(result.stdout)
        assert bool(lines) == (emit == "predictions")
        assert all(line["label"] is None and line["reason"] == "the model gave no finite number" for line in lines)


def test_the_bound_of_enough_seen_is_the_bundles_or_the_options(
    small_bundle: Path, session_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "legs.jsonl"
    with session_file.open() as file, path.open("w") as out:
        for line in file:
            values = json.loads(line)
            for person in values["persons"]:
                person["scores"] = [s if joint < 8 else 0.1 for joint, s in enumerate(person["scores"])]
            out.write(json.dumps(values) + "\n")
    command = ("run", "--emit", "predictions", "--model", small_bundle, path)
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    lines = predictions(result.stdout)
    assert lines
    assert all(line["label"] is None and line["seen"] < 0.19 for line in lines)
    assert f"not enough seen for an answer: {len(lines)} predictions" in result.stderr
    assert all(line["label"] for line in predictions(invoke(*command, "--enough-seen", "0.1").stdout))
