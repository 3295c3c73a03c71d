"""A bundle as a classifier, for evaluation: whatever backend runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.model.classifier import Classifier
from mmn_edge.runtime.backends.backend import Backend, open_backend
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import Preprocessing

__all__ = ["as_classifier", "open_classifier"]


@contextmanager
def open_classifier(
    bundle: Bundle,
    *,
    precision: str = "fp32",
    backend: str | None = None,
    threads: int | None = None,
    name: str | None = None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Iterator[Classifier]:
    """Load one of a bundle's models; it is released when the block ends.

    Args:
        bundle: The bundle.
        precision: One of its models.
        backend: One of :data:`mmn_edge.runtime.backends.backend.BACKENDS`; the default where None.
        threads: Threads within an operator; the backend's default where None.
        name: How tables call it; the bundle's path where None.
        on_note: As for :func:`mmn_edge.runtime.backends.backend.open_backend`.

    Raises:
        UsageError: No such backend.
        BundleError: No such precision, or the model cannot be loaded.
    """
    with open_backend(bundle, backend, precision=precision, threads=threads, on_note=on_note) as runner:
        yield as_classifier(bundle, runner, name=name)


def as_classifier(bundle: Bundle, runner: Backend, *, name: str | None = None) -> Classifier:
    """One of a bundle's models that is loaded already, as a classifier.

    Args:
        bundle: The bundle.
        runner: What runs the model.
        name: How tables call it; the bundle's path where None.
    """
    manifest = bundle.manifest
    arch = manifest.architecture

    def run(inputs: Mapping[str, FloatArray]) -> FloatArray:
        return runner.run(inputs).logits

    return Classifier(
        name=name or str(bundle.path),
        precision=runner.precision,
        backend=runner.name,
        architecture=arch,
        labels=manifest.labels,
        layout=layouts.get(manifest.layout) if manifest.layout else None,
        preprocessing=manifest.preprocessing or Preprocessing("joint", tuple(range(arch.num_joints)), ()),
        input=manifest.input,
        temperature=manifest.temperature,
        run=run,
        enough_seen=manifest.enough_seen,
        task=manifest.task,
        streams=" + ".join(entry["stream"] for entry in manifest.streams) or None,
        window=manifest.window,
    )
