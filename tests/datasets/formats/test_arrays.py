from __future__ import annotations

import io
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmn_edge.datasets.formats.arrays import load_arrays
from mmn_edge.errors import DataError


def header(shape: Any, dtype: str = "<f4") -> bytes:
    """The beginning of an array's file, whatever it says."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def archive(path: Path, content: bytes, name: str = "keypoints.npy") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path: Path, save: Any) -> None:
    values = {
        "keypoints": np.arange(12, dtype=np.float16).reshape(2, 3, 2),
        "fortran": np.asfortranarray(np.ones((2, 3))),
        "layout": np.array("ma52"),
        "none": np.empty((0, 3), np.int64),
    }
    save(tmp_path / "a.npz", **values)
    found = load_arrays(tmp_path / "a.npz")
    assert found.keys() == values.keys()
    for key, value in values.items():
        assert found[key].dtype == value.dtype
        assert found[key].tolist() == value.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((1 << 48, 4)), r"said to be float32 of shape \(281474976710656, 4\), and holds 0 bytes"),
        (header((1 << 30,)) + b"1234", r"of shape \(1073741824,\), and holds 4 bytes"),
        (header((2,)) + b"1" * 12, "holds 12 bytes"),
        (header((-1, -2)) + b"1" * 8, "holds 8 bytes"),
        (header((1,), "|O") + b"x", r"keypoints\.npy holds pickled objects"),
        (b"no array", "no readable .npz file of plain arrays"),
    ],
)
def test_arrays_that_are_not_what_they_say(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_arrays(archive(tmp_path / "a.npz", content))


def test_a_file_that_unpacks_to_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros are packed a thousandfold: what is refused is never unpacked, nor is memory taken for it."""
    monkeypatch.setattr("mmn_edge.datasets.formats.arrays.MAX_BYTES", 1 << 20)
    path = archive(tmp_path / "a.npz", header((1 << 18,)) + bytes(1 << 20))
    assert path.stat().st_size < 5000
    with pytest.raises(DataError, match="it unpacks to more than"):
        load_arrays(path)


def test_memory_is_not_taken_for_what_a_header_says(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", header((1 << 33,), "|u1"))
    code = (
        "import pathlib, resource, sys; from mmn_edge.datasets.formats.arrays import load_arrays\n"
        "try: load_arrays(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(error)\n"
    )
    limit = 4 << 30
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert "holds 0 bytes" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "it is empty"), (b"<html>", "it is a web page"), (b"\x93NUMPY\1\0", r"it is an array of NumPy \(\.npy\)")],
)
def test_files_of_other_kinds(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_arrays(tmp_path / "a.npz")
    with pytest.raises(DataError, match="does not exist"):
        load_arrays(tmp_path / "none.npz")
    with pytest.raises(DataError, match="is a folder"):
        load_arrays(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4), st.integers(0, 4)), max_size=3))
def test_damaged_files_give_arrays_or_a_sentence(
    tmp_path_factory: Any, changes: list[tuple[float, bytes, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.npz"
    np.savez(path, keypoints=np.ones((4, 3, 2), np.float32), scores=np.ones((4, 3)))
    whole = path.read_bytes()
    for where, new, length in changes:
        place = int(where * len(whole))
        whole = whole[:place] + new + whole[place + length :]
    path.write_bytes(whole)
    try:
        assert all(isinstance(array, np.ndarray) for array in load_arrays(path).values())
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
