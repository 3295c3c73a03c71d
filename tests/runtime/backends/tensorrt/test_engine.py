"""What can be tried of the real TensorRT (for RTX) without a GPU; the rest is in ``stub_cuda``."""

from __future__ import annotations

import pytest

from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.errors import EngineError
from mmn_edge.runtime.backends.tensorrt.engine import MAX_ERRORS, Engine, _error_recorder

trt = pytest.importorskip("tensorrt_rtx", reason="PROOF SKIPPED: no real error recorder, tensorrt-rtx is not installed")


def test_what_tensorrt_reports_is_the_message_of_our_error() -> None:
    record = EngineRecord(
        file="model.fp32.tensorrt_rtx.engine",
        precision="fp32",
        flavour="tensorrt_rtx",
        tensorrt=trt.__version__,
        device="",
        compute_capabilities=("8.6",),
        driver="",
        cuda="",
        batch=(1, 1, 8),
        onnx_sha256="0",
    )
    with pytest.raises(EngineError) as caught:
        Engine(b"no engine at all" * 100, record)
    message = str(caught.value)
    assert message.startswith("model.fp32.tensorrt_rtx.engine cannot be loaded: ")
    assert "header.magicTag" in message  # TensorRT's own words
    assert "gave no reason" not in message


def test_the_recorder_keeps_the_first_errors_and_forgets_when_told() -> None:
    recorder = _error_recorder("tensorrt_rtx")
    for number in range(MAX_ERRORS + 3):
        assert recorder.report_error(trt.ErrorCodeTRT.FAILED_EXECUTION, f"error {number}\n")
    assert recorder.num_errors() == MAX_ERRORS
    assert recorder.has_overflowed()
    assert recorder.get_error_desc(0) == "error 0"
    assert recorder.get_error_code(MAX_ERRORS - 1) == trt.ErrorCodeTRT.FAILED_EXECUTION
    recorder.clear()
    assert recorder.num_errors() == 0
    assert not recorder.has_overflowed()
