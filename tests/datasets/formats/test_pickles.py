from __future__ import annotations

import builtins
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmn_edge.datasets.formats.pickles import load_pickle
from mmn_edge.datasets.reading import read_clips, splits
from mmn_edge.errors import DataError

Save = Callable[[Any], Path]


def annotation(**changes: Any) -> dict[str, Any]:
    return {"frame_dir": "a", "label": 0, "keypoint": np.ones((1, 4, 3, 2), np.float16), **changes}


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(content: Any) -> Path:
        path = tmp_path / "set.pkl"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
        return path

    return write


class Attack:
    """Unpickles to the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("place", ["top", "annotation"])
def test_a_pickle_that_runs_a_command_is_refused_and_not_run(save: Save, tmp_path: Path, place: str) -> None:
    mark = tmp_path / "owned"
    attack = Attack(os.system, f"touch '{mark}'")
    path = save(attack if place == "top" else {"annotations": [annotation(x=attack)]})
    for read in (load_pickle, read_clips, splits):
        with pytest.raises(DataError, match=r"was not opened: it asks for posix\.system"):
            read(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # the attack works on whoever does not refuse it
    assert mark.exists()


@pytest.mark.parametrize("name", ["eval", "exec", "getattr", "__import__", "open", "print"])
def test_builtins_that_are_no_data_are_refused(save: Save, name: str) -> None:
    function = getattr(builtins, name)
    with pytest.raises(DataError, match=rf"asks for (builtins|_?io)\.{name}, which is no array"):
        load_pickle(save(Attack(function, "0")))


def test_methods_of_admitted_classes_are_refused(save: Save) -> None:
    dotted = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    assert pickle.loads(dotted) is np.ndarray.tofile
    with pytest.raises(DataError, match=r"asks for numpy\.ndarray\.tofile"):
        load_pickle(save(dotted))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_come_back(save: Save, protocol: int) -> None:
    values: dict[str, Any] = {
        "array": np.arange(6, dtype=np.float16).reshape(2, 3),
        "fortran": np.asfortranarray(np.ones((2, 3), np.float32)),
        "scalar": np.int64(3),
        "text": "é",
        "bytes": b"\x00\xff",
        "rest": [None, True, 1.5, (1, 2)],
    }
    found = load_pickle(save(pickle.dumps(values, protocol)))
    assert found["array"].dtype == np.float16
    assert found["array"].tolist() == values["array"].tolist()
    assert found["fortran"].shape == (2, 3)
    assert {key: found[key] for key in ("scalar", "text", "bytes", "rest")} == {
        key: values[key] for key in ("scalar", "text", "bytes", "rest")
    }


def test_a_truncated_pickle(save: Save) -> None:
    whole = pickle.dumps({"annotations": [annotation()]})
    for length in range(len(whole)):
        with pytest.raises(DataError, match=r"set\.pkl is no readable pickle|is no annotation pickle"):
            read_clips(save(whole[:length]))


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n", b"\xff" * 100])
def test_a_file_of_another_kind(save: Save, content: bytes) -> None:
    with pytest.raises(DataError, match=r"set\.pkl is no readable pickle"):
        load_pickle(save(content))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.pkl does not exist"):
        load_pickle(tmp_path / "none.pkl")
