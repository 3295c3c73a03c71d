from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.reading import open_source, read_clips, splits
from mmn_edge.errors import DataError, LayoutError
from mmn_edge.skeleton.frame import Frame, Person
from mmn_edge.skeleton.recording import write_frames


def arrays(path: Path, frames: int = 3, **more: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    np.savez(path, keypoints=np.arange(frames * 88, dtype=np.float32).reshape(frames, 44, 2), **more)


def recording(path: Path, layout: str = "ma52", joints: int = 44) -> None:
    frames = [
        Frame(t / 30, layout, (Person(7, np.full((joints, 2), t, np.float32), np.ones(joints, np.float32)),))
        for t in (1, 2)
    ]
    with path.open("w", encoding="utf-8") as file:
        write_frames(file, frames)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    arrays(tmp_path / "sub" / "b.npz", layout="ma52")
    recording(tmp_path / "a.jsonl")
    (tmp_path / "labels.csv").write_text("file,label,split\nsub/b.npz,wave,train\na.jsonl,nod,val\n\n", "utf-8")
    return tmp_path


def test_arrays_and_recordings_beside_their_labels(folder: Path) -> None:
    assert splits(folder) == ("train", "val")
    found = read_clips(folder)
    assert [(clip.name, clip.label, clip.keypoints.shape) for clip in found.clips] == [
        ("sub/b.npz", 1, (3, 44, 2)),
        ("a.jsonl", 0, (2, 44, 2)),
    ]
    assert found.class_names == ("nod", "wave")
    assert found.layout == "ma52"
    assert [clip.name for clip in read_clips(folder, "val").clips] == ["a.jsonl"]


def test_classes_in_an_order_of_their_own(folder: Path) -> None:
    (folder / "classes.txt").write_text("wave\nnone\nnod\n", "utf-8")
    found = read_clips(folder)
    assert found.class_names == ("wave", "none", "nod")
    assert [clip.label for clip in found.clips] == [0, 2]


def test_labels_as_numbers_and_no_splits(folder: Path) -> None:
    (folder / "labels.csv").write_text("\ufefflabel, file\n3, a.jsonl\n0, sub/b.npz\n", "utf-8")
    found = read_clips(folder)
    assert [(clip.name, clip.label) for clip in found.clips] == [("a.jsonl", 3), ("sub/b.npz", 0)]
    assert found.class_names is None
    assert splits(folder) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"labels\.csv needs the columns .* has nothing"),
        ("clip,label\na.jsonl,nod\n", r'needs the columns "file" and "label" .* has clip, label'),
        ("file,label\n", r"labels\.csv names no clips"),
        ("file,label\na.jsonl,nod,train\n", r"labels\.csv, line 2 has more fields"),
        ('file,label\n"a.jsonl,nod\n', r"labels\.csv is no UTF-8 text with commas"),
        ("file,label\na.jsonl\n", r"labels\.csv, line 2 lacks its label"),
        ("file,label\na.jsonl,nod\n,nod\n", r"labels\.csv, line 3 lacks its file"),
        ("file,label\nnone.npz,nod\n", r"labels\.csv, line 2: .*none\.npz does not exist"),
        ("file,label\nlabels.csv,nod\n", r"labels\.csv, line 2: .* is no clip"),
        ("file,label,split\na.jsonl,nod,val\n", r"has no split 'train': it has val"),
    ],
)
def test_labels_that_are_broken(folder: Path, text: str, message: str) -> None:
    (folder / "labels.csv").write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        read_clips(folder, "train" if "split" in message else None)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "one class name a line"), ("nod\n\nwave\n", "none empty"), ("nod\nnod\n", "names the class 'nod' twice")],
)
def test_classes_that_are_broken(folder: Path, content: str, message: str) -> None:
    (folder / "classes.txt").write_text(content, "utf-8")
    with pytest.raises(DataError, match=message):
        read_clips(folder)


def test_a_label_that_is_no_class_names_its_line(folder: Path) -> None:
    (folder / "classes.txt").write_text("nod\n", "utf-8")
    with pytest.raises(DataError, match=r"labels\.csv, line 2, sub/b\.npz needs a label.*'wave' is no class"):
        read_clips(folder)


def test_text_in_another_encoding(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"file,label\na.jsonl,\xff\n")
    with pytest.raises(DataError, match="is no UTF-8 text"):
        read_clips(folder)


def test_mixed_layouts(folder: Path) -> None:
    recording(folder / "a.jsonl", "imigue", 22)
    with pytest.raises(LayoutError, match=r"mixes layouts: clip sub/b\.npz is in ma52 and clip a\.jsonl in imigue"):
        read_clips(folder)
    arrays(folder / "sub" / "b.npz")
    with pytest.raises(LayoutError, match=r"clip sub/b\.npz is in one that is not named"):
        read_clips(folder)


def test_a_broken_clip_stops_reading_not_opening(folder: Path) -> None:
    (folder / "a.jsonl").write_text('{"time": 0}\n', "utf-8")
    source = open_source(folder)
    assert source.entries[0].read().name == "sub/b.npz"
    with pytest.raises(DataError, match=r"labels\.csv, line 3: .*a\.jsonl, line 1 is no frame"):
        source.entries[1].read()
