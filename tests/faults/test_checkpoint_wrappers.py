"""Checkpoints in the wrappings of other training scripts are read, and mean the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmn_edge.network import build_network, read_checkpoint


@pytest.mark.parametrize(
    "name",
    [
        *("lightning.pt", "compiled.pt", "ddp_compiled.pt", "net.pt", "model_state_dict.pt", "npscalar.pt", "nobt.pt"),
        "m.safetensors",
    ],
)
def test_each_is_read_as_what_it_was(situation: Callable[[str], Path], official: Path, name: str) -> None:
    path = situation("checkpoint_wrappers") / "in" / name
    found = build_network(read_checkpoint(path)[0]).state_dict()
    expected = torch.load(official, weights_only=True)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items() if "num_batches" not in key)
