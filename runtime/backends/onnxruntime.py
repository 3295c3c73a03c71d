"""ONNX Runtime: on the CPU, the default of machines without an engine, or by one of its providers for NVIDIA GPUs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmn_edge.errors import BundleError, MissingDependencyError
from mmn_edge.runtime.backends.backend import Output
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system.extras import check_half_scales, load_onnxruntime, session_options

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CPU", "PROVIDERS", "OnnxRuntimeBackend", "Provider"]


@dataclass(frozen=True, slots=True)
class Provider:
    """What ONNX Runtime runs a model with.

    Attributes:
        label: For reports.
        names: ONNX Runtime's names, the wanted one first, then those that take the operators which it leaves.
        package: What brings it.
    """

    label: str
    names: tuple[str, ...]
    package: str


CPU = Provider("CPU", ("CPUExecutionProvider",), "onnxruntime")

GPU_PACKAGE = "onnxruntime-gpu (on a Jetson NVIDIA's build of it)"

PROVIDERS = {
    "onnxruntime": CPU,
    "onnxruntime-cuda": Provider("CUDA", ("CUDAExecutionProvider", *CPU.names), GPU_PACKAGE),
    "onnxruntime-tensorrt": Provider(
        "TensorRT", ("TensorrtExecutionProvider", "CUDAExecutionProvider", *CPU.names), GPU_PACKAGE
    ),
    "onnxruntime-tensorrt-rtx": Provider(
        "TensorRT-RTX", ("NvTensorRTRTXExecutionProvider", *CPU.names), "onnxruntime-trt-rtx"
    ),
}
"""Backend name -> provider."""


class OnnxRuntimeBackend:
    """Runs an ONNX file.

    Args:
        model: The file.
        precision: Which of a bundle's models it is.
        threads: Threads within an operator; None means ONNX Runtime's default, one a physical core.
        provider: What runs it.
        spinning: Whether idle threads look out for the next run instead of sleeping: a few percent faster where runs
            follow at once, and three times the CPU's work where they do not.
        profiling: A folder where its profiler writes, which :meth:`operator_times` reads; it makes calls slower.
    """

    def __init__(
        self,
        model: Path,
        *,
        precision: str = "fp32",
        threads: int | None = None,
        provider: Provider = CPU,
        spinning: bool = True,
        profiling: Path | None = None,
    ) -> None:
        self._model = model
        self._precision = precision
        self._threads = threads
        self._provider = provider
        self._spinning = spinning
        self._profiling = profiling
        self._session: Any = None

    @property
    def batches(self) -> bool:
        """Not on a CPU: two windows at once take twice as long as one (``docs/explanation/deploy-graph.md``)."""
        return self._provider is not CPU

    @property
    def name(self) -> str:
        """What runs the model."""
        onnxruntime = load_onnxruntime()
        return f"onnxruntime {onnxruntime.__version__} {self._provider.label}"

    @property
    def precision(self) -> str:
        """Which of the bundle's models it runs."""
        return self._precision

    def __enter__(self) -> Self:
        onnxruntime = load_onnxruntime()
        if self._provider is CPU:
            check_half_scales(self._precision)
        wanted = self._provider.names[0]
        available = onnxruntime.get_available_providers()
        if wanted not in available:
            raise MissingDependencyError(
                f"this ONNX Runtime {onnxruntime.__version__} has no {wanted} (it has {', '.join(available)}): install "
                f"{self._provider.package} in its place"
            )
        options = session_options(self._threads, spinning=self._spinning)
        if self._profiling is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(self._profiling / "operators")
        try:
            self._session = onnxruntime.InferenceSession(
                str(self._model),
                options,
                providers=[name for name in self._provider.names if name in available],
            )
        except Exception as error:  # its exceptions share no base class
            raise BundleError(f"ONNX Runtime cannot load {self._model}: {error}") from error
        used = self._session.get_providers()
        if wanted not in used:  # it goes on with the CPU in silence where a provider's libraries do not load
            self._session = None
            raise MissingDependencyError(
                f"ONNX Runtime could not start {wanted} and fell back to {', '.join(used)}: see that its CUDA and "
                "TensorRT libraries are of the versions that this ONNX Runtime was built for"
            )
        return self

    def __exit__(self, *error: object) -> None:
        self._session = None

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        """Run a batch of windows."""
        logits, probabilities = self._session.run(["logits", "probabilities"], dict(inputs))
        return Output(logits, probabilities)

    def operator_times(self) -> list[tuple[str, str, float]]:
        """End profiling: name, kind and milliseconds of every operator, once for each call.

        A file of ONNX Runtime's profiler holds Chrome trace events; those of operators are of category ``Node``, and
        ``dur`` is in microseconds
        (https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html).
        """
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        return [
            (event["name"].removesuffix("_kernel_time"), event["args"]["op_name"], event["dur"] / 1e3)
            for event in events
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        ]
