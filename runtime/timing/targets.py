"""What can be timed: a bundle's models and engines, or an ONNX file of any kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.manifest import PRECISIONS
from mmn_edge.drift.windows import as_features, sample_windows
from mmn_edge.errors import BundleError, UsageError
from mmn_edge.runtime.backends.backend import BACKENDS, ENGINE_BACKENDS, open_backend
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system.extras import load_onnxruntime, session_options
from mmn_edge.system.files import sha256

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KEYPOINTS", "NETWORK", "Runner", "Target", "split_precision"]

NETWORK = "network only: one call, features in memory to probabilities in memory"
KEYPOINTS = "keypoints to probabilities: one call, windows of keypoints in memory to probabilities in memory"
FILE = "an ONNX file: one call, its inputs in memory to its outputs in memory"


class Runner(Protocol):
    """A loaded model, as far as timing is concerned; :class:`mmn_edge.runtime.backends.backend.Backend` is one."""

    @property
    def name(self) -> str:
        """What runs the model."""

    @property
    def precision(self) -> str:
        """Which model it is."""

    def __enter__(self) -> Self:
        """Load it."""

    def __exit__(self, *error: object) -> None:
        """Release it."""

    def run(self, inputs: Mapping[str, FloatArray]) -> object:
        """One call."""


@dataclass(frozen=True)
class Target:
    """One model and what runs it.

    Attributes:
        name: How the user calls it.
        bundle: Where it lies; None for an ONNX file.
        file: The model's file.
        backend: One of :data:`mmn_edge.runtime.backends.backend.BACKENDS`; None for the default.
        precision: One of the bundle's models; None for the default.
    """

    name: str
    bundle: Bundle | None
    file: Path | None = None
    backend: str | None = None
    precision: str | None = None

    @property
    def scope(self) -> str:
        """What a call is, in words."""
        if self.bundle is None:
            return FILE
        return KEYPOINTS if self.bundle.manifest.input == "keypoints" else NETWORK

    def open(self, threads: int | None, on_note: Callable[[str], None] = lambda text: None) -> Runner:
        """What runs it, not yet loaded."""
        if self.bundle is not None:
            return open_backend(self.bundle, self.backend, precision=self.precision, threads=threads, on_note=on_note)
        if self.backend not in (None, "onnxruntime"):
            raise UsageError(f"an ONNX file runs on ONNX Runtime alone, not on {self.backend}: give a bundle")
        if self.file is None:
            raise AssertionError("a target is a bundle or a file")
        return _OnnxFile(self.file, threads)

    def sha256(self, precision: str) -> str:
        """The hash of the model's ONNX file."""
        if self.bundle is not None:
            return self.bundle.model_sha256(precision)
        if self.file is None:
            raise AssertionError("a target is a bundle or a file")
        return sha256(self.file)

    def inputs(self, batch: int) -> dict[str, FloatArray]:
        """Inputs of one call: windows of a synthetic person for a bundle, random numbers for an ONNX file."""
        if self.bundle is None:
            if self.file is None:
                raise AssertionError("a target is a bundle or a file")
            return _random_inputs(self.file, batch)
        manifest = self.bundle.manifest
        windows = sample_windows(manifest.architecture, count=batch)
        if manifest.input == "keypoints":
            return {"keypoints": windows}
        if manifest.preprocessing is not None:
            return as_features(windows, manifest.preprocessing, manifest.architecture.num_people)
        rng = np.random.default_rng(0)
        shapes = {spec.name: [batch if axis == "N" else int(axis) for axis in spec.shape] for spec in manifest.inputs}
        return {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def split_precision(text: str) -> tuple[Path, str | None]:
    """``model.bundle:int8`` as the path and the precision; a path that exists is taken as it is."""
    path, _, precision = text.rpartition(":")
    if path and precision in PRECISIONS and not Path(text).exists():
        return Path(path), precision
    return Path(text), None


def check_backend(name: str | None) -> None:
    """Raise UsageError where there is no such backend."""
    if name not in (None, *BACKENDS):
        raise UsageError(f"unknown backend {name!r}: choose one of {', '.join(BACKENDS)}")


def of_engine(path: Path) -> Target:
    """The target of an engine's file, which lies in its bundle.

    Raises:
        BundleError: It is none of the bundle's engines.
    """
    bundle = Bundle.open(path.parent)
    for record in bundle.manifest.engines:
        if record.file == path.name:
            backend = next(name for name, flavour in ENGINE_BACKENDS.items() if flavour == record.flavour)
            return Target(str(path), bundle, bundle.path / record.file, backend, record.precision)
    raise BundleError(f"{path} is none of the engines of {path.parent}: give the bundle it was built for")


class _OnnxFile:
    """Any ONNX file, on ONNX Runtime and the CPU."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self._path = path
        self._threads = threads
        self._session: Any = None

    @property
    def name(self) -> str:
        return f"onnxruntime {load_onnxruntime().__version__} CPU"

    @property
    def precision(self) -> str:
        return "as in the file"

    def __enter__(self) -> Self:
        self._session = _session(self._path, self._threads)
        return self

    def __exit__(self, *error: object) -> None:
        self._session = None

    def run(self, inputs: Mapping[str, FloatArray]) -> object:
        return self._session.run(None, dict(inputs))


def _session(path: Path, threads: int | None) -> Any:
    try:
        return load_onnxruntime().InferenceSession(
            str(path), session_options(threads), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions share no base class
        raise BundleError(f"ONNX Runtime cannot load {path}: {error}") from error


TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def _random_inputs(path: Path, batch: int) -> dict[str, FloatArray]:
    rng = np.random.default_rng(0)
    found: dict[str, FloatArray] = {}
    for port in _session(path, 1).get_inputs():
        kind = TYPES.get(port.type)
        if kind is None:
            raise UsageError(
                f"input {port.name} of {path} is {port.type}, and only floating-point inputs can be made up"
            )
        shape = []
        for place, size in enumerate(port.shape):
            if isinstance(size, int):
                if place == 0 and size != batch:
                    raise UsageError(f"{path} takes batches of {size} alone: give --batch {size}")
                shape.append(size)
            elif place == 0:
                shape.append(batch)
            else:
                raise UsageError(
                    f"axis {place} of input {port.name} of {path} has no fixed size: only the batch may vary"
                )
        found[port.name] = rng.uniform(-1, 1, shape).astype(kind)
    return found
