"""Make type stubs of TensorRT's Python interface, of each version that mmn-edge is to work with.

    python tools/tensorrt_stubs.py            # prints the folder of each version, one a line

PyPI has the real bindings of TensorRT, a small extension module, apart from the libraries (gigabytes, and not needed to
know an interface). They are imported against empty libraries that have the few symbols they ask for, and
pybind11-stubgen writes down what it finds. So the stubs say what names and signatures there are, as NVIDIA compiled
them. They cannot say that a call works.

What is made is kept in the cache (``tools/downloads.py``) and never committed.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from downloads import Unavailable, download, fingerprint, kept, run, unzip

BINDINGS = {
    "10.3.0": "tensorrt-cu12-bindings",  # JetPack 6.1 and 6.2
    "10.13.3.9": "tensorrt-cu13-bindings",  # JetPack 7
    "11.4.0.106": "tensorrt-cu13-bindings",  # the newest
}
"""Version -> package."""

LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")
MISSING = re.compile(r"^\s*U ((?:create|get|init)\w+)$", re.MULTILINE)
"""What the bindings take from TensorRT's libraries, in the words of nm; all else is Python's, C's and C++'s."""

REPAIRS = (
    # C++ allows a parameter called "in", and one without a default after one with a default.
    (re.compile(r"^(    def \w+\(.*)\bin: ", re.MULTILINE), r"\1in_: "),
    (re.compile(r"(Weights = None, channel_axis: [\w.]+)\)"), r"\1 = ...)"),
    # TensorRT has a constant of the name "bool", which hides Python's.
    (re.compile(r"^( *def .*-> | +\w+: )bool(?=:?$)", re.MULTILINE), r"\1builtins.bool"),
    (re.compile(r"(?<=: )bool(?=[,)]| =)"), "builtins.bool"),
    (re.compile(r"^from __future__ import annotations$", re.MULTILINE), r"\g<0>\nimport builtins"),
)
"""What to replace in stubs, since pybind11-stubgen takes NVIDIA's signatures as they are."""


def stubs(version: str) -> Path:
    """The folder of the stubs of one version, to be named in mypy's path.

    Raises:
        Unavailable: The bindings, a C compiler or pybind11-stubgen is not to be had.
    """
    wheel = download(f"{BINDINGS[version]}=={version}")
    with kept(f"tensorrt-stubs/{version}-{fingerprint(Path(__file__))}") as (folder, complete):
        result = folder / "stubs"
        if not complete:
            unzip(wheel, folder)
            (folder / "tensorrt_bindings").rename(folder / "tensorrt")  # as the package that users install calls it
            _empty_libraries(folder, version.partition(".")[0])
            paths = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
            run([_stubgen(), "--ignore-all-errors", "-o", str(result), "tensorrt"], env=paths)
            for file in result.rglob("*.pyi"):
                text = file.read_text(encoding="utf-8")
                for wrong, right in REPAIRS:
                    text = wrong.sub(right, text)
                file.write_text(text, encoding="utf-8")
    return result


def _empty_libraries(folder: Path, major: str) -> None:
    """Compile libraries whose functions all return null."""
    names = MISSING.findall(run(["nm", "-D", "-u", str(folder / "tensorrt" / "tensorrt.so")]))
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in names), encoding="utf-8")
    for library in LIBRARIES:
        target = f"lib{library}.so.{major}"
        run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{target}", "-o", str(folder / target), str(source)])


def _stubgen() -> str:
    beside = Path(sys.executable).with_name("pybind11-stubgen")
    return os.fspath(beside) if beside.exists() else "pybind11-stubgen"


def main() -> None:
    """Print the folders, or say what is not to be had and leave with 3."""
    try:
        for version in BINDINGS:
            print(stubs(version), flush=True)
    except Unavailable as error:
        print(error, file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
