from pathlib import Path

import pytest

from mmn_edge.errors import MmnEdgeError, SourceError, UsageError
from mmn_edge.runtime.pose.pose import PoseSource
from mmn_edge.runtime.sources.grammar import open_source
from mmn_edge.runtime.sources.recordings import PacedSource, RecordingSource, SyntheticSource


def test_the_grammar(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").touch()
    (tmp_path / "v.avi").touch()
    assert isinstance(open_source(str(tmp_path / "r.jsonl")), RecordingSource)
    assert isinstance(open_source("-"), RecordingSource)
    assert isinstance(open_source(str(tmp_path / "v.avi")), PoseSource)
    assert isinstance(open_source("camera:0"), PoseSource)
    assert isinstance(open_source("synthetic"), SyntheticSource)
    assert isinstance(open_source("synthetic:seconds=12,seed=2,fps=20"), SyntheticSource)
    assert isinstance(open_source("synthetic", speed=2), PacedSource)


@pytest.mark.parametrize(
    ("name", "speed", "kind", "message"),
    [
        ("nothing.jsonl", None, SourceError, "does not exist"),
        ("/", None, SourceError, "is not a file"),
        ("camera:x", None, UsageError, "camera:0"),
        ("camera:-1", None, UsageError, "camera:0"),
        ("camera:\u00b2", None, UsageError, "camera:0"),
        ("camera:99999999999", None, UsageError, "camera:0"),
        ("camera:0", 2.0, UsageError, "own pace"),
        ("synthetic:speed=2", None, UsageError, "malformed"),
        ("synthetic:seed=x", None, UsageError, "malformed"),
        ("synthetic:seed=-1", None, UsageError, "malformed"),
        ("synthetic:seconds=nan", None, UsageError, "malformed"),
        ("synthetic", 0.0, UsageError, "positive"),
    ],
)
def test_what_is_no_source(name: str, speed: float | None, kind: type[MmnEdgeError], message: str) -> None:
    with pytest.raises(kind, match=message):
        open_source(name, speed=speed)
