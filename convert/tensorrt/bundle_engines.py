"""Engines for a bundle's models, built one after the other and put into the bundle, each as soon as it is there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import engine_file
from mmn_edge.bundle.writing import add_engine
from mmn_edge.convert.tensorrt.engine import Build, EngineOptions, aimed, build_engine
from mmn_edge.convert.tensorrt.timing_cache import TimingCache
from mmn_edge.errors import UsageError
from mmn_edge.system.tensorrt import load_tensorrt

__all__ = ["build_engines", "engine_precisions"]


def engine_precisions(bundle: Bundle, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The models of a bundle to build engines of.

    Args:
        bundle: The bundle.
        wanted: Precisions by name; None means all but fp32, or fp32 where there is nothing else.

    Raises:
        BundleError: The bundle has no such model.
        UsageError: ``wanted`` is empty.
    """
    models = bundle.manifest.models
    if wanted is None:
        return tuple(name for name in models if name != "fp32") or tuple(models)
    if not wanted:
        raise UsageError(f"no precision was named: choose of {', '.join(models)}")
    for name in wanted:
        bundle.model(name)
    return tuple(name for name in models if name in wanted)


def build_engines(
    path: Path,
    precisions: Sequence[str] | None,
    *,
    flavour: str,
    options: EngineOptions,
    on_progress: Callable[[str, float, str], None] = lambda precision, share, phase: None,
) -> Iterator[Build]:
    """Build engines and put each into the bundle, with the builder's log and the list of kernels beside it.

    Args:
        path: The bundle; engines in it that are damaged are replaced or left out.
        precisions: As for :func:`engine_precisions`.
        flavour: ``"tensorrt"`` or ``"tensorrt_rtx"``.
        options: How to build.
        on_progress: Called with the precision, the share of its build that is done, and the builder's phase.

    Yields:
        What each build did; the bundle holds its engine by then.

    Raises:
        MissingDependencyError: TensorRT is not installed.
        UsageError: Options or precisions that make no sense.
        BundleError: The bundle is not sound.
        EngineError: A build failed; engines that were built before stay.
    """
    _, device = aimed(flavour, options)
    bundle = Bundle.open(path, repair=True)
    cache = TimingCache(str(load_tensorrt(flavour).__version__), device) if device is not None else None
    for precision in engine_precisions(bundle, precisions):

        def report(share: float, phase: str, precision: str = precision) -> None:
            on_progress(precision, share, phase)

        with tempfile.TemporaryDirectory(prefix="mmn-edge-engine-") as name:
            folder = Path(name)
            target = folder / engine_file(precision, flavour)
            build = build_engine(
                bundle.model(precision),
                target,
                precision=precision,
                flavour=flavour,
                options=options,
                timing_cache=cache,
                on_progress=report,
            )
            target.with_suffix(".log").write_text(build.log, encoding="utf-8")
            text = json.dumps({"seconds": round(build.seconds, 1), **build.kernels.to_dict()}, indent=1)
            target.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
            add_engine(path, build.record, folder)
        yield build
