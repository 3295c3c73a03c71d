from __future__ import annotations

from pathlib import Path

import pytest

from mmn_edge.cli import main
from mmn_edge.cli.source_options import open_sources
from mmn_edge.errors import UsageError
from mmn_edge.runtime.sources.source import Source

USUAL = {"camera": None, "size": None, "fps": None, "silence": 10.0, "rotate": "0", "mirror": False}


def opened(*names: str, **options: object) -> dict[str, tuple[str, Source]]:
    return open_sources(names, **{**USUAL, **options})  # type: ignore[arg-type]


def test_sources_are_called_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "talk.avi").touch()
    video = str(tmp_path / "talk.avi")
    assert list(opened(video)) == [video]
    assert list(opened("camera:0", f"desk={video}", camera=3)) == ["camera-0", "desk", "camera-3"]
    assert opened(f"desk={video}", "synthetic")["desk"][0] == video
    assert list(opened("rtsp://me:secret@host/1")) == ["rtsp://***@host/1"]


def test_none_or_the_same_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="name a source"):
        opened()
    with pytest.raises(UsageError, match="named twice"):
        opened("camera:0", camera=0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--camera", "0", "--size", "1280"], "'1280' is no size"),
        (["--camera", "0", "--size", "0x20"], "is no size"),
        (["synthetic", "--fps", "15"], "leave --size and --fps out"),
        (["--camera", "0", "--silence", "0"], "--silence"),
        (["rtsp://me:secret@127.0.0.1:9/1"], "cannot open rtsp://***@127.0.0.1:9/1"),
    ],
)
def test_what_does_not_fit_is_told(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["record", *arguments, "-o", str(tmp_path / "r.jsonl")])
    assert left.value.code in (2, 7)
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert words in said
    assert "secret" not in said
    assert not list(tmp_path.iterdir())
