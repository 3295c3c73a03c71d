"""Build PyCUDA against a libcuda that needs no GPU, for tests of the runner's logic.

    python tools/stub_cuda.py         # prints the stub library and the folder that holds pycuda

PyCUDA is the real one, compiled from its source and NVIDIA's headers, so that its rules about contexts and threads are
the real ones. The library below it is ``tools/libcuda.c``. What is built is kept in the cache (``tools/downloads.py``);
the first time takes about 40 seconds of one core.
"""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
from pathlib import Path

from downloads import Unavailable, download, fingerprint, kept, run, unzip

PYCUDA = "pycuda==2026.1"
HEADERS = "nvidia-cuda-runtime-cu12==12.9.79"

PROFILER_HEADER = """\
#include <cuda.h>
typedef enum CUoutput_mode_enum { CU_OUT_KEY_VALUE_PAIR = 0, CU_OUT_CSV = 1 } CUoutput_mode;
extern "C" {
CUresult cuProfilerInitialize(const char *, const char *, CUoutput_mode);
CUresult cuProfilerStart(void);
CUresult cuProfilerStop(void);
}
"""
"""``cudaProfiler.h``, which the headers' package lacks."""

SETTINGS = """\
CUDA_ROOT = "/nonexistent"
CUDA_INC_DIR = [{include!r}]
CUDADRV_LIB_DIR = [{library!r}]
CUDA_ENABLE_CURAND = False
CXXFLAGS = ["-O0", "-g0", "-w"]
"""

LINKED = "int cuInit(unsigned flags) { return (int)flags; }\n"
"""What PyCUDA is linked with: one symbol that it uses, or the linker would leave the library out."""

NOT_SUPPORTED = 801
BUILD_SECONDS = 500


def pycuda() -> Path:
    """The folder that holds the package ``pycuda``.

    Raises:
        Unavailable: Its source, the headers or a C++ compiler is not to be had.
    """
    archive, headers = download(PYCUDA, source=True), download(HEADERS)
    with kept(f"pycuda/{fingerprint(Path(__file__))}") as (folder, complete):
        site = folder / "site"
        if not complete:
            unzip(headers, folder)
            include = folder / "nvidia" / "cuda_runtime" / "include"
            (include / "cudaProfiler.h").write_text(PROFILER_HEADER, encoding="utf-8")
            _library(folder / "libcuda.so", LINKED)
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")
            (source,) = folder.glob("pycuda-*")
            settings = SETTINGS.format(include=str(include), library=str(folder))
            (source / "siteconf.py").write_text(settings, encoding="utf-8")
            command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(site)]
            run(command, cwd=source, seconds=BUILD_SECONDS)
            shutil.copytree(source / "pycuda", site / "pycuda", dirs_exist_ok=True)
            shutil.rmtree(source)
            shutil.rmtree(folder / "nvidia")
    return site


def library(site: Path) -> Path:
    """The stub ``libcuda.so.1``, with all that PyCUDA asks a libcuda for."""
    source = Path(__file__).with_name("libcuda.c")
    with kept(f"libcuda/{fingerprint(Path(__file__), source)}") as (folder, complete):
        result = folder / "libcuda.so.1"
        if not complete:
            text = source.read_text(encoding="utf-8")
            (extension,) = (site / "pycuda").glob("_driver*.so")
            wanted = set(re.findall(r"\bU (cu\w+)", run(["nm", "-D", "-u", str(extension)])))
            there = set(re.findall(r"^Result (cu\w+)\(", text, re.MULTILINE))
            rest = "".join(f"Result {name}(void) {{ return {NOT_SUPPORTED}; }}\n" for name in sorted(wanted - there))
            _library(result, text + rest)
    return result


def _library(target: Path, text: str) -> None:
    source = target.with_suffix(".c")
    source.write_text(text, encoding="utf-8")
    options = ["-shared", "-fPIC", "-Wall", "-Werror", "-Wl,-soname,libcuda.so.1"]
    run(["cc", *options, "-o", str(target), str(source), "-ldl", "-lpthread"])


def main() -> None:
    """Print both paths, or say what is not to be had and leave with 3."""
    try:
        site = pycuda()
        print(library(site), site, sep="\n")
    except Unavailable as error:
        print(error, file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
