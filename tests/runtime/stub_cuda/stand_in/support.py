"""What the tests over the stub share: the stub from within, and bundles with an "engine" for it."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import EngineRecord, engine_file
from mmn_edge.bundle.writing import add_engine
from mmn_edge.runtime.backends.backend import Output, open_backend
from mmn_edge.skeleton.frame import FloatArray

BUNDLE = Path(os.environ["MMN_EDGE_STUB_BUNDLE"])
MAX_BATCH = 4


class StubCuda:
    """The stub from within: what it saw, and what it is to do."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        self._library.stub_problems.restype = self._library.stub_calls.restype = ctypes.c_char_p
        self.expected_problems = False

    def reset(self, devices: int) -> None:
        self._library.stub_reset(devices)

    def fail(self, name: str, code: int = 2, after: int = 0) -> None:
        """Let a call fail, by default for lack of memory, once it has succeeded so many times; ``""`` ends that."""
        self._library.stub_fail(name.encode(), code, after)

    @property
    def problems(self) -> str:
        """What a driver would let pass or crash at, a line each; it is empty unless something is wrong."""
        return bytes(self._library.stub_problems()).decode()

    @property
    def calls(self) -> list[str]:
        return bytes(self._library.stub_calls()).decode().split()

    @property
    def held(self) -> int:
        """Things not released, the context among them."""
        return int(self._library.stub_held())

    @property
    def depth(self) -> int:
        """Contexts on this thread's stack."""
        return int(self._library.stub_depth())


def with_engine(path: Path, **changes: object) -> Bundle:
    """Put an "engine" of the fp32 model into a bundle."""
    bundle = Bundle.open(path)
    files = path.parent / "files"
    files.mkdir(exist_ok=True)
    name = engine_file("fp32", "tensorrt")
    description = {"onnx": str(BUNDLE / bundle.manifest.models["fp32"]), "max_batch": MAX_BATCH, **changes}
    (files / name).write_text(json.dumps(description), encoding="utf-8")
    record = EngineRecord(
        file=name,
        precision="fp32",
        flavour="tensorrt",
        tensorrt="10.3.0",
        device="Stub",
        compute_capabilities=("8.7",),
        driver="",
        cuda="12.6",
        batch=(1, 1, MAX_BATCH),
        onnx_sha256=bundle.model_sha256("fp32"),
    )
    return add_engine(path, record, files)


def windows(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(300, 40, (count, 64, 44, 2)).astype(np.float32)


def expected(bundle: Bundle, keypoints: FloatArray) -> Output:
    with open_backend(bundle, "onnxruntime", threads=1) as backend:
        return backend.run({"keypoints": keypoints})


def assert_same(found: Output, wanted: Output) -> None:
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-5)
