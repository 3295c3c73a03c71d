import gzip
from pathlib import Path

import pytest

from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import MmnEdgeError, SourceError, UsageError
from mmn_edge.runtime.pose.pose import PoseSource
from mmn_edge.runtime.sources.grammar import LiveOptions, open_source
from mmn_edge.runtime.sources.images import Orientation
from mmn_edge.runtime.sources.recordings import PacedSource, RecordingSource, SyntheticSource
from mmn_edge.skeleton import recording


def test_the_grammar(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").touch()
    (tmp_path / "v.avi").touch()
    assert isinstance(open_source(str(tmp_path / "r.jsonl")), RecordingSource)
    assert isinstance(open_source("-"), RecordingSource)
    assert isinstance(open_source(str(tmp_path / "v.avi")), PoseSource)
    for name in ("camera:0", "camera:/dev/video2", "csi:1", "gst:videotestsrc ! videoflip", "rtsp://host/1"):
        source = open_source(name)
        assert isinstance(source, PoseSource)
        assert source.live
    assert isinstance(open_source("desk=" + str(tmp_path / "v.avi")), PoseSource)
    assert isinstance(open_source("synthetic"), SyntheticSource)
    assert isinstance(open_source("synthetic-scenes:seconds=12,persons=2"), SyntheticSource)
    assert isinstance(open_source("synthetic:seconds=12,seed=2,fps=20"), SyntheticSource)
    assert isinstance(open_source("synthetic", speed=2), PacedSource)


@pytest.mark.parametrize(
    ("name", "speed", "kind", "message"),
    [
        ("nothing.jsonl", None, SourceError, "does not exist"),
        ("/", None, UsageError, "is a folder: as SOURCE give one file"),
        ("ftp://host/1", None, UsageError, "^ftp:// is no address that is read"),
        ("rtsp:host", None, UsageError, "names no host"),
        ("rtsp:///1", None, UsageError, "names no host"),
        ("rtsp://host/1", 2.0, UsageError, "own pace"),
        ("http://host/live.m3u8?a=b", None, UsageError, "is HLS"),
        ("rtsp://me:${NO_SUCH_VARIABLE}@host/1", None, UsageError, "NO_SUCH_VARIABLE"),
        ("csi:x", None, UsageError, "csi:0 for the first one"),
        ("csi:/dev/video0", None, UsageError, "csi:0 for the first one"),
        ("gst:", None, UsageError, "names no pipeline"),
        ("gst:videotestsrc !", None, UsageError, "ends in !"),
        ("gst:videotestsrc ! 'video", None, UsageError, "malformed"),
        ("gst:videotestsrc ! appsink drop=1", None, UsageError, "leave appsink out"),
        ("gst:fakesink", None, UsageError, "leave fakesink out"),
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


@pytest.mark.parametrize("name", ["rtsp://host/1", "gst:videotestsrc", "synthetic", "talk.avi"])
def test_size_and_rate_are_asked_of_cameras_only(name: str) -> None:
    for live in (LiveOptions(size=(640, 480)), LiveOptions(rate=15)):
        with pytest.raises(UsageError, match="leave --size and --fps out"):
            open_source(name, live=live)
    open_source("camera:0", live=LiveOptions(size=(640, 480), rate=15))
    open_source("csi:0", live=LiveOptions(size=(640, 480), rate=15))


def test_a_missing_source_is_named_without_its_secrets() -> None:
    for name in ("ftp://me:secret@host/1", "http://me:secret@host/live.m3u8"):
        with pytest.raises(MmnEdgeError) as caught:
            open_source(name)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["-", "synthetic", "r.jsonl"])
def test_only_images_are_turned(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.jsonl").touch()
    for orientation in (Orientation(90), Orientation(mirror=True)):
        with pytest.raises(UsageError, match="leave --rotate and --mirror out"):
            open_source(name, orientation=orientation)
    assert open_source(name, orientation=Orientation()) is not None


def test_what_belongs_elsewhere_is_named(tmp_path: Path, small_bundle: Path, small_checkpoint: Path) -> None:
    pose = tmp_path / "alphapose.json"
    pose.write_text('[{"image_id": "0.jpg", "keypoints": [1, 2, 3]}]')
    for path, words in (
        (small_bundle, "is a bundle, what recognises: give it with --model"),
        (small_checkpoint, "is a checkpoint: make a bundle of it with mmn-edge convert"),
        (pose, "is JSON, but no recording"),
    ):
        with pytest.raises(UsageError, match=words):
            open_source(str(path))


def test_a_recording_is_known_by_its_content(tmp_path: Path) -> None:
    frame = recording.format_frame(next(iter(clips.script(1.0, 1).frames()))) + "\n"
    for name, content in (
        ("r.json", frame.encode()),
        ("r.txt", b"\xef\xbb\xbf" + frame.encode()),
        ("r.jsonl.gz", gzip.compress(2 * frame.encode())),
        ("bom.jsonl", b"\xef\xbb\xbf" + frame.encode()),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with open_source(str(path)) as source:
            assert isinstance(source, RecordingSource), name
            observations = list(source)
            assert source.done == 1.0
        assert observations[0].frame.layout == clips.LAYOUT
