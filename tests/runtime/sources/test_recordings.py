import io
import time
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.datasets.synthetic import clips
from mmn_edge.datasets.synthetic.clips import script
from mmn_edge.errors import DataError, SourceError
from mmn_edge.runtime.sources.recordings import PacedSource, RecordingSource, SyntheticSource
from mmn_edge.skeleton import recording


def test_a_recording_replays_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    frames = list(clips.script(12.0, 1).frames())
    path.write_text("".join(recording.format_frame(frame) + "\n" for frame in frames))
    with RecordingSource(path) as source:
        replayed = [observation.frame for observation in source]
    assert len(replayed) == len(frames)
    for a, b in zip(frames, replayed, strict=True):
        assert (a.time, a.layout) == (b.time, b.layout)
        np.testing.assert_array_equal(a.persons[0].keypoints, b.persons[0].keypoints)
        np.testing.assert_array_equal(a.persons[0].scores, b.persons[0].scores)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    line = recording.format_frame(next(iter(clips.script(12.0, 1).frames())))
    monkeypatch.setattr("sys.stdin", io.StringIO(line + "\n\n"))
    with RecordingSource(None) as source:
        assert len(list(source)) == 1


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot open"), RecordingSource(tmp_path / "none.jsonl"):
        pass
    (tmp_path / "binary.jsonl").write_bytes(bytes(range(128, 256)))
    with RecordingSource(tmp_path / "binary.jsonl") as source, pytest.raises(DataError, match="not text"):
        list(source)
    (tmp_path / "bad.jsonl").write_text('{"time": 0, "layout": "ma52", "persons": []}\nnonsense\n')
    with RecordingSource(tmp_path / "bad.jsonl") as source, pytest.raises(DataError, match=r"bad\.jsonl, line 2"):
        list(source)


def test_the_synthetic_source_is_the_script() -> None:
    with SyntheticSource(script(12.0, 4)) as source:
        frames = [observation.frame for observation in source]
    expected = list(clips.script(12, 4).frames())
    assert [f.time for f in frames] == [f.time for f in expected]
    assert source.layout == "ma52"


def test_pacing_holds_frames_back_until_their_time() -> None:
    began = time.monotonic()
    with PacedSource(SyntheticSource(script(12.0, 4)), speed=40) as source:
        assert source.layout == "ma52"
        last = [observation.frame.time for observation in source][-1]
    assert time.monotonic() - began >= last / 40 - 0.01
