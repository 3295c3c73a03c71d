"""TensorRT's timings of kernels, kept between builds, so that a second build takes a part of the first one's time.

Timings hold for one GPU and one version, not for one model, and lie where caches lie: below ``$XDG_CACHE_HOME`` or
``~/.cache``, outside of bundles. TensorRT for RTX has no use for one (and would look for a GPU because of it).
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmn_edge.system.files import atomic_file

if TYPE_CHECKING:
    import tensorrt as trt

    from mmn_edge.system.tensorrt import CudaDevice

__all__ = ["TimingCache", "cache_folder"]


def cache_folder() -> Path:
    """Where mmn-edge keeps what it can make again."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "mmn-edge"


class TimingCache:
    """The timings of one GPU under one version of TensorRT.

    Args:
        version: TensorRT's.
        device: The GPU.
        folder: Where the file lies; None means :func:`cache_folder`.
    """

    def __init__(self, version: str, device: CudaDevice, folder: Path | None = None) -> None:
        name = f"{version}-{device.name}-{device.compute_capability}"
        self.path = (folder or cache_folder()) / f"timing-{re.sub(r'[^0-9A-Za-z.-]+', '_', name)}.cache"

    def give(self, config: trt.IBuilderConfig) -> None:
        """Let a build use what is known; a file that TensorRT does not take is as good as none."""
        for content in (self.read(), b""):
            with contextlib.suppress(TypeError):  # it has no cache for what it cannot read
                if config.set_timing_cache(config.create_timing_cache(content), False):
                    return

    def keep(self, config: trt.IBuilderConfig) -> None:
        """Write what the build has measured; a full or read-only disk costs the next build time, and nothing else."""
        content: Any = config.get_timing_cache().serialize()  # bytes, which its type does not say
        with contextlib.suppress(OSError), atomic_file(self.path) as partial:
            partial.write_bytes(content)

    def read(self) -> bytes:
        """What is known; empty where nothing is."""
        try:
            return self.path.read_bytes()
        except OSError:
            return b""
