"""Files of pose estimators and recordings, damaged in all ways: read, or refused in one sentence, in little memory."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mmn_edge.datasets.formats.pose_files import read_pose_file
from mmn_edge.errors import DataError
from mmn_edge.runtime.sources.recordings import RecordingSource

TOKENS = (
    b"\x00",
    b"\xff",
    b'"',
    b"{",
    b"[" * 3000,
    b"]",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b",",
    b"\n",
    b"9" * 5000,
    b'"' + b"x" * 3000 + b'"',
    b"true",
    b"1e308",
    b"{}",
)


def openpose(folder: Path) -> Path:
    path = folder / "clip" / "a_000000000000_keypoints.json"
    path.parent.mkdir()
    person = {"person_id": [-1], "pose_keypoints_2d": [1.5, 2.5, 0.9] * 25}
    path.write_text(json.dumps({"version": 1.3, "people": [person]}))
    return path


def alphapose(folder: Path) -> Path:
    path = folder / "alphapose-results.json"
    people = [
        {"image_id": f"{k}.jpg", "category_id": 1, "keypoints": [1.5, 2.5, 0.9] * 136, "score": 2.5, "idx": 1}
        for k in range(2)
    ]
    path.write_text(json.dumps(people))
    return path


def recording(folder: Path) -> Path:
    path = folder / "talk.jsonl"
    person = {"id": 0, "keypoints": [[1.5, 2.5]] * 22, "scores": [0.9] * 22}
    frames = [{"time": k / 30, "layout": "imigue", "score_scale": 1, "persons": [person]} for k in range(3)]
    path.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    return path


def packed(folder: Path) -> Path:
    path = folder / "talk.jsonl.gz"
    path.write_bytes(gzip.compress(recording(folder).read_bytes()))
    return path


def read(path: Path) -> None:
    if path.name.startswith("talk"):
        with RecordingSource(path) as source:
            assert all(observation.frame.layout for observation in source)
    if not path.name.endswith(".gz"):
        read_pose_file(path.parent if path.name.startswith("a_") else path)


def damaged(original: bytes, rng: random.Random) -> bytes:
    data = bytearray(original)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[place:place] = rng.choice(TOKENS)
        elif kind == 1:
            del data[place : place + rng.randint(1, 60)]
        elif kind == 2:
            data[place : place + 1] = rng.randbytes(1)
        elif kind == 3:
            data[place : place + rng.randint(1, 5)] = rng.choice(TOKENS)
        else:
            other = rng.randrange(len(data) + 1)
            data[place:place] = data[other : other + 200]
    return bytes(data)


@pytest.mark.parametrize("total", [200_000, pytest.param(2_500_000, marks=pytest.mark.proof)])
@pytest.mark.parametrize("make", [openpose, alphapose, recording, packed], ids=lambda make: str(make.__name__))
def test_damaged_files(tmp_path: Path, make: Callable[[Path], Path], total: int) -> None:
    path = make(tmp_path)
    original = path.read_bytes()
    read(path)
    rng = random.Random(total)
    before, fed, said = resident(), 0, []
    while fed < total:
        data = damaged(original, rng)
        fed += max(len(data), 200)
        path.write_bytes(data)
        try:
            read(path)
        except DataError as error:
            said.append(str(error))
    assert said
    assert all(str(tmp_path) in text and "\n" not in text and len(text) < 600 for text in said), max(said, key=len)
    assert resident() - before < 64_000_000


def resident() -> int:
    """Bytes of memory in use by this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
