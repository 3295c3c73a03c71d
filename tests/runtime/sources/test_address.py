from pathlib import Path

import pytest

from mmn_edge.errors import UsageError
from mmn_edge.runtime.sources.address import Address, distinct_names, without_secrets


@pytest.mark.parametrize(
    ("text", "scheme", "rest", "label", "live"),
    [
        ("camera:0", "camera", "0", None, True),
        ("camera:/dev/video2", "camera", "/dev/video2", None, True),
        ("csi:0", "csi", "0", None, True),
        ("gst:videotestsrc ! videoflip", "gst", "videotestsrc ! videoflip", None, True),
        ("rtsp://host/1", "rtsp", "//host/1", None, True),
        ("door=rtsp://host/1?a=b", "rtsp", "//host/1?a=b", "door", True),
        ("tcp://:7000", "tcp", "//:7000", None, True),
        ("-", "", "-", None, True),
        ("talk.avi", "", "talk.avi", None, False),
        ("desk=/data/talk.avi", "", "/data/talk.avi", "desk", False),
        ("a=b.avi", "", "a=b.avi", None, False),
        ("synthetic", "synthetic", "", None, False),
        ("synthetic:seed=2", "synthetic", "seed=2", None, False),
        ("camera", "", "camera", None, False),
    ],
)
def test_names_are_taken_apart(text: str, scheme: str, rest: str, label: str | None, live: bool) -> None:
    address = Address.parse(text)
    assert (address.scheme, address.rest, address.label, address.live) == (scheme, rest, label, live)


def test_a_file_called_like_a_label_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=.").mkdir()
    (tmp_path / "a=." / "b.avi").touch()
    assert Address.parse("a=./b.avi").label is None


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://user:secret@host:554/1",
        "rtsp://user:sec@secret@host/1",
        "rtsp://user:s/secret@host/1",
        "http://host/video.cgi?user=secret&pwd=secret&channel=1",
        "https://host/live?access_token=secret",
        "gst:rtspsrc location=rtsp://me:secret@host/1 user-pw=secret user-id=secret ! decodebin",
        'gst:souphttpsrc location=http://host user-pw="secret secret" ! decodebin',
    ],
)
def test_secrets_are_never_shown(text: str) -> None:
    address = Address.parse(text)
    assert "secret" not in address.shown
    assert "secret" not in address.name
    assert "host" in address.shown
    assert "secret" not in without_secrets(f"cannot open {text}: 404")


def test_names_are_short_and_distinct() -> None:
    texts = [
        "camera:0",
        "camera:/dev/video2",
        "rtsp://u:p@cam/1",
        "rtsp://cam/1",
        "a/x.avi",
        "b/x.avi",
        "door=camera:1",
    ]
    assert distinct_names([Address.parse(text) for text in texts]) == [
        "camera-0",
        "camera-dev-video2",
        "rtsp-cam-1",
        "rtsp-cam-1-2",
        "x",
        "x-2",
        "door",
    ]
    with pytest.raises(UsageError, match="two sources are called door"):
        distinct_names([Address.parse("door=camera:0"), Address.parse("door=camera:1")])


def test_passwords_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM_PASSWORD", "a@b/c")
    address = Address.parse("rtsp://me:${CAM_PASSWORD}@host/1")
    assert address.resolved() == "rtsp://me:a%40b%2Fc@host/1"
    monkeypatch.delenv("CAM_PASSWORD")
    with pytest.raises(UsageError, match="CAM_PASSWORD"):
        address.resolved()
