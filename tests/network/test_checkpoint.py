"""Checkpoints as other people's scripts leave them; ``shared/faults/checkpoint_wrappers`` has the same of full size."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmn_edge.errors import CheckpointError
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN, build_network, load_safely, read_checkpoint

State = dict[str, Tensor]
SMALL = Architecture(num_classes=5, num_joints=6, width=16, depth=1, mlp_width=32, num_frames=16)


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return MMN(SMALL).state_dict()


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        if isinstance(content, bytes):
            (tmp_path / "model.pt").write_bytes(content)
        else:
            torch.save(content, tmp_path / "model.pt")
        return tmp_path / "model.pt"

    return write


def prefixed(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def assert_read(path: Path, state: State) -> None:
    found, _ = read_checkpoint(path)
    assert list(found) == list(state)
    assert all(torch.equal(found[key], value) for key, value in state.items())
    build_network(found)


WRAPPERS: dict[str, Callable[[State], Any]] = {
    "data parallel": lambda state: prefixed("module.", state),
    "compiled": lambda state: prefixed("_orig_mod.", state),
    "compiled in data parallel": lambda state: prefixed("module._orig_mod.", state),
    "Lightning": lambda state: {"state_dict": prefixed("model.", state), "epoch": 3},
    "net": lambda state: {"net": state},
    "model_state_dict": lambda state: {"model_state_dict": state, "epoch": 3, "optimizer": {"state": {0: 1}}},
    "NumPy scalars": lambda state: {"state_dict": state, "best": np.float64(0.9), "n": np.int32(2), "ok": np.bool_(1)},
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_harmless_wrappers_are_read(state: State, save: Callable[[Any], Path], name: str) -> None:
    assert_read(save(WRAPPERS[name](state)), state)


def test_numpy_scalars_are_plain_numbers(save: Callable[[Any], Path]) -> None:
    content = load_safely(save({"a": np.float64(0.9), "b": np.float32(0.5), "c": np.int64(-3), "d": np.bool_(True)}))
    assert content == {"a": 0.9, "b": 0.5, "c": -3, "d": True}
    assert {type(value) for value in content.values()} == {float, int, bool}


@pytest.mark.parametrize("value", [np.ones(3), np.datetime64("2026-01-01"), np.str_("x"), np.complex128(1)])
def test_other_things_of_numpy_are_refused(save: Callable[[Any], Path], value: Any) -> None:
    with pytest.raises(CheckpointError, match=r"torch\.save\(model\.state_dict\(\), "):
        load_safely(save({"a": np.float64(1), "b": value}))


def test_counts_of_batches_are_not_needed(state: State, save: Callable[[Any], Path]) -> None:
    without = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(without) < len(state)
    found, _ = read_checkpoint(save(without))
    restored = build_network(found).state_dict()
    assert restored.keys() == state.keys()
    assert all(torch.equal(restored[key], value) for key, value in without.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"model\.pt is no checkpoint: it is empty"),
        (b"not found\n", "it is a text file that begins with 'not found'"),
        (b"<!doctype html><title>Google Drive - Virus scan warning", "it is a web page, as a download that needs"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer.*git lfs pull"),
        (b"\x1f\x8b\x08\0", "it is a gzip archive: unpack it with gunzip"),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file"),
    ],
)
def test_files_of_other_kinds_are_called_what_they_are(
    save: Callable[[Any], Path], content: bytes, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(save(content))


def test_what_cannot_be_read_is_named_with_the_line_that_mends_it(state: State, save: Callable[[Any], Path]) -> None:
    for content, message in [
        (
            {"net": state, "ema": state},
            r"several state dicts, under 'net', 'ema': keep one with: torch\.save",
        ),
        ({**state, "epoch": 3}, r"beside \d+ tensors it has 'epoch', a int: take that out"),
        ({"epoch": 3}, r"holds no state dict .*: it has 'epoch'"),
        (nn.Linear(2, 2), r"asks for torch\.nn\.modules\.linear\.Linear .*torch\.save\(model\.state_dict\(\), "),
    ]:
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(save(content))
    mixed = {**prefixed("model.", state), "loss.weight": torch.ones(2)}
    with pytest.raises(CheckpointError, match=r"begin with model\., and 1 does not: loss\.weight"):
        read_checkpoint(save(mixed))


def test_safetensors_are_what_their_own_library_writes(state: State, tmp_path: Path) -> None:
    contiguous = {key: value.contiguous() for key, value in state.items()}
    save_file(contiguous, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found, description = read_checkpoint(tmp_path / "model.safetensors")
    assert found.keys() == state.keys()
    assert description == {}
    assert all(torch.equal(found[key], value) for key, value in state.items())
    build_network(found)
    kinds = [
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    ]
    values = {str(kind): torch.tensor([[0, 1], [1, 0]]).to(kind) for kind in kinds}
    save_file({**values, "none": torch.empty(0, 3), "scalar": torch.tensor(2.5)}, tmp_path / "types.pt")
    content = load_safely(tmp_path / "types.pt")
    for kind in kinds:
        assert content[str(kind)].dtype == kind
        assert torch.equal(content[str(kind)], values[str(kind)])
    assert content["none"].shape == (0, 3)
    assert content["scalar"].item() == 2.5


def tensors(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: Any, begin: Any, end: Any, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tensors({"a": entry([2], 0, 4)}, b"1234"), r"a has 4 bytes for F32 of shape \(2,\)"),
        (tensors({"a": entry([1 << 48], 0, 1 << 50)}, b"1234"), "a has 1125899906842624 bytes"),
        (tensors({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"1234"), "b lies where it cannot"),
        (tensors({"a": entry([-1], 0, -4)}, b"1234"), "a lies where it cannot"),
        (tensors({"a": entry([1.0], 0, 4)}, b"1234"), "a lies where it cannot"),
        (tensors({"a": entry([1], 0, 1, "F8_E4M3")}, b"1"), "a is of type F8_E4M3, and F64"),
        (tensors({"a": entry([1], 0, 4)}, b"123456"), "2 bytes belong to no tensor"),
        (tensors(b'{"a": 1, "a": 1}'), "a name occurs twice"),
        (tensors(b'{"a": 1}'), "no safetensors file to its end"),
        (tensors(b"{" * 10_000), "no safetensors file to its end"),
        (tensors(b'{"a": ' * 10_000), "no safetensors file to its end"),
    ],
)
def test_damaged_safetensors(save: Callable[[Any], Path], content: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(save(content))


def test_safetensors_cut_short(state: State, tmp_path: Path) -> None:
    save_file({"a": torch.ones(100)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    for length in (0, 5, 9, 40, len(whole) - 1):
        (tmp_path / "b.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"b\.safetensors"):
            read_checkpoint(tmp_path / "b.safetensors")
