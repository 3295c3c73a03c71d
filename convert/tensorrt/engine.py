"""ONNX to a TensorRT engine: strongly typed, so that the types are those of the ONNX file, with a dynamic batch.

One code path for ``tensorrt`` (10.3 to 11.x) and ``tensorrt_rtx``, and nothing else is imported: it runs on a Jetson
with JetPack's TensorRT and the base install. Names of the interface are those that 10.3, 10.13 and 11.4 share.
"""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.convert.tensorrt.builder_log import BuilderLog, Cancellation, Phases, cancellable, logger, monitor
from mmn_edge.convert.tensorrt.kernels import KernelReport, Product, match, read_kernels
from mmn_edge.convert.tensorrt.timing_cache import TimingCache
from mmn_edge.errors import EngineError, UsageError
from mmn_edge.system.files import sha256
from mmn_edge.system.tensorrt import CudaDevice, cuda_device, is_jetson, load_tensorrt

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["Build", "EngineOptions", "aimed", "build_engine"]

MIB = 1 << 20
RETRY_FROM_MIB = 4096
RETRY_DOWN_TO_MIB = 16
OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|bad_alloc|insufficient memory|could not be allocated|memory allocation", re.IGNORECASE
)


@dataclass(frozen=True)
class EngineOptions:
    """How to build.

    Attributes:
        max_batch: The largest number of windows at once. Kernels are chosen for one window, the usual case live; memory
            is reserved for the largest.
        workspace_mib: Limit of the scratch memory that a kernel may use; None means all of the device's.
        version_compatible: Let later TensorRT versions run the engine.
        hardware_compatible: Let other GPUs from Ampere on run it.
        compute_capabilities: Names such as ``"SM86"``, for ``tensorrt_rtx``, which needs no GPU then; empty means
            this machine's GPU.
    """

    max_batch: int = 8
    workspace_mib: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    compute_capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Build:
    """What a build did.

    Attributes:
        record: For the bundle's manifest.
        kernels: What the engine computes in which type.
        log: The builder's messages.
        seconds: How long it took.
    """

    record: EngineRecord
    kernels: KernelReport
    log: str
    seconds: float


def build_engine(
    model: Path,
    target: Path,
    *,
    precision: str,
    flavour: str,
    options: EngineOptions,
    timing_cache: TimingCache | None = None,
    on_progress: Callable[[float, str], None] = lambda share, phase: None,
) -> Build:
    """Build an engine of an ONNX file whose inputs have a dynamic axis 0.

    Where memory runs out the build is tried again with a quarter of the workspace, down to 16 MiB.

    Args:
        model: The ONNX file.
        target: The engine file to write.
        precision: What the model is called in its bundle.
        flavour: ``"tensorrt"`` or ``"tensorrt_rtx"``.
        options: How to build.
        timing_cache: Where timings of kernels are kept between builds.
        on_progress: Called with the share done and the builder's name of what it does, also from its threads.

    Raises:
        MissingDependencyError: TensorRT is not installed.
        UsageError: Options that do not fit the flavour.
        EngineError: There is no GPU, the model cannot be read, or the build failed; nothing was written.
        KeyboardInterrupt: The user stopped it.
    """
    options, device = aimed(flavour, options)
    log = BuilderLog()
    began = time.perf_counter()
    builder = _Builder(model, precision, flavour, timing_cache, log)
    with cancellable() as cancellation:
        attempt = options
        while True:
            products, failed = builder.attempt(target, attempt, Phases(on_progress), cancellation)
            if not failed or cancellation.asked:
                break
            smaller = _smaller(attempt.workspace_mib)
            if not OUT_OF_MEMORY.search(failed) or smaller is None:
                raise EngineError(_why(model, builder.version, failed, attempt.workspace_mib))
            log.add("WARNING", f"mmn-edge: out of memory; trying again with a workspace of {smaller} MiB")
            attempt = replace(attempt, workspace_mib=smaller)
    record = EngineRecord(
        file=target.name,
        precision=precision,
        flavour=flavour,
        tensorrt=builder.version,
        device=device.name if device else "",
        compute_capabilities=tuple(_dotted(name) for name in options.compute_capabilities),
        driver=device.driver if device else "",
        cuda=device.cuda if device else "",
        batch=(1, 1, options.max_batch),
        onnx_sha256=sha256(model),
        version_compatible=options.version_compatible,
        hardware_compatible=options.hardware_compatible,
        workspace_mib=attempt.workspace_mib,
    )
    return Build(record, match(products, read_kernels(log.kernels)), log.text(), time.perf_counter() - began)


class _Builder:
    """One model and how to build it; :meth:`attempt` may be called again with a smaller workspace."""

    def __init__(
        self,
        model: Path,
        precision: str,
        flavour: str,
        timing_cache: TimingCache | None,
        log: BuilderLog,
    ) -> None:
        self.model = model
        self.precision = precision
        self.flavour = flavour
        self.cache = timing_cache
        self.log = log
        self.version = str(load_tensorrt(flavour).__version__)

    def attempt(
        self, target: Path, options: EngineOptions, phases: Phases, cancellation: Cancellation
    ) -> tuple[tuple[Product, ...], str]:
        """Build and write; returns the model's products, and why it failed (empty if it did not)."""
        if not TYPE_CHECKING:
            trt = load_tensorrt(self.flavour)
        # The log is written in Python while TensorRT holds a lock. If the garbage collector wakes there and finds the
        # builder of an earlier failure, whose traceback kept it, its release waits for that lock for ever.
        gc.collect()
        self.log.errors.clear()
        self.log.kernels.clear()
        messages = logger(self.flavour, self.log)
        try:
            builder = trt.Builder(messages)
        except TypeError as error:  # the binding's way to say that the library gave it none
            raise EngineError(f"TensorRT {self.version} does not start: {_last(self.log.errors) or error}") from error
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, messages)
        if not parser.parse_from_file(str(self.model)) or parser.num_errors:
            raise EngineError(
                f"TensorRT {self.version} cannot read {self.model.name}: {_parser_errors(parser) or 'no reason given'}"
            )
        products = _products(self.flavour, network)
        config = builder.create_builder_config()
        config.progress_monitor = monitor(self.flavour, phases, cancellation)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            rest = [tensor.shape[axis] for axis in range(1, len(tensor.shape))]
            smallest, largest = trt.Dims([1, *rest]), trt.Dims([options.max_batch, *rest])
            profile.set_shape(tensor.name, smallest, smallest, largest)
        config.add_optimization_profile(profile)
        self._configure(config, options)
        plan: Any = builder.build_serialized_network(network, config)  # bytes, which its type does not say
        if plan is None:
            return products, "; ".join(self.log.errors) or "the builder gave no reason"
        with target.open("wb") as file:
            file.write(plan)
        if self.cache is not None:
            self.cache.keep(config)
        return products, ""

    def _configure(self, config: trt.IBuilderConfig, options: EngineOptions) -> None:
        if not TYPE_CHECKING:
            trt = load_tensorrt(self.flavour)
        if options.workspace_mib is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
        if self.precision == "fp32":
            # TF32 has half precision's 10 bits of fraction, and what is called fp32 is what others are held against.
            config.clear_flag(trt.BuilderFlag.TF32)
        if options.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        if self.flavour == "tensorrt_rtx":
            _set_compute_capabilities(config, load_tensorrt(self.flavour), options.compute_capabilities)
        elif self.cache is not None:
            self.cache.give(config)


def aimed(flavour: str, options: EngineOptions) -> tuple[EngineOptions, CudaDevice | None]:
    """The options with the compute capabilities that are meant, and the GPU that kernels are timed on.

    Raises:
        UsageError: Options of the other flavour, unknown compute capabilities, or sizes that make no sense.
        EngineError: There is no GPU, and one is needed.
    """
    module = load_tensorrt(flavour)
    if options.max_batch < 1 or (options.workspace_mib is not None and options.workspace_mib < 1):
        raise UsageError("the largest batch and the workspace are at least 1")
    device = cuda_device()
    if flavour == "tensorrt":
        if options.compute_capabilities:
            raise UsageError(
                "TensorRT builds for the GPU of the machine it runs on: a compute capability is for tensorrt_rtx"
            )
        if device is None:
            raise EngineError(
                "TensorRT builds an engine on the GPU that is to run it, and no NVIDIA GPU was found here: copy the "
                "bundle to that machine and build there"
            )
        if options.hardware_compatible and is_jetson():
            raise UsageError("TensorRT builds no hardware-compatible engines on a Jetson: leave that option out")
        return replace(options, compute_capabilities=(_name(device.compute_capability),)), device
    if options.version_compatible or options.hardware_compatible:
        raise UsageError(
            "engines of TensorRT for RTX run in the version that built them only, and are chosen for several GPUs by "
            "naming more than one compute capability: version- and hardware-compatible are for tensorrt"
        )
    wanted = options.compute_capabilities
    if not wanted and device is None:
        raise EngineError(
            "no NVIDIA GPU was found here: name the compute capability of the one that is to run the engine, such as "
            "--compute-capability SM86 (RTX 30), SM89 (RTX 40) or SM120 (RTX 50)"
        )
    wanted = wanted or (_name(device.compute_capability if device else ""),)
    known = [name for name in module.ComputeCapability.__members__ if name.startswith("SM")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(f"unknown compute capability {', '.join(unknown)}: this one knows {', '.join(known)}")
    # The engine is made for what is named, not on and for this GPU: its kernels are compiled where it is loaded.
    return replace(options, compute_capabilities=wanted), None


def _name(capability: str) -> str:
    """``"8.6"`` as ``"SM86"``."""
    return "SM" + capability.replace(".", "")


def _dotted(name: str) -> str:
    """``"SM120"`` as ``"12.0"``."""
    digits = name.removeprefix("SM")
    return f"{digits[:-1]}.{digits[-1]}"


def _set_compute_capabilities(config: Any, trt: Any, names: tuple[str, ...]) -> None:
    """Say what to build for; untyped, since ``tensorrt`` has it in newer versions only."""
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        config.set_compute_capability(trt.ComputeCapability.__members__[name], index)


def _products(flavour: str, network: trt.INetworkDefinition) -> tuple[Product, ...]:
    """The convolutions and matrix products of a parsed network, with their operands' types."""
    if not TYPE_CHECKING:
        trt = load_tensorrt(flavour)
    kinds = {
        trt.LayerType.CONVOLUTION: "convolution",
        trt.LayerType.DECONVOLUTION: "convolution",
        trt.LayerType.MATRIX_MULTIPLY: "matrix product",
        trt.LayerType.EINSUM: "matrix product",
    }
    names = {trt.float32: "float", trt.float16: "half"}
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    made = {layer.get_output(index).name: layer for layer in layers for index in range(layer.num_outputs)}
    found = []
    for layer in layers:
        if layer.type not in kinds:
            continue
        tensor = layer.get_input(0)
        source = made.get(tensor.name)
        while source is not None and source.type == trt.LayerType.SHUFFLE:  # the parser's broadcast
            source = made.get(source.get_input(0).name)
        quantized = source is not None and source.type == trt.LayerType.DEQUANTIZE
        found.append(
            Product(_origin(layer), kinds[layer.type], "int8" if quantized else names.get(tensor.dtype, "other"))
        )
    return tuple(found)


def _origin(layer: trt.ILayer) -> str:
    """The ONNX node that a layer was parsed from; its own name may have got a number."""
    found = re.fullmatch(r"\[ONNX Layer: (.*)\]", layer.metadata)
    return found[1] if found else layer.name


def _parser_errors(parser: trt.OnnxParser) -> str:
    """What the parser could not take, node by node."""
    texts = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        node = f"node {error.node()}" + (f", {error.node_name()}" if error.node_name() else "")
        operator = f" ({error.node_operator()})" if error.node_operator() else ""
        texts.append(f"{node}{operator}: {error.code().name}, {_line(error.desc())}")
    return "; ".join(dict.fromkeys(texts))


def _why(model: Path, version: str, failed: str, workspace_mib: int | None) -> str:
    """The sentence for a build that failed."""
    text = f"TensorRT {version} could not build {model.name}: {_line(failed)}"
    if OUT_OF_MEMORY.search(failed):
        limit = "with all memory" if workspace_mib is None else f"with a workspace of {workspace_mib} MiB"
        text += (
            f". Memory ran out ({limit}): end other programs, add swap, and try a smaller --workspace and --max-batch"
        )
    return text


def _smaller(workspace_mib: int | None) -> int | None:
    """The workspace to try after memory ran out; None where it is small already."""
    smaller = RETRY_FROM_MIB // 4 if workspace_mib is None else workspace_mib // 4
    return smaller if smaller >= RETRY_DOWN_TO_MIB else None


def _line(text: str) -> str:
    return " ".join(text.split())


def _last(messages: list[str]) -> str:
    return _line(messages[-1]) if messages else ""
