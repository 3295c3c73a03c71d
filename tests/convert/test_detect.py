"""A network of the task detect becomes a bundle whose probabilities are sigmoids."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.convert.conversion import convert
from mmn_edge.errors import CheckpointError
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.model import labels, presets
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN

NAMES = labels.get("synthetic-scenes")
WINDOW = replace(presets.get("synthetic-scenes").window, frames=16)
DECODER = DecoderParameters.for_model(NAMES, "detect", WINDOW, focus=0.25).to_dict()


def checkpoint(path: Path, **changes: object) -> Path:
    torch.manual_seed(0)
    arch = Architecture(num_classes=len(NAMES), num_joints=44, num_frames=16, width=16, depth=1, mlp_width=32)
    description = {
        "preset": "synthetic-scenes",
        "layout": "ma52",
        "labels": NAMES.to_dict(),
        "window": asdict(WINDOW),
        "stream": "joint",
        "task": "detect",
        "decoder": DECODER,
        "options": {"num_people": 1, "global_pool": "avg", "num_frames": 16},
        **changes,
    }
    torch.save({"model": MMN(arch).eval().state_dict(), "description": description}, path)
    return path


def test_the_bundle_says_its_task_and_its_probabilities_are_sigmoids(tmp_path: Path) -> None:
    made = convert(checkpoint(tmp_path / "d.pt", temperature=2.0), tmp_path / "d.bundle", precisions=["fp32", "fp16"])
    manifest = Bundle.open(tmp_path / "d.bundle").manifest
    assert manifest.task == "detect"
    assert manifest.decoder == DECODER
    assert "sigmoid" in manifest.outputs[1].meaning
    clip = np.random.default_rng(0).normal(300, 60, (3, 16, 44, 2)).astype(np.float32)
    for precision in ("fp32", "fp16"):
        session = onnxruntime.InferenceSession(str(made.bundle.model(precision)), providers=["CPUExecutionProvider"])
        logits, probabilities = session.run(["logits", "probabilities"], {"keypoints": clip})
        np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits / 2)), atol=2e-3)
        assert abs(probabilities.sum(1) - 1).min() > 0.5  # a softmax would sum to one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "guess"}, "task"),
        ({"decoder": {"default": {"enter": 2}}}, "broken decoder"),
        ({"decoder": {"deny": ["jumping"]}}, "broken decoder"),
        ({"decoder": 3}, "broken decoder"),
    ],
)
def test_a_broken_description_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert(checkpoint(tmp_path / "d.pt", **changes), tmp_path / "d.bundle")
    assert not (tmp_path / "d.bundle").exists()
