from __future__ import annotations

import platform
import sys

import numpy as np
import onnxruntime

from mmn_edge.doctor import facts


def test_this_python_is_asked() -> None:
    here = facts.this_interpreter()
    assert here.python == platform.python_version()
    assert here.packages["numpy"].version == np.__version__
    assert here.packages["onnxruntime"].version == onnxruntime.__version__
    assert set(here.packages["onnxruntime"].abilities) == set(onnxruntime.get_available_providers())
    assert (here.environment == "system") == (sys.prefix == sys.base_prefix)


def test_a_package_that_crashes_is_a_line_of_the_report() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert facts._ask(code) == (False, "it crashes with signal 11")
    assert facts._ask("import no_such_module") == (False, "ModuleNotFoundError: No module named 'no_such_module'")
    here = facts.this_interpreter(lambda code: (False, "ImportError: libX"))
    assert here.packages["onnxruntime"].error == "ImportError: libX"
