"""The model bundle: a folder with ``manifest.json`` and the files it names. It is all that a consumer needs.

The manifest says what goes in and what comes out, in words and numbers, and holds the hash of every file. The
format is documented in ``docs/reference/bundle.md``.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmn_edge.bundle.advice import Advice
from mmn_edge.bundle.engine_record import EngineRecord, rebuild_command
from mmn_edge.errors import BundleError, EngineError, MmnEdgeError
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.model.task import CLASSIFY, TASKS
from mmn_edge.skeleton.missing import ENOUGH_SEEN
from mmn_edge.skeleton.preprocess import Preprocessing
from mmn_edge.system.files import atomic_folder, sha256
from mmn_edge.system.tensorrt import FLAVOURS

__all__ = [
    "MANIFEST",
    "PRECISIONS",
    "SCHEMA_VERSION",
    "Bundle",
    "Manifest",
    "TensorSpec",
    "add_engine",
    "bundle_files",
    "check_replaceable",
    "set_advice",
    "write_bundle",
]

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
        files: File name -> ``{"sha256", "bytes"}``; filled in by :func:`write_bundle`.
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
        manifest._check()
        return manifest

    def _check(self) -> None:
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


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files are those that its manifest names, checked by hash."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str, *, repair: bool = False) -> Bundle:
        """Read and check a bundle.

        Args:
            path: The folder.
            repair: Leave out engines that are missing or damaged, so that they can be built again.

        Raises:
            BundleError: It is missing, of another schema version, or damaged; the message names the file.
            EngineError: The same of an engine, which can be built again.
        """
        path = Path(path)
        file = path / MANIFEST
        if not file.is_file():
            if path.is_file():
                raise BundleError(f"{path} is a file, and a bundle is a folder: make one with: mmn-edge convert {path}")
            what = "does not exist" if not path.exists() else f"holds no {MANIFEST}"
            raise BundleError(f"{path} {what}: make a bundle with: mmn-edge convert CHECKPOINT -o {path}")
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            version = values["schema_version"]
            if isinstance(version, bool) or version not in READABLE:
                raise BundleError(
                    f"{file} has schema version {version}, and this mmn-edge reads {READABLE[0]} to {READABLE[-1]}: "
                    "convert the checkpoint again, or use a matching mmn-edge"
                )
            manifest = Manifest.from_dict(values)
            bundle = cls(path, _without_damaged_engines(path, manifest) if repair else manifest)
            bundle._check_files()
        except BundleError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MmnEdgeError) as error:
            raise BundleError(f"{file} is broken ({type(error).__name__}: {error}): convert again") from error
        return bundle

    @property
    def default_precision(self) -> str:
        """The precision to run where none is named: the advised one, else fp32, else the first there is."""
        manifest = self.manifest
        if manifest.advice is not None:
            return manifest.advice.precision
        return "fp32" if "fp32" in manifest.models else next(iter(manifest.models))

    def model(self, precision: str = "fp32") -> Path:
        """The path of the graph of one precision.

        Raises:
            BundleError: The bundle holds no such precision.
        """
        models = self.manifest.models
        if precision not in models:
            raise BundleError(f"{self.path} holds no {precision} model: it has {', '.join(models)}")
        return self.path / models[precision]

    def engine(self, precision: str = "fp32", flavour: str = FLAVOURS[0]) -> EngineRecord:
        """What is known of the engine of one precision; its file is ``path / record.file``.

        Raises:
            BundleError: The bundle holds no such precision.
            EngineError: It holds no engine of it; the message has the command that builds one.
        """
        self.model(precision)
        for engine in self.manifest.engines:
            if (engine.precision, engine.flavour) == (precision, flavour):
                return engine
        raise EngineError(
            f"{self.path} holds no {precision} engine for {flavour}: build it on the machine that is to run it with: "
            f"{rebuild_command(self.path, precision)}"
        )

    def model_sha256(self, precision: str) -> str:
        """The hash of the graph of one precision, as an engine's record names it."""
        return str(self.manifest.files[self.model(precision).name]["sha256"])

    def _check_files(self) -> None:
        manifest = self.manifest
        engines = {engine.file: engine for engine in manifest.engines}
        for name in [*manifest.files, *manifest.models.values(), *engines]:
            if Path(name).name != name or name not in manifest.files:
                raise BundleError(f"{self.path / MANIFEST} names a file outside its list: {name!r}")
        for name, entry in manifest.files.items():
            problem = _problem(self.path / name, entry)
            if problem and name in engines:
                command = rebuild_command(self.path, engines[name].precision)
                raise EngineError(f"{self.path / name} {problem}: build it again with: {command}")
            if problem:
                raise BundleError(f"{self.path / name} {problem}: convert again")


def _problem(file: Path, entry: dict[str, Any]) -> str:
    """What is wrong with a file of a bundle; empty if nothing is."""
    if not file.is_file():
        return "is missing from the bundle"
    if sha256(file) != entry["sha256"]:
        return "is damaged (its SHA-256 is not the manifest's)"
    return ""


def _without_damaged_engines(path: Path, manifest: Manifest) -> Manifest:
    files = dict(manifest.files)
    engines = []
    for engine in manifest.engines:
        entry = files.get(engine.file)
        if entry is not None and _problem(path / engine.file, entry):
            del files[engine.file]
        else:
            engines.append(engine)
    return replace(manifest, files=files, engines=tuple(engines))


def check_replaceable(path: Path) -> None:
    """Refuse to overwrite anything but a bundle or an empty folder.

    Raises:
        BundleError: ``path`` holds something else, or a bundle together with other files.
    """
    if path.is_dir():
        known = bundle_files(path)
        others = sorted(entry.name for entry in path.iterdir() if entry.name not in known)
        if not others:
            return
        if known:
            raise BundleError(
                f"{path} holds more than a bundle ({others[0]}), so it was left alone: move that away, or choose "
                "another path with -o"
            )
    if path.exists() or path.is_symlink():
        raise BundleError(f"{path} exists and is no bundle, so it was left alone: choose another path with -o")


def bundle_files(path: Path) -> set[str]:
    """The names of a bundle's own files, of whatever schema version; empty if the folder is no bundle."""
    try:
        values = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(values["schema_version"], int):
            return {MANIFEST, *values["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return set()


def add_engine(path: Path, engine: EngineRecord, files: Path) -> Bundle:
    """Put a built engine into a bundle, in place of an earlier one of its kind.

    The whole bundle is written anew beside itself and exchanged in one step: a process killed at any moment leaves the
    earlier one or the new one, each whole.

    Args:
        path: The bundle.
        engine: What is to be known of it.
        files: A folder with the engine's file and what else belongs to it, such as the builder's log.

    Raises:
        BundleError: ``path`` is no sound bundle, or no longer the one that the engine was built from.
    """
    bundle = Bundle.open(path, repair=True)
    if bundle.model_sha256(engine.precision) != engine.onnx_sha256:
        raise EngineError(f"{path} was converted anew while its engine was built: build it again")
    manifest = bundle.manifest
    kind = (engine.precision, engine.flavour)
    others = tuple(entry for entry in manifest.engines if (entry.precision, entry.flavour) != kind)
    with write_bundle(path) as writer:
        for name in manifest.files:
            shutil.copy2(path / name, writer.folder / name)
        for file in files.iterdir():
            shutil.copy2(file, writer.folder / file.name)
        writer.finish(replace(manifest, engines=(*others, engine)))
    return Bundle.open(path)


def set_advice(path: Path, advice: Advice) -> Bundle:
    """Keep an advice in a bundle, in place of an earlier one; as with :func:`add_engine`, all or nothing.

    Raises:
        BundleError: ``path`` is no sound bundle.
    """
    manifest = Bundle.open(path).manifest
    with write_bundle(path) as writer:
        for name in manifest.files:
            shutil.copy2(path / name, writer.folder / name)
        writer.finish(replace(manifest, advice=advice))
    return Bundle.open(path)


@contextmanager
def write_bundle(path: Path) -> Iterator[BundleWriter]:
    """Write a bundle beside ``path`` and move it there when the block ends well; otherwise nothing changes.

    Raises:
        BundleError: ``path`` holds something that is no bundle.
    """
    check_replaceable(path)
    with atomic_folder(path) as folder:
        writer = BundleWriter(folder)
        yield writer
        if not (folder / MANIFEST).is_file():
            raise AssertionError("the block wrote no manifest")


@dataclass(frozen=True)
class BundleWriter:
    """A bundle in the making: put files into ``folder``, then :meth:`finish`."""

    folder: Path

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, with the hashes of all files in the folder."""
        manifest._check()
        values = manifest.to_dict()
        values["files"] = {
            file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in sorted(self.folder.iterdir())
        }
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        (self.folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
