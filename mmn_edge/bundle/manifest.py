"""What ``manifest.json`` of a bundle says: the words and numbers that a consumer needs, and the hash of every file.

The format is documented in ``docs/reference/bundle.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmn_edge.bundle.advice import Advice
from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.model.task import CLASSIFY, TASKS
from mmn_edge.skeleton.missing import ENOUGH_SEEN
from mmn_edge.skeleton.preprocess import Preprocessing

__all__ = ["MANIFEST", "PRECISIONS", "READABLE", "SCHEMA_VERSION", "Manifest", "TensorSpec"]

SCHEMA_VERSION = 2
READABLE = (1, 2)
MANIFEST = "manifest.json"

MAX_DEPTH = 8
"""Of values within values in a decoder's parameters."""

PRECISIONS = ("fp32", "fp16", "int8", "int8-fp16")
"""What a bundle may hold models of, the most exact first: ``int8-fp16`` is ``int8`` with all else in half precision."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output; ``shape`` holds numbers and the names of dynamic axes (``"N"``)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    Attributes:
        architecture: The network.
        labels: Classes in the order of the logits, with their groups.
        layout: Name of the skeleton layout of the input, None for a checkpoint of unknown joints.
        joints: Joint names of the input, in order.
        window: The live window.
        preprocessing: What turns raw keypoints into features; None where the layout is unknown.
        task: One of :data:`TASKS`.
        enough_seen: Share of a window's joints, 0 to 1, below which the answer is "not enough seen".
        decoder: Parameters of the event decoder as plain JSON values; None where nobody set any.
        input: ``"keypoints"`` (preprocessing is inside the graph) or ``"features"``.
        inputs: Input tensors.
        outputs: Output tensors.
        models: Precision -> file name, such as ``{"fp32": "model.fp32.onnx"}``.
        temperature: What the logits are divided by before they become probabilities, inside the models.
        quantization: For bundles with an int8 model: how its ranges were found, and the layers kept in float.
        source: File name and hash of the checkpoint.
        streams: For each checkpoint in the model its stream, the weight of its logits, file name and hash.
        tools: Versions of what wrote the bundle.
        verification: What was compared, and the differences found.
        files: File name -> ``{"sha256", "bytes"}``; filled in where the bundle is written.
        engines: TensorRT engines built from the models, at most one a precision and flavour.
        advice: Which precision is best on a machine, and what was measured; None where nothing was.
    """

    architecture: Architecture
    labels: Labels
    layout: str | None
    joints: tuple[str, ...]
    window: Window
    preprocessing: Preprocessing | None
    input: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    models: dict[str, str]
    source: dict[str, Any]
    tools: dict[str, str]
    verification: dict[str, Any]
    streams: list[dict[str, Any]] = field(default_factory=list)
    temperature: float = 1.0
    quantization: dict[str, Any] | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    engines: tuple[EngineRecord, ...] = ()
    advice: Advice | None = None
    task: str = CLASSIFY
    enough_seen: float = ENOUGH_SEEN
    decoder: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, most telling first."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "input": self.input,
            "inputs": [asdict(spec) for spec in self.inputs],
            "outputs": [asdict(spec) for spec in self.outputs],
            "models": self.models,
            "engines": [engine.to_dict() for engine in self.engines],
            "temperature": self.temperature,
            "window": asdict(self.window),
            "enough_seen": self.enough_seen,
            "decoder": None if self.decoder is None else dict(self.decoder),
            "layout": {"name": self.layout, "joints": list(self.joints)},
            "preprocessing": self.preprocessing.to_dict() if self.preprocessing else None,
            "architecture": self.architecture.to_dict(),
            "labels": self.labels.to_dict(),
            "source": self.source,
            "streams": self.streams,
            "tools": self.tools,
            "verification": self.verification,
            "quantization": self.quantization,
            "advice": self.advice.to_dict() if self.advice else None,
            "files": self.files,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Manifest:
        """The inverse of :meth:`to_dict`, for every version that is read.

        Raises:
            KeyError: Something is missing, as with TypeError and ValueError: the manifest is broken.
        """
        values = _upgraded(values)

        def specs(entries: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
            return tuple(TensorSpec(**{**entry, "shape": tuple(entry["shape"])}) for entry in entries)

        manifest = cls(
            task=values["task"],
            enough_seen=values["enough_seen"],
            decoder=values["decoder"],
            input=values["input"],
            inputs=specs(values["inputs"]),
            outputs=specs(values["outputs"]),
            models=dict(values["models"]),
            window=Window(**values["window"]),
            layout=values["layout"]["name"],
            joints=tuple(values["layout"]["joints"]),
            preprocessing=(Preprocessing.from_dict(values["preprocessing"]) if values["preprocessing"] else None),
            architecture=Architecture.from_dict(values["architecture"]),
            labels=Labels.from_dict(values["labels"]),
            source=values["source"],
            streams=values.get("streams", []),
            tools=values["tools"],
            verification=values["verification"],
            temperature=values.get("temperature", 1.0),
            quantization=values.get("quantization"),
            advice=Advice.from_dict(values["advice"]) if values.get("advice") else None,
            files=values["files"],
            engines=tuple(EngineRecord.from_dict(entry) for entry in values.get("engines", ())),
        )
        manifest.check()
        return manifest

    def check(self) -> None:
        """Raise ValueError where parts of the manifest contradict one another."""
        arch = self.architecture
        if self.task not in TASKS:
            raise ValueError(f"{self.task!r} is no task of a model: it must be {' or '.join(TASKS)}")
        if not _is_number(self.temperature) or not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature!r} is no positive number")
        if not _is_number(self.enough_seen) or not 0 <= self.enough_seen <= 1:
            raise ValueError(f"enough_seen {self.enough_seen!r} is no share from 0 to 1")
        if self.decoder is not None and not (isinstance(self.decoder, dict) and _is_plain(self.decoder)):
            raise ValueError("the decoder's parameters are not plain numbers, texts and truth values by name")
        if self.input not in ("keypoints", "features") or not self.inputs or self.inputs[0].name != self.input:
            raise ValueError(f"input {self.input!r} is not the first of the inputs")
        if len(self.labels) != arch.num_classes or not all(isinstance(name, str) for name in self.labels.classes):
            raise ValueError(f"{len(self.labels)} class names for {arch.num_classes} classes")
        if self.window.frames != arch.num_frames:
            raise ValueError(f"a window of {self.window.frames} frames for a network of {arch.num_frames}")
        order = self.preprocessing.order if self.preprocessing else ()
        if order and sorted(order) != list(range(arch.num_joints)):
            raise ValueError("the joint order is no permutation of the joints")
        if self.advice is not None and self.advice.precision not in self.models:
            raise ValueError(f"the advice is {self.advice.precision}, which is none of the models")
        kinds = [(engine.precision, engine.flavour) for engine in self.engines]
        if len(set(kinds)) < len(kinds) or not {precision for precision, _ in kinds} <= set(self.models):
            raise ValueError("two engines of one kind, or one of a model that is not there")


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a manifest of any version that is read, as those of the newest."""
    if values["schema_version"] == 1:  # what 2 brought meant nothing then
        return {**values, "task": CLASSIFY, "enough_seen": ENOUGH_SEEN, "decoder": None}
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether JSON can hold a value and gives it back equal."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(entry, depth + 1) for key, entry in value.items())
    if isinstance(value, list):
        return all(_is_plain(entry, depth + 1) for entry in value)
    return value is None or isinstance(value, str | bool) or _is_number(value)
