"""Files that were cut, overwritten and mixed up: read, or refused in one sentence, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mmn_edge.errors import DataError
from mmn_edge.events.formats import read, write
from mmn_edge.events.interval import AnnotationSet, Interval

BORIS = (
    "Observation id,Source,Subject,Behavior,Behavior type,Time\n"
    "o,player #1:a.mp4,Ann,nod,START,1\no,player #1:a.mp4,Ann,nod,STOP,2\n"
)
EVENT = '{"type": "event", "kind": "end", "id": "0.1", "label": "nod", "onset": 1.5, "offset": 2, "score": 0.5}\n'
TOKENS = (
    b"\x00",
    b"\xff",
    b'"',
    b"<",
    b">",
    b"-1",
    b"1e999",
    b"nan",
    b",",
    b"\n",
    b"\t",
    b"&",
    b"9" * 400,
    b"-->",
    b"!",
)


@pytest.mark.parametrize(
    "name", ["a.csv", "talk.eaf", "talk.TextGrid", "talk.vtt", "talk.srt", "a.zip", "b.csv", "talk.jsonl"]
)
def test_mutated_files(tmp_path: Path, name: str) -> None:
    if name == "talk.eaf":
        pytest.importorskip("pympi")
    path = tmp_path / name
    if name in ("b.csv", "talk.jsonl"):
        path.write_text(BORIS if name == "b.csv" else EVENT * 2)
    else:
        entries = (Interval("talk", n / 2, n / 2 + 0.7, "nodding", str(n % 2), 0.5) for n in range(5))
        write(AnnotationSet(tuple(entries)), path)
    original = path.read_bytes()
    rng = random.Random(name)
    said = []
    for _ in range(150):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(data) + 1)
            kind = rng.randrange(4)
            if kind == 0:
                data[place:place] = rng.choice(TOKENS)
            elif kind == 1:
                del data[place : place + rng.randint(1, 30)]
            elif kind == 2:
                data[place : place + 1] = bytes([rng.randrange(256)])
            else:
                other = rng.randrange(len(data) + 1)
                data[place:place] = data[other : other + 40]
        path.write_bytes(bytes(data))
        try:
            read(path)
        except DataError as error:
            said.append(str(error))
    assert said
    assert all(str(path) in text and "\n" not in text for text in said)
