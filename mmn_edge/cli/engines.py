"""TensorRT engines on the command line: options of ``mmn-edge convert --engine``, and building before a first run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import EngineRecord, misfits
from mmn_edge.cli import terminal
from mmn_edge.errors import UsageError
from mmn_edge.system import machine
from mmn_edge.system.tensorrt import device_facts, load_tensorrt

if TYPE_CHECKING:
    from mmn_edge.convert.tensorrt.engine import Build, EngineOptions
    from mmn_edge.runtime.backends.backend import Backend

__all__ = ["EngineRequest", "build", "check", "engine_options", "open_ready", "ready", "ready_engine"]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class EngineRequest:
    """What ``--engine`` and its options ask for; see :class:`mmn_edge.convert.tensorrt.engine.EngineOptions`."""

    max_batch: int | None = None
    workspace: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    compute_capability: str | None = None

    def flavour(self) -> str:
        """``tensorrt_rtx`` where a compute capability is named; else ``tensorrt`` where that is installed.

        Raises:
            MissingDependencyError: It is not installed.
        """
        return load_tensorrt("tensorrt_rtx" if self.compute_capability else None).__name__

    def options(self) -> EngineOptions:
        """The same for the builder."""
        from mmn_edge.convert.tensorrt.engine import EngineOptions

        names = self.compute_capability.upper().split(",") if self.compute_capability else ()
        return EngineOptions(
            max_batch=self.max_batch or EngineOptions.max_batch,
            workspace_mib=self.workspace,
            version_compatible=self.version_compatible,
            hardware_compatible=self.hardware_compatible,
            compute_capabilities=tuple(names),
        )


OPTIONS = (
    click.option(
        "--engine",
        is_flag=True,
        help="Build TensorRT engines on this machine and for it; CHECKPOINT may be a bundle. Default precisions: all "
        "but fp32.",
    ),
    click.option(
        "--max-batch",
        type=click.IntRange(1, 256),
        metavar="N",
        help="With --engine: windows (persons) at once. Memory is reserved for so many.  [default: 8]",
    ),
    click.option(
        "--workspace",
        type=click.IntRange(min=1),
        metavar="MIB",
        help="With --engine: limit of a kernel's scratch memory; a low one rules kernels out.  [default: all memory, "
        "and less where that does not suffice]",
    ),
    click.option(
        "--version-compatible",
        is_flag=True,
        help="With --engine: also for later TensorRT versions. Costs: slower kernels may be chosen, and the engine "
        "holds a runtime of its own, code that is run when it is loaded: load it from trusted places only.",
    ),
    click.option(
        "--hardware-compatible",
        is_flag=True,
        help="With --engine: also for other GPUs from Ampere on; not on a Jetson. Costs: fewer kernels and fusions to "
        "choose from, at most 48 KiB of shared memory.",
    ),
    click.option(
        "--compute-capability",
        metavar="LIST",
        help="With --engine: build with TensorRT for RTX for these, such as SM86,SM89, without a GPU.",
    ),
)


def engine_options(command: Command) -> Callable[..., Any]:
    """Give a command the options of engines, which reach it as ``engine``: an EngineRequest, or None without --engine.

    The command raises UsageError where options of engines are given without ``--engine``.
    """

    @functools.wraps(command)
    def wrapped(
        *,
        engine: bool,
        max_batch: int | None,
        workspace: int | None,
        version_compatible: bool,
        hardware_compatible: bool,
        compute_capability: str | None,
        **rest: Any,
    ) -> Any:
        request = EngineRequest(max_batch, workspace, version_compatible, hardware_compatible, compute_capability)
        if not engine and request != EngineRequest():
            raise UsageError("options of an engine were given without --engine")
        return command(engine=request if engine else None, **rest)

    for option in reversed(OPTIONS):
        option(wrapped)
    return wrapped


def check(request: EngineRequest) -> None:
    """Find out whether engines can be built here, before what comes first takes minutes.

    Raises:
        MissingDependencyError: TensorRT is not installed.
        UsageError: Options that make no sense here.
        EngineError: There is no GPU, and one is needed.
    """
    from mmn_edge.convert.tensorrt.engine import aimed

    aimed(request.flavour(), request.options())


def build(
    path: Path,
    request: EngineRequest,
    precisions: Sequence[str] | None = None,
    *,
    flavour: str | None = None,
    err: bool = False,
) -> Bundle:
    """Build engines of a bundle's models with a progress bar, and print what came out.

    Args:
        path: The bundle.
        request: How to build.
        precisions: Models to build engines of; None means all but fp32, or fp32 where there is nothing else.
        flavour: One of :data:`mmn_edge.system.tensorrt.FLAVOURS`; None means the request's.
        err: Print to standard error; standard output then belongs to what is done with the engine.

    Raises:
        MissingDependencyError: TensorRT is not installed.
        UsageError: Options that make no sense here.
        BundleError: The bundle is not sound, or an engine cannot be built.
    """
    from rich.progress import TimeElapsedColumn

    from mmn_edge.convert.tensorrt.bundle_engines import build_engines

    with terminal.bar(TimeElapsedColumn(), count=False) as progress:
        task = progress.add_task("starting TensorRT", total=1)

        def on_progress(precision: str, share: float, phase: str) -> None:
            progress.update(task, completed=share, description=f"{precision} engine: {phase.lower()}")

        builds = build_engines(
            path,
            precisions,
            flavour=flavour or request.flavour(),
            options=request.options(),
            on_progress=on_progress,
        )
        for built in builds:
            progress.stop()  # what follows may be for standard output
            _report(path, built, err=err)
            progress.reset(task)
            progress.start()
    return Bundle.open(path)


def ready_engine(path: Path, precision: str, flavour: str | None = None, *, batch: int | None = None) -> EngineRecord:
    """The engine of a bundle for this machine; built now, with a message and progress, where none fits.

    Args:
        path: The bundle.
        precision: One of its models.
        flavour: One of :data:`mmn_edge.system.tensorrt.FLAVOURS`; None takes the first that is installed.
        batch: The largest number of windows at once that it must take; None leaves that open.

    Raises:
        MissingDependencyError: TensorRT is not installed.
        BundleError: The bundle is not sound, there is no GPU, or the engine cannot be built.
    """
    flavour = load_tensorrt(flavour).__name__
    facts = device_facts(flavour)
    bundle = Bundle.open(path, repair=True)
    onnx_sha256 = bundle.model_sha256(precision)
    reason = "there is none in the bundle"
    for record in bundle.manifest.engines:
        if (record.precision, record.flavour) == (precision, flavour):
            wrong = misfits(record, facts, onnx_sha256, batch=batch)
            if not wrong:
                return record
            reason = "; ".join(wrong)
    click.echo(
        f"building the {precision} engine of {path} for {facts.device}, once; this can take minutes ({reason})",
        err=True,
    )
    return build(path, EngineRequest(max_batch=batch), [precision], flavour=flavour, err=True).engine(
        precision, flavour
    )


def ready(path: Path, backend: str | None, precision: str | None) -> tuple[Bundle, str | None]:
    """A bundle to run, with the engine that a backend for engines needs: built now where none fits.

    Returns:
        The bundle, and the precision to run: the one asked for, or the advised one, or that of the newest engine, or
        fp16, or fp32.

    Raises:
        MissingDependencyError: TensorRT or PyCUDA is not installed, and one of them is needed.
        BundleError: The bundle is not sound, or an engine cannot be built.
    """
    from mmn_edge.runtime.backends.backend import ENGINE_BACKENDS, find_engines

    flavour = ENGINE_BACKENDS.get(backend or "")
    if flavour is None:
        bundle = Bundle.open(path)
        return bundle, precision or _advised(bundle)
    from mmn_edge.runtime.backends.tensorrt.cuda import load_driver

    load_tensorrt(flavour)
    load_driver()  # or minutes would be spent on an engine that nothing runs
    bundle = Bundle.open(path, repair=True)
    if precision is None:
        built = find_engines(bundle, flavour=flavour)
        precision = _advised(bundle)
        if precision is None and built:
            precision = built[0].precision
        elif precision is None:
            precision = "fp16" if "fp16" in bundle.manifest.models else bundle.default_precision
    ready_engine(path, precision, flavour)
    return Bundle.open(path), precision


def _advised(bundle: Bundle) -> str | None:
    """The advised precision, if any; where the advice is from another machine, that is said."""
    advice = bundle.manifest.advice
    if advice is None:
        return None
    if note := advice.elsewhere(machine.describe()):
        click.echo(note, err=True)
    return advice.precision


def open_ready(
    path: Path, backend: str | None, *, precision: str | None, threads: int | None, live: bool = False
) -> tuple[Bundle, Backend]:
    """A bundle and its backend, not yet loaded; on the way an engine may be built. Notes go to standard error.

    Args:
        path: The bundle.
        backend: As for :func:`mmn_edge.runtime.backends.backend.open_backend`, like the rest.
        precision: See there.
        threads: See there.
        live: See there.
    """
    from mmn_edge.runtime.backends.backend import open_backend

    bundle, precision = ready(path, backend, precision)
    note = functools.partial(click.echo, err=True)
    return bundle, open_backend(bundle, backend, precision=precision, threads=threads, live=live, on_note=note)


def _report(path: Path, built: Build, *, err: bool) -> None:
    """Print where the engine is, what it is for, and what it computes in which type."""
    record, kernels = built.record, built.kernels
    size = (path / record.file).stat().st_size
    target = record.device or f"compute capability {', '.join(record.compute_capabilities)}"
    click.echo(
        f"built {path / record.file}: {size / 1e6:.1f} MB in {built.seconds:.0f} s, {record.flavour} {record.tensorrt} "
        f"for {target}, {record.batch[0]} to {record.batch[2]} windows",
        err=err,
    )
    head, *body = kernels.rows()
    for row in (head, *body):
        click.echo(f"  {row[0]:16}" + "".join(f"{cell:>8}" for cell in row[1:]), err=err)
    if kernels.unseen and not body:
        click.echo("  this TensorRT's log does not list its kernels", err=err)
    elif kernels.unseen:
        click.echo(f"  not found among the kernels: {', '.join(kernels.unseen)}", err=True)
    for line in kernels.wrong:
        click.echo(f"  warning: {line}", err=True)
