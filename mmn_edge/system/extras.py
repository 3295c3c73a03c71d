"""Optional packages: import one, or say in one sentence what is missing and how to install it."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from mmn_edge.errors import MissingDependencyError

__all__ = [
    "check_half_scales",
    "half_scales_work",
    "load_onnxruntime",
    "load_openvino",
    "require",
    "session_options",
]

LOG_ERRORS_ONLY = 3

HALF_SCALES_FROM = (1, 30)
"""Earlier ONNX Runtimes give wrong values, and no error, where scales are of half precision (tried: 1.23 to 1.32)."""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import ``module`` and return it.

    Args:
        module: The import name, such as ``"torch"``.
        extra: The extra of mmn-edge that brings it, such as ``"convert"``.
        purpose: What needs it, as the subject of a sentence: ``"Converting a checkpoint"``.

    Raises:
        MissingDependencyError: The package, or a package that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        reason = "is not installed" if absent else f"cannot be imported ({error})"
        raise MissingDependencyError(
            f'{purpose} needs {module}, which {reason}: install it with: pip install "mmn-edge[{extra}]"'
        ) from error


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off, unless the user's environment says otherwise.

    The official Linux builds since 1.29 report to Microsoft from the moment of their import, which nobody expects of a
    program that watches people (https://github.com/microsoft/onnxruntime, pull request 27379).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


def session_options(threads: int | None = None, *, spinning: bool = True) -> Any:
    """ONNX Runtime's options, for every session: errors alone are logged, and 8-bit sums are exact.

    On x86 processors without VNNI its fast kernels add products of 8 bits in pairs, into 16 bits, and cut off what
    does not fit. Its option for that (onnxruntime_session_options_config_keys.h) changes nothing on other processors.

    Args:
        threads: Threads within an operator; None means ONNX Runtime's default, one a physical core.
        spinning: Whether its threads look out for work before they sleep.
    """
    options = load_onnxruntime().SessionOptions()
    options.log_severity_level = LOG_ERRORS_ONLY
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def load_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which reports every import to Google Analytics.

    Where the package ``openvino_telemetry`` is absent, OpenVINO takes a stub of its own: so it is made to look absent,
    unless it was imported before, which is then the user's own doing.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return require("openvino", extra="openvino", purpose="The backend openvino")


def half_scales_work() -> bool:
    """Whether this ONNX Runtime computes models of precision ``int8-fp16`` as they are meant."""
    version = str(load_onnxruntime().__version__)
    return tuple(int(part) for part in version.split(".")[:2]) >= HALF_SCALES_FROM


def check_half_scales(precision: str) -> None:
    """Refuse to run a model of precision ``int8-fp16`` in an ONNX Runtime that would compute it wrongly.

    Raises:
        MissingDependencyError: ONNX Runtime is too old for it.
    """
    if precision == "int8-fp16" and not half_scales_work():
        oldest = ".".join(map(str, HALF_SCALES_FROM))
        raise MissingDependencyError(
            f"onnxruntime {load_onnxruntime().__version__} computes int8-fp16 models wrongly (engines do not): install "
            f'a later one, which Python 3.10 does not have: pip install "onnxruntime>={oldest}"'
        )
