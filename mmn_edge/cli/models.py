"""The models that a command line names: checkpoints, and bundles with one of their precisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.manifest import MANIFEST
from mmn_edge.errors import UsageError
from mmn_edge.model.architecture import parse_options
from mmn_edge.model.presets import CHECKPOINT_ORIGINS
from mmn_edge.system.contents import contents
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from mmn_edge.model.classifier import Classifier

__all__ = ["ALL", "ModelSource", "model_sources"]

ALL = "all"
"""Stands for every precision of a bundle."""


@dataclass(frozen=True)
class ModelSource:
    """One model that was named.

    Attributes:
        name: How reports call it, as it was named.
        path: A checkpoint, or a bundle's folder.
        bundle: The bundle, checked; None for a checkpoint.
        precision: The one of its models.
        stream: What a checkpoint was trained on, where that was said.
    """

    name: str
    path: Path
    bundle: Bundle | None = None
    precision: str = "fp32"
    stream: str | None = None

    @contextmanager
    def open(
        self,
        *,
        preset: str | None = None,
        model_options: Sequence[str] = (),
        backend: str | None = None,
        threads: int | None = None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> Iterator[Classifier]:
        """Load the model; it is released when the block ends.

        Args:
            preset: What a checkpoint is, where it does not say so itself.
            model_options: ``name=value`` of what a checkpoint's shapes cannot tell.
            backend: What runs a bundle.
            threads: Threads within an operator.
            on_note: Told in a sentence why an engine of a bundle is not used.
        """
        if self.bundle is not None:
            from mmn_edge.runtime.bundle_classifier import open_classifier

            with open_classifier(
                self.bundle,
                precision=self.precision,
                backend=backend,
                threads=threads,
                name=self.name,
                on_note=on_note,
            ) as classifier:
                yield classifier
            return
        require("torch", extra="train", purpose="Evaluating a checkpoint")
        import torch

        from mmn_edge.network.checkpoint_classifier import open_checkpoint

        if threads is not None:
            torch.set_num_threads(threads)
        options = parse_options(model_options)
        yield open_checkpoint(self.path, preset=preset, stream=self.stream, options=options, name=self.name)


def model_sources(
    arguments: Sequence[str], *, precision: str | None = None, streams: Sequence[str] = ()
) -> list[ModelSource]:
    """Resolve what was named, in order. Bundles are checked; no model is loaded yet.

    Args:
        arguments: Paths; ``PATH:PRECISION`` for one of a bundle's models, ``PATH:all`` for each of them.
        precision: For bundles named without one; None means ``"fp32"``, or the first where there is none.
        streams: What the checkpoints were trained on: nothing, one for all, or one for each.

    Raises:
        UsageError: Nothing is there, or the streams are not as many as the checkpoints.
        BundleError: A broken bundle, or one without that precision.
    """
    found: list[ModelSource] = []
    for text in arguments:
        path, wanted = Path(text), precision
        if not path.exists() and ":" in text:
            head, _, wanted = text.rpartition(":")
            path = Path(head)
        if not path.exists():
            raise UsageError(
                f"{path} does not exist: name a checkpoint (.pt) or a bundle's folder; {CHECKPOINT_ORIGINS}"
            )
        kind = contents(path)
        if kind in ("recording", "video", "data set", "JSON file") and path.name != MANIFEST:
            raise UsageError(
                f"{path} is a {kind}, and a model is a checkpoint (.pt) or a bundle: clips to measure it on are named "
                "with --data"
            )
        if path.is_dir():
            found += _bundle_sources(path, wanted)
        elif path.name == MANIFEST:
            found += _bundle_sources(path.parent, wanted)
        elif path != Path(text):
            raise UsageError(f"{path} is a file, and only bundles hold several precisions: leave :{wanted} out")
        else:
            found.append(ModelSource(text, path))
    checkpoints = [index for index, source in enumerate(found) if source.bundle is None]
    if len(streams) not in (0, 1, len(checkpoints)):
        raise UsageError(
            f"--stream was given {len(streams)} times for {len(checkpoints)} checkpoints: give it once, or for each"
        )
    if streams:
        each = list(streams) if len(streams) > 1 else list(streams) * len(checkpoints)
        for index, stream in zip(checkpoints, each, strict=True):
            found[index] = ModelSource(found[index].name, found[index].path, stream=stream)
    return found


def _bundle_sources(path: Path, wanted: str | None) -> list[ModelSource]:
    bundle = Bundle.open(path)
    known = list(bundle.manifest.models)
    if wanted is None:
        wanted = "fp32" if "fp32" in known else known[0]
    chosen = known if wanted == ALL else [wanted]
    for precision in chosen:
        bundle.model(precision)
    return [ModelSource(str(path), path, bundle, precision) for precision in chosen]
