from __future__ import annotations

from pathlib import Path

import pytest

from mmn_edge.bundle.manifest import MANIFEST
from mmn_edge.datasets.synthetic import clips
from mmn_edge.skeleton import recording
from mmn_edge.system import contents as module
from mmn_edge.system.contents import contents

FRAME = recording.format_frame(next(iter(clips.script(1.0, 1).frames()))).encode()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("r.jsonl", b"", "recording"),
        ("r.jsonl.gz", b"\x1f\x8b", "recording"),
        ("r.json", FRAME, "recording"),
        ("r", b"\xef\xbb\xbf  " + FRAME, "recording"),
        ("r.json", b'[{"keypoints": [1]}]', "JSON file"),
        ("r.json", b'{"persons": []}', "JSON file"),
        ("set.pkl", b"\x80\x04", "data set"),
        ("v.mp4", b"", "video"),
        ("V.AVI", b"RIFF", "video"),
        ("m.onnx", b"", "ONNX model"),
        ("m.pt", b"", "checkpoint"),
        ("archive.gz", b"\x1f\x8b", None),
        ("notes.txt", b"hello", None),
    ],
)
def test_files(name: str, content: bytes, kind: str | None, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert contents(path) == kind


def test_folders_and_nothing(tmp_path: Path, small_bundle: Path) -> None:
    assert contents(tmp_path) == "folder"
    assert contents(small_bundle) == "bundle"
    assert contents(tmp_path / "nothing.jsonl") is None
    assert module._MANIFEST == MANIFEST


def test_a_checkpoint_is_known_whatever_its_name(tmp_path: Path, small_checkpoint: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(small_checkpoint.read_bytes())
    assert contents(path) == "checkpoint"
