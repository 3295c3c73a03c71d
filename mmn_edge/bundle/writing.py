"""Bundles are written beside their target and exchanged with it in one step: all or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmn_edge.bundle.advice import Advice
from mmn_edge.bundle.bundle import Bundle, bundle_files
from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.bundle.manifest import MANIFEST, Manifest
from mmn_edge.errors import BundleError, EngineError
from mmn_edge.system.files import atomic_folder, sha256
from mmn_edge.system.replacing import check_replaceable as guard

__all__ = ["BundleWriter", "add_engine", "check_replaceable", "set_advice", "set_decoder", "write_bundle"]


def check_replaceable(path: Path) -> None:
    """Refuse to overwrite anything but a bundle or an empty folder.

    Raises:
        BundleError: ``path`` holds something else, or a bundle together with other files.
    """
    guard(path, _objection, error=BundleError)


def _objection(path: Path) -> str | None:
    if not path.is_dir():
        return "exists and is no bundle"
    known = bundle_files(path)
    others = sorted(entry.name for entry in path.iterdir() if entry.name not in known)
    if not others:
        return None
    return f"holds more than a bundle ({others[0]})" if known else "exists and is no bundle"


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
    return _with(path, advice=advice)


def set_decoder(path: Path, decoder: Mapping[str, Any]) -> Bundle:
    """Keep parameters of the event decoder in a bundle, in place of earlier ones; all or nothing.

    Args:
        path: The bundle.
        decoder: Of :meth:`mmn_edge.events.parameters.DecoderParameters.to_dict`.

    Raises:
        BundleError: ``path`` is no sound bundle.
    """
    return _with(path, decoder=dict(decoder))


def _with(path: Path, **changes: Any) -> Bundle:
    manifest = Bundle.open(path).manifest
    with write_bundle(path) as writer:
        for name in manifest.files:
            shutil.copy2(path / name, writer.folder / name)
        writer.finish(replace(manifest, **changes))
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
        manifest.check()
        values = manifest.to_dict()
        values["files"] = {
            file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in sorted(self.folder.iterdir())
        }
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        (self.folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
