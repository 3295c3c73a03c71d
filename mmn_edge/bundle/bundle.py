"""The model bundle: a folder with ``manifest.json`` and the files it names. It is all that a consumer needs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmn_edge.bundle.engine_record import EngineRecord, rebuild_command
from mmn_edge.bundle.manifest import MANIFEST, READABLE, Manifest
from mmn_edge.errors import BundleError, EngineError, MmnEdgeError
from mmn_edge.system.files import sha256
from mmn_edge.system.tensorrt import FLAVOURS

__all__ = ["Bundle", "bundle_files"]


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


def bundle_files(path: Path) -> set[str]:
    """The names of a bundle's own files, of whatever schema version; empty if the folder is no bundle."""
    try:
        values = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(values["schema_version"], int):
            return {MANIFEST, *values["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return set()
