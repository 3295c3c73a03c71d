from __future__ import annotations

import builtins
import collections
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

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
        with pytest.raises(DataError, match=r"set\.pkl is no readable pickle \(it is cut short|pickle: it is empty"):
            read_clips(save(whole[:length]))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", ": it is empty"),
        (b"text", ": it is a text file that begins with 'text'"),
        (b"\x89PNG\r\n", ": it is a PNG image"),
        (b"\xff" * 100, r" \(it is damaged: byte b'\\xff' means nothing\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ": it is a Git LFS pointer.* git lfs pull"),
        (b"<!DOCTYPE html><html>", ": it is a web page"),
        (b"\x1f\x8b\x08", ": it is a gzip archive: unpack it with gunzip"),
    ],
)
def test_a_file_of_another_kind(save: Save, content: bytes, kind: str) -> None:
    with pytest.raises(DataError, match=rf"set\.pkl is no readable pickle{kind}"):
        load_pickle(save(content))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.pkl does not exist"):
        load_pickle(tmp_path / "none.pkl")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_pickle(tmp_path)


OBJECTS_OF_BYTES = Attack(np.ndarray, (1,), np.dtype("O"), b"\1\2\3\4\5\6\7\x08")


def test_objects_made_of_raw_bytes_end_no_process(save: Save) -> None:
    """119 bytes that are fatal to whoever lets a pickle call numpy.ndarray: seen in a process of its own."""
    path = save({"annotations": [OBJECTS_OF_BYTES]})
    load = f"pickle.load(open({str(path)!r}, 'rb'))['annotations'][0][0]"
    believed = subprocess.run([sys.executable, "-c", f"import pickle; repr({load})"], check=False)
    assert believed.returncode < 0
    command = [sys.executable, "-m", "mmn_edge", "data", "check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "was not opened: it calls numpy.ndarray, which could make objects of raw bytes" in " ".join(
        done.stderr.split()
    )


def array_of(shape: Any, dtype: Any, data: Any) -> bytes:
    """A pickle of an array whose description is made up."""

    class Made(np.ndarray):  # type: ignore[type-arg]
        def __reduce__(self) -> Any:
            function, arguments, _ = np.ones(1).__reduce__()  # type: ignore[misc]
            return function, arguments, (1, shape, dtype, False, data)

    return pickle.dumps(Made((1,)), 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array_of((1,), np.dtype("O"), b"12345678"), "an array of objects made of raw bytes"),
        (array_of((1 << 48,), np.dtype("f8"), b""), r"an array of shape \(281474976710656,\) .*, and 0 values for it"),
        (array_of((0, 1 << 62), np.dtype("f8"), b""), "an array of shape .* and 0 values"),
        (array_of((2,), np.dtype("f8"), b"1234567"), "an array of float64 made of 7 bytes"),
        (array_of((-1,), np.dtype("f8"), b"12345678"), "a shape that is none"),
        (array_of((1,) * 33, np.dtype("f8"), b"12345678"), "a shape that is none"),
        (array_of((1,), np.dtype("U1"), b"\xff" * 4), "texts of characters that do not exist"),
        (array_of((1,), np.dtype("M8[s]"), b"12345678"), "of type 'M8', which is neither numbers nor text"),
        (array_of((1,), np.dtype([("a", "f8")]), b"12345678"), "of type 'V8', which is neither"),
        (array_of((3,), np.dtype("O"), [1]), r"an array of shape \(3,\) \(objects\), and 1 values"),
        (
            pickle.dumps(Attack(np.empty((0,)).__reduce__()[0], np.ndarray, (1 << 48,), b"b")),
            "in a way that numpy does",
        ),
        (pickle.dumps(Attack(np.dtype, "f8,f8")), "of type 'f8,f8', which is neither"),
        (pickle.dumps(Attack(np.dtype, "S0")), "of type 'S0', which is neither"),
        (pickle.dumps(Attack(np.dtype, 3)), "names a type by a int"),
        (b"\x80\x02N)R.", "it calls a NoneType"),
        (b"\x80\x02]}X\1\0\0\0aNsb.", "it changes a list"),
        (b"\x80\x02c_codecs\nencode\n}X\x0c\0\0\0__defaults__)sb.", "it changes a Function"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "it makes objects of its own kinds"),
        (b"\x80\x02)Na.", "it adds to a tuple as if it were a list"),
    ],
)
def test_arrays_that_no_numpy_writes_are_refused(save: Save, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_pickle(save(content))


def small_process(path: Path) -> subprocess.CompletedProcess[str]:
    """Load a pickle where 1 GiB of memory and 10 s are all there is."""
    code = (
        "import resource, sys, pathlib; from mmn_edge.datasets.formats.pickles import load_pickle\n"
        "from mmn_edge.errors import DataError\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (10, 10))\n"
        "try: str(load_pickle(pathlib.Path(sys.argv[1])))\n"
        "except DataError as error: print(error)\n"
        # Not ru_maxrss: a child inherits that of the process that starts it.
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM:'))\n"
        "print(int(peak.split()[1]) // 1024)"
    )
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)


def doubled(times: int, end: bytes) -> bytes:
    """A tuple of two tuples of two tuples ..., 2 to the power of ``times`` of them."""
    return b"\x80\x02)" + b"q\x00h\x00\x86" * times + end


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02Nr" + (1 << 31).to_bytes(4, "little") + b".", None),  # remembered as number 2147483648
        (b"\x80\x02T" + (1 << 31).to_bytes(4, "little") + b".", "cut short"),
        (b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".", "cut short"),
        (b"\x80\x04\x95" + b"\xff" * 7 + b"\x7fN.", None),  # a frame said to be very long
        (doubled(25, b"."), "repeats itself until it is much larger"),
        (doubled(200, b"."), "more than 32 deep"),
        (b"\x80\x02}" + doubled(50, b"Ns.")[2:], "uses a tuple as a key"),
        (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "more than 32 deep"),
        (b"\x80\x02]q\0h\0a.", "more than 32 deep within one another, or without end"),
        (b"\x80\x02](X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"q\0" + b"h\0" * 100_000 + b"e.", "repeats itself"),
        (b"\x80\x02]((" + b"N" * (1 << 20) + b"lq\0" + b"cbuiltins\nset\nh\0\x85R" * 10_000 + b"e.", "repeats itself"),
    ],
)
def test_a_small_file_takes_no_memory_and_no_time(save: Save, content: bytes, message: str | None) -> None:
    done = small_process(save(content))
    assert done.returncode == 0, done.stderr
    *said, megabytes = done.stdout.splitlines()
    assert int(megabytes) < 300
    assert bool(said) == (message is not None)
    assert message is None or message in said[0]


def test_arrays_of_texts_and_objects_and_python_2_come_back(save: Save) -> None:
    texts, objects = np.array(["a", "bc"]), np.array(["a", None, [1, 2]], dtype=object)
    content = {
        "texts": texts,
        "objects": objects,
        "again": [texts, texts],
        "set": {"x", 2},
        "frozen": frozenset([3]),
        "ordered": collections.OrderedDict(a=1, b=2),
        "complex": 1 + 2j,
        "big": np.arange(3, dtype=">i4"),
        "none": np.empty((0, 17, 2)),
        "flag": np.bool_(True),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = load_pickle(save(pickle.dumps(content, protocol)))
        assert found["texts"].tolist() == ["a", "bc"]
        assert found["objects"].tolist() == objects.tolist()
        assert found["again"][0] is found["again"][1] is found["texts"]
        assert found["big"].tolist() == [0, 1, 2]
        assert found["none"].shape == (0, 17, 2)
        for key in ("set", "frozen", "ordered", "complex", "flag"):
            assert found[key] == content[key]
    python_2 = (
        b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntp2\nS'b'\np3\ntp4\nRp5\n(I1\n(I2\ntp6\n"
        b"cnumpy\ndtype\np7\n(S'f4'\np8\nI0\nI1\ntp9\nRp10\n(I3\nS'<'\np11\nNNNI-1\nI-1\nI0\ntp12\nbI00\n"
        b"S'\\x00\\x00\\x80?\\x00\\x00\\x00@'\np13\ntp14\nb."
    )
    assert load_pickle(save(python_2)).tolist() == [1, 2]


def test_what_one_pickle_does_is_not_seen_by_the_next(save: Save) -> None:
    """BUILD sets attributes of whatever stands on the stack, functions among them."""
    change = b"\x80\x02cnumpy.core.multiarray\nscalar\nN}X\x04\0\0\0makeNs\x86b."
    with pytest.raises(DataError, match="it changes a Function"):
        load_pickle(save(change))
    assert load_pickle(save(np.float32(2))) == 2


PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
)
VALUES = st.recursive(
    PLAIN
    | arrays(st.sampled_from([np.float16, np.float32, np.int64, np.uint8, np.bool_, "U3", "S2"]), st.just((2, 3))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)
QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return type(b) is type(a) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@QUICK
@given(content=VALUES, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_whatever_data_is_written_comes_back(tmp_path_factory: Any, content: Any, protocol: int) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    assert same(load_pickle(path), content)


OPCODES = [getattr(pickle, name) for name in dir(pickle) if name.isupper() and isinstance(getattr(pickle, name), bytes)]
PIECES = st.one_of(
    st.sampled_from([code for code in OPCODES if len(code) == 1]),
    st.binary(max_size=9),
    st.sampled_from([b"K\1", b"K\1\x85", b"C\x08" + b"\1" * 8, b"q\0", b"h\0", b"q\1", b"h\1", b"X\1\0\0\0<", b"NNN"]),
    st.sampled_from(
        [
            b"cnumpy\nndarray\n",
            b"cnumpy\ndtype\n",
            b"cnumpy.core.multiarray\n_reconstruct\n",
            b"cnumpy.core.multiarray\nscalar\n",
            b"cnumpy._core.numeric\n_frombuffer\n",
            b"c_codecs\nencode\n",
            b"ccollections\nOrderedDict\n",
            b"cnumpy\ndtype\nX\2\0\0\0O8\x85R",
            b"cnumpy\ndtype\nX\2\0\0\0f8\x85R",
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\1b\x87R",
        ]
    ),
)


def survives(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with suppress(DataError):
        repr(load_pickle(path))
        read_clips(path)


@QUICK
@given(pieces=st.lists(PIECES, max_size=30))
def test_random_programs_give_a_value_or_a_sentence(tmp_path_factory: Any, pieces: list[bytes]) -> None:
    survives(tmp_path_factory.getbasetemp() / "fuzz.pkl", b"".join(pieces) + b".")


WHOLE = [
    pickle.dumps({"annotations": [annotation(keypoint_score=np.ones((1, 4, 3)))], "split": {"val": ["a"]}}, protocol)
    for protocol in (0, 2, 4, 5)
]


@QUICK
@given(
    whole=st.sampled_from(WHOLE),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4), st.integers(0, 4)), max_size=3
    ),
)
def test_damaged_annotations_give_clips_or_a_sentence(
    tmp_path_factory: Any, whole: bytes, changes: list[tuple[float, bytes, int]]
) -> None:
    for where, new, length in changes:
        place = int(where * len(whole))
        whole = whole[:place] + new + whole[place + length :]
    survives(tmp_path_factory.getbasetemp() / "fuzz.pkl", whole)
