"""What a bundle says of a TensorRT engine, and whether that engine may be loaded on this machine.

An engine is good for the TensorRT version and the GPU that it was built with, and deserialising a foreign one ends in
an error code at best. So everything is compared beforehand: :func:`check_engine`. The engine file itself is pure, as
``trtexec`` and C++ read it; what is known of it stands in the bundle's manifest.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmn_edge.errors import EngineError
from mmn_edge.system.tensorrt import FLAVOURS, DeviceFacts

__all__ = ["EngineRecord", "check_engine", "engine_file", "misfits", "rebuild_command"]

HARDWARE_COMPATIBLE_FROM = (8, 0)
"""TensorRT's hardware-compatible engines run on Ampere and newer, and on no Jetson (``AMPERE_PLUS``)."""


@dataclass(frozen=True)
class EngineRecord:
    """An engine file of a bundle; its size and SHA-256 are in the manifest's ``files``.

    Attributes:
        file: The file's name.
        precision: The bundle's model that it was built from.
        flavour: One of :data:`mmn_edge.system.tensorrt.FLAVOURS`.
        tensorrt: Version of the builder, ``"10.3.0"``.
        device: Name of the GPU that it was built on; ``""`` where it was built without one.
        compute_capabilities: What it was built for, such as ``("8.7",)``; several only with ``tensorrt_rtx``.
        driver: Version of the GPU driver at build time; ``""`` where unknown.
        cuda: CUDA version of that driver, ``"12.6"``; ``""`` where unknown.
        batch: Smallest, best and largest batch of the optimization profile.
        onnx_sha256: Of the ONNX file that it was built from.
        strongly_typed: Whether every tensor's type is the ONNX file's; always so here.
        version_compatible: Whether later TensorRT versions run it.
        hardware_compatible: Whether other GPUs from Ampere on run it.
        workspace_mib: Limit of the scratch memory; None means all of the device's.
    """

    file: str
    precision: str
    flavour: str
    tensorrt: str
    device: str
    compute_capabilities: tuple[str, ...]
    driver: str
    cuda: str
    batch: tuple[int, int, int]
    onnx_sha256: str
    strongly_typed: bool = True
    version_compatible: bool = False
    hardware_compatible: bool = False
    workspace_mib: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EngineRecord:
        """The inverse of :meth:`to_dict`; raises TypeError, KeyError or ValueError for a broken record."""
        low, best, high = values["batch"]
        if not all(type(size) is int for size in (low, best, high)) or not 1 <= low <= best <= high:
            raise ValueError(f"{values['batch']!r} is no smallest, best and largest batch")
        if values["flavour"] not in FLAVOURS:
            raise ValueError(f"unknown kind of engine {values['flavour']!r}")
        capabilities = tuple(values["compute_capabilities"])
        if not capabilities or not all(isinstance(entry, str) for entry in capabilities):
            raise ValueError(f"{capabilities!r} are no compute capabilities")
        record = cls(**{**values, "batch": (low, best, high), "compute_capabilities": capabilities})
        texts = (record.file, record.precision, record.tensorrt, record.device, record.driver, record.cuda)
        if not all(isinstance(text, str) for text in (*texts, record.onnx_sha256)):
            raise TypeError("a record of an engine holds something else than text")
        return record


def engine_file(precision: str, flavour: str) -> str:
    """The name of an engine's file in a bundle."""
    return f"model.{precision}.{flavour}.engine"


def rebuild_command(bundle: Path | str, precision: str) -> str:
    """What builds an engine on the machine that it is typed on."""
    return f"mmn-edge convert {shlex.quote(str(bundle))} --engine --precision {precision}"


def misfits(record: EngineRecord, facts: DeviceFacts, onnx_sha256: str, *, batch: int | None = None) -> tuple[str, ...]:
    """All that keeps an engine from being loaded here, as clauses of a sentence; empty if it fits.

    A driver may be newer than the one at build time, since CUDA's are backward compatible, but not older. The hash of
    the engine file itself is checked when the bundle is opened.

    Args:
        record: The engine.
        facts: This machine.
        onnx_sha256: Of the bundle's ONNX file of the same precision.
        batch: The largest number of windows that will be given at once; None leaves it unchecked.
    """
    wrong = [*_build(record, facts, onnx_sha256), *_device(record, facts), *_driver(record, facts)]
    if batch is not None and not record.batch[0] <= batch <= record.batch[2]:
        wrong.append(f"it takes {record.batch[0]} to {record.batch[2]} windows at once, and {batch} are asked for")
    return tuple(wrong)


def check_engine(
    record: EngineRecord,
    facts: DeviceFacts,
    onnx_sha256: str,
    *,
    batch: int | None = None,
    bundle: Path | str = "BUNDLE",
) -> None:
    """Refuse an engine that does not fit; to be called before it is deserialised.

    Args:
        record: As for :func:`misfits`, with the next three.
        facts: This machine.
        onnx_sha256: Of the bundle's ONNX file of the same precision.
        batch: The largest number of windows that will be given at once; None leaves it unchecked.
        bundle: For the message.

    Raises:
        EngineError: It does not fit; the message names all that differs and the command that builds another.
    """
    wrong = misfits(record, facts, onnx_sha256, batch=batch)
    if wrong:
        command = rebuild_command(bundle, record.precision)
        if batch is not None and batch > record.batch[2]:
            command += f" --max-batch {batch}"
        raise EngineError(
            f"{record.file} does not fit: {'; '.join(wrong)}. Build an engine on this machine with: {command}"
        )


def _build(record: EngineRecord, facts: DeviceFacts, onnx_sha256: str) -> list[str]:
    """What differs in the builder and in what was built from."""
    wrong = []
    if record.onnx_sha256 != onnx_sha256:
        wrong.append(f"it was built from another {record.precision} ONNX model than the bundle's")
    if record.flavour != facts.flavour:
        wrong.append(f"it is an engine of {record.flavour}, and {facts.flavour} is here")
    elif record.version_compatible:
        if _version(facts.tensorrt) < _version(record.tensorrt):
            wrong.append(
                f"it needs TensorRT {record.tensorrt} or later (it is version-compatible), and {facts.tensorrt} is here"
            )
    elif record.tensorrt != facts.tensorrt:
        wrong.append(f"it was built with TensorRT {record.tensorrt}, and {facts.tensorrt} is here")
    return wrong


def _device(record: EngineRecord, facts: DeviceFacts) -> list[str]:
    if record.hardware_compatible and record.flavour == "tensorrt":
        if _version(facts.compute_capability) >= HARDWARE_COMPATIBLE_FROM:
            return []
        return [f"it needs compute capability 8.0 or later, and {facts.device} has {facts.compute_capability}"]
    wrong = []
    if facts.compute_capability not in record.compute_capabilities:
        built = " and ".join(record.compute_capabilities)
        wrong.append(f"it was built for compute capability {built}, and {facts.device} has {facts.compute_capability}")
    # TensorRT times kernels on the GPU it builds on; TensorRT for RTX chooses them where the engine is loaded.
    if record.flavour == "tensorrt" and record.device != facts.device:
        wrong.append(f"it was built on {record.device}, and this is {facts.device}")
    return wrong


def _driver(record: EngineRecord, facts: DeviceFacts) -> list[str]:
    wrong = []
    for name, built, here in (
        ("driver", record.driver, facts.driver),
        ("CUDA driver interface", record.cuda, facts.cuda),
    ):
        if built and here and _version(here) < _version(built):
            wrong.append(f"it was built under {name} {built}, and the older {here} is here")
    return wrong


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))
