"""Proof that a conversion lost nothing: the ONNX graph against PyTorch, on windows of moving skeletons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmn_edge.errors import VerificationError
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system.extras import load_onnxruntime, session_options

__all__ = [
    "HALF_TOLERANCE",
    "TOLERANCE",
    "Verification",
    "compare",
    "compare_half",
    "compare_int8",
]

Inputs = dict[str, FloatArray]

TOLERANCE = 5e-4
"""Largest logit difference accepted between ONNX Runtime and PyTorch, float32."""

HALF_TOLERANCE = 0.01
"""The same for half precision, as a part of the range of the logits: 20 times a value's relative rounding error."""

NOISE_FACTOR = 2.0
ERROR_SHARE = 0.1
HALF_ERROR_SHARE = 2.0
NOISE_WINDOWS = 16
NOISE_TRIALS = 2


@dataclass(frozen=True)
class Verification:
    """What was compared and how far apart it was.

    Attributes:
        windows: Compared, in one batch and the first one alone.
        data: Where they came from.
        reference: What PyTorch computed.
        max_logit_difference: Of all windows and classes, ONNX Runtime against PyTorch.
        mean_logit_difference: The mean of the magnitudes.
        max_probability_difference: The same for probabilities.
        top1_agreement: Share of windows with the same first class.
        tolerance: What was allowed.
        tolerance_for: Which of the differences it was allowed for.
        rounding_noise: For int8, the mean logit difference in PyTorch alone when inputs change in their last bit.
        float_logit_difference: For int8, the mean difference between PyTorch with fake quantization and without.
        float_top1_agreement: For int8, how often these two agree.
    """

    windows: int
    data: str
    reference: str
    max_logit_difference: float
    mean_logit_difference: float
    max_probability_difference: float
    top1_agreement: float
    tolerance: float
    tolerance_for: str = "max_logit_difference"
    rounding_noise: float | None = None
    float_logit_difference: float | None = None
    float_top1_agreement: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def compare(graph: nn.Module, model: Path, inputs: Inputs, *, data: str) -> Verification:
    """Run PyTorch and ONNX Runtime in float32 on the same inputs, one window at a time and all at once.

    Raises:
        VerificationError: They differ by more than :data:`TOLERANCE`, or a value is not finite.
    """
    expected = _run(graph, inputs)
    return _checked(model, inputs, expected, "PyTorch in float32", data, tolerance=TOLERANCE)


def compare_half(graph: nn.Module, model: Path, inputs: Inputs, *, data: str) -> Verification:
    """The same for a half-precision model against the float32 ``graph``.

    Raises:
        VerificationError: They differ by more than :data:`HALF_TOLERANCE` of the logits' range, or are not finite.
    """
    expected = _run(graph, inputs)
    allowed = HALF_TOLERANCE * float(np.ptp(expected[0]))
    return _checked(model, inputs, expected, "PyTorch in float32", data, tolerance=allowed)


def compare_int8(
    graph: nn.Module, floating: nn.Module, model: Path, inputs: Inputs, *, data: str, half: bool = False
) -> Verification:
    """The same for an int8 model against ``graph``, which has fake quantization, ``floating`` being the one without.

    Two exact implementations of one int8 network do differ: a value half-way between two steps goes up here and down
    there because of its last float bit, and each such flip is a whole step to all that follows. How much that is,
    PyTorch alone tells: its logits are computed again from inputs changed by one unit in the last place. ONNX Runtime
    may be off by :data:`NOISE_FACTOR` times that on average, and by :data:`ERROR_SHARE` of what quantization itself
    changed. Where what lies between products is in ``half`` precision, values move by up to 1/16 of a step before they
    are quantized, and flips make an error of quantization's own size: it is :data:`HALF_ERROR_SHARE` then.

    Raises:
        VerificationError: They differ by more, or a value is not finite.
    """
    expected = _run(graph, inputs)
    exact = _run(floating, inputs)
    rng = np.random.default_rng(0)
    few = {name: x[:NOISE_WINDOWS] for name, x in inputs.items()}
    noise = 0.0
    for _ in range(NOISE_TRIALS):
        moved = {
            name: np.nextafter(x, np.where(rng.random(x.shape) < 0.5, np.inf, -np.inf), dtype=np.float32)
            for name, x in few.items()
        }
        noise = max(noise, float(np.abs(_run(graph, moved)[0] - expected[0][:NOISE_WINDOWS]).mean()))
    error = float(np.abs(expected[0] - exact[0]).mean())
    result = _checked(
        model,
        inputs,
        expected,
        "PyTorch with fake quantization",
        data,
        tolerance=TOLERANCE + NOISE_FACTOR * noise + (HALF_ERROR_SHARE if half else ERROR_SHARE) * error,
        tolerance_for="mean_logit_difference",
    )
    return replace(
        result,
        rounding_noise=noise,
        float_logit_difference=error,
        float_top1_agreement=float((expected[0].argmax(1) == exact[0].argmax(1)).mean()),
    )


def _run(graph: nn.Module, inputs: Inputs) -> list[FloatArray]:
    with torch.inference_mode():
        return [out.numpy() for out in graph(*(torch.from_numpy(x) for x in inputs.values()))]


def _checked(
    model: Path,
    inputs: Inputs,
    expected: list[FloatArray],
    reference: str,
    data: str,
    *,
    tolerance: float,
    tolerance_for: str = "max_logit_difference",
) -> Verification:
    """Compare ONNX Runtime's outputs with the expected ones."""
    onnxruntime = load_onnxruntime()
    session = onnxruntime.InferenceSession(str(model), session_options(), providers=["CPUExecutionProvider"])
    if fixed := [node.name for node in session.get_inputs() if not isinstance(node.shape[0], str)]:
        raise VerificationError(
            f"the converted model {model.name} takes batches of one size only (input {fixed[0]}); nothing was written"
        )
    batched = session.run(None, inputs)
    single = session.run(None, {name: x[:1] for name, x in inputs.items()})
    difference = np.abs(batched[0] - expected[0])
    result = Verification(
        windows=len(expected[0]),
        data=data,
        reference=reference,
        # NaN stays NaN
        max_logit_difference=float(np.max([difference.max(), np.abs(single[0] - expected[0][:1]).max()])),
        mean_logit_difference=float(difference.mean()),
        max_probability_difference=float(np.abs(batched[1] - expected[1]).max()),
        top1_agreement=float((batched[0].argmax(1) == expected[0].argmax(1)).mean()),
        tolerance=tolerance,
        tolerance_for=tolerance_for,
    )
    found = getattr(result, tolerance_for)
    if not found <= tolerance or not np.isfinite([*batched[1].ravel(), *single[1].ravel()]).all():
        raise VerificationError(
            f"the converted model {model.name} differs from the checkpoint ({reference}): the "
            f"{tolerance_for.replace('_', ' ')} is {found:.2g} on {result.windows} windows ({data}), and "
            f"{tolerance:.2g} is allowed; nothing was written"
        )
    return result
