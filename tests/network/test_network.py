from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from mmn_edge.errors import CheckpointError, UsageError
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.network.mmn import DropPath

SMALL = Architecture(num_classes=5, num_joints=6, width=16, depth=1, mlp_width=32, num_frames=16)
State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """A published-shape checkpoint, and what the published network makes of it."""

    state: State
    network: MMN
    reference: dict[str, npt.NDArray[np.float32]]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.reference[name])


@pytest.fixture(scope="module", params=["ma52", "imigue"])
def published(request: pytest.FixtureRequest, shared: Path) -> Published:
    state, description = read_checkpoint(shared / "fixtures" / f"{request.param}_official.pt")
    assert description == {}
    with np.load(shared / "fixtures" / f"{request.param}_reference.npz") as reference:
        return Published(state, build_network(state), dict(reference))


@pytest.fixture
def small_state() -> State:
    torch.manual_seed(0)
    return MMN(SMALL).state_dict()


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        torch.save(content, tmp_path / "model.pt")
        return tmp_path / "model.pt"

    return write


def inputs(arch: Architecture, batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, arch.in_channels, arch.num_frames, arch.num_joints, arch.num_people)
    index = 2 * torch.arange(arch.num_frames) / arch.num_frames - 1
    return torch.rand(shape, generator=generator) * 2 - 1, index.repeat(batch, 1)


def largest(difference: Tensor) -> float:
    return float(difference.abs().max())


@torch.no_grad()
def test_logits_are_the_published_ones(published: Published) -> None:
    logits = published.network(published.tensor("x"), published.tensor("index_t"))
    assert largest(published.tensor("logits")) > 5  # else the tolerance would say little
    assert largest(logits - published.tensor("logits")) < 1e-4


@torch.no_grad()
def test_logits_of_a_uniform_time_index(published: Published) -> None:
    frames = published.network.arch.num_frames
    index = (2 * torch.arange(frames) / frames - 1).repeat(4, 1)
    logits = published.network(published.tensor("x")[2:6], index)
    assert largest(logits - published.tensor("uniform_logits")) < 1e-4


@torch.no_grad()
def test_intermediates_are_the_published_ones(published: Published) -> None:
    network, seen = published.network, dict[str, Tensor]()

    def watch(name: str) -> Callable[[Any, Any, Tensor], None]:
        def hook(module: Any, args: Any, output: Tensor) -> None:
            seen[f"{name}_in"], seen[f"{name}_out"] = args[0], output

        return hook

    blocks = {f"scale{s}": scale for s, scale in enumerate(network.MFM)} | {"block0": network.MFM[0].blocks[0]}
    handles = [module.register_forward_hook(watch(name)) for name, module in blocks.items()]
    seen["embedding"] = network.embed(published.tensor("x")[:1], published.tensor("index_t")[:1])
    seen["fused"] = network.fuse(seen["embedding"])
    for handle in handles:
        handle.remove()

    names = [name for name in published.reference if name not in ("x", "index_t", "logits", "uniform_logits")]
    assert len(names) == 11
    for name in names:
        expected = published.tensor(name)
        found = seen[name][:, :, : expected.shape[2]]
        assert found.shape == expected.shape, name
        assert largest(found - expected) < 1e-3, name
    assert [seen[f"scale{s}_in"].shape[2] for s in range(4)] == [64, 32, 16, 8]


def test_parameter_counts_are_the_published_ones(published: Published) -> None:
    expected = {44: 1_325_186, 22: 1_234_014}[published.network.arch.num_joints]
    assert sum(parameter.numel() for parameter in published.network.parameters()) == expected
    assert len(published.state) == 655


@torch.no_grad()
def test_eager_forward_is_deterministic_and_leaves_the_network_as_it_was(published: Published) -> None:
    x, index = published.tensor("x")[:2], published.tensor("index_t")[:2]
    first, again = published.network(x, index), published.network(x, index)
    assert torch.equal(first, again)
    state = published.network.state_dict()
    assert all(torch.equal(state[key], value) for key, value in published.state.items())


@torch.no_grad()
def test_the_module_prefix_of_data_parallelism_is_taken_off(small_state: State, save: Callable[[Any], Path]) -> None:
    path = save({f"module.{key}": value for key, value in small_state.items()})
    state, _ = read_checkpoint(path)
    assert list(state) == list(small_state)
    build_network(state, {"num_frames": 16})


@pytest.mark.parametrize("wrap", ["state_dict", "model"])
def test_wrapped_state_dicts_of_lower_precision(small_state: State, save: Callable[[Any], Path], wrap: str) -> None:
    halves = {key: value.half() if value.is_floating_point() else value for key, value in small_state.items()}
    state, description = read_checkpoint(save({wrap: halves, "description": {"preset": "ma52"}}))
    assert description == ({"preset": "ma52"} if wrap == "model" else {})
    assert all(value.dtype in (torch.float32, torch.int64) for value in state.values())
    assert largest(state["head.weight"] - small_state["head.weight"]) < 1e-3


def test_all_wrong_keys_are_listed_in_one_error(small_state: State) -> None:
    del small_state["fusion.res_conv.bias"], small_state["MFM.3.blocks.0.proj.weight"]
    small_state["head.extra"] = torch.zeros(3)
    small_state["DSs.0.reduction.weight"] = torch.zeros(16, 16, 5, 1)
    with pytest.raises(CheckpointError) as caught:
        build_network(small_state, {"num_frames": 16}, origin="some.pt")
    message = str(caught.value)
    assert message.startswith("some.pt does not fit an MMN with 6 joints and 5 classes; 4 of its keys are wrong:")
    assert set(message.splitlines()[1:]) == {
        "  missing fusion.res_conv.bias (16,)",
        "  missing MFM.3.blocks.0.proj.weight (16, 16)",
        "  extra head.extra (3,)",
        "  DSs.0.reduction.weight is (16, 16, 5, 1), expected (16, 16, 3, 1)",
    }


def test_building_a_network_does_not_load_the_compiler(small_checkpoint: Path) -> None:
    """Which takes a second, and came with the first operator of the meta device that is written in Python."""
    script = """
import sys
from pathlib import Path
from mmn_edge.network import build_network, read_checkpoint
build_network(read_checkpoint(Path(sys.argv[1]))[0])
print({"sympy", "torch._dynamo"} & sys.modules.keys())
"""
    command = [sys.executable, "-c", script, str(small_checkpoint)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"none\.pt does not exist: .*momiji-bit/MMN \(docs/guides/checkpoints.md\)"
    ):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="is no file"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file(small_state: State, save: Callable[[Any], Path], share: float) -> None:
    path = save(small_state)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"model\.pt (is damaged|is no readable|is no checkpoint)") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["no checkpoint at all\n", "<html>", "{}", "\x80\x02"])
def test_a_file_of_another_kind(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.pt").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        read_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_is_refused_and_not_run(small_state: State, tmp_path: Path, legacy: bool) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "model.pt"
    torch.save({**small_state, "x": Attack()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"could run code, so it was not opened"):
        read_checkpoint(path)
    assert not (tmp_path / "owned").exists()
    torch.load(path, weights_only=False)  # the attack works on whoever does not refuse it
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        torch.zeros(3),
        {"weights": [1.0, 2.0]},
        {"state_dict": {"a": 1}},
        {0: torch.zeros(3)},
        {"epoch": 3, "head.weight": torch.zeros(3)},
    ],
)
def test_a_checkpoint_without_a_state_dict(save: Callable[[Any], Path], content: Any) -> None:
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_checkpoint(save(content))


def test_an_empty_state_dict(save: Callable[[Any], Path]) -> None:
    with pytest.raises(CheckpointError, match=r"holds no state dict .*: it has nothing"):
        build_network(read_checkpoint(save({}))[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(small_state: State, save: Callable[[Any], Path], value: float) -> None:
    small_state["MFM.1.blocks.0.proj.bias"][3] = value
    with pytest.raises(CheckpointError, match=r"NaN or infinite values in MFM\.1\.blocks\.0\.proj\.bias"):
        read_checkpoint(save(small_state))


@torch.no_grad()
def test_a_learned_positional_tensor_replaces_the_time_code() -> None:
    arch = Architecture(num_classes=5, num_joints=6, width=16, depth=1, mlp_width=32, num_frames=16, index_t=False)
    original = MMN(arch)
    state = original.state_dict()
    assert state["STPE_"].shape == (1, 16, 16, 6)
    assert "STPE" not in state
    network = build_network(state)
    assert network.arch == arch
    x, index = inputs(arch)
    assert torch.equal(network(x, index), network(x, torch.zeros_like(index)))
    assert torch.equal(network.embed(x, index), network.projection(x.squeeze(-1)) + original.STPE_)


@torch.no_grad()
def test_global_pool_max(small_state: State) -> None:
    x, index = inputs(SMALL)
    average = build_network(small_state, {"num_frames": 16})
    maximum = build_network(small_state, {"num_frames": 16, "global_pool": "max"})
    fused = maximum.fuse(maximum.embed(x, index))
    assert torch.equal(maximum(x, index), maximum.head(fused.flatten(2).max(dim=2).values))
    assert largest(average(x, index) - average.head(fused.flatten(2).mean(dim=2))) < 1e-5
    assert not torch.equal(maximum(x, index), average(x, index))


@torch.no_grad()
def test_two_people_are_flattened_people_major() -> None:
    arch = Architecture(num_classes=5, num_joints=3, num_people=2, width=16, depth=1, mlp_width=32, num_frames=16)
    network = build_network(MMN(arch).state_dict(), {"num_people": 2, "num_frames": 16})
    assert network.arch == arch
    x, index = inputs(arch)
    in_a_row = torch.cat([x[..., 0], x[..., 1]], dim=3)  # all joints of the first person, then of the second
    expected = network.projection(in_a_row) + network.positional(index)
    assert torch.equal(network.embed(x, index), expected)
    assert not torch.equal(network.embed(x.flip(-1), index), expected)
    assert network(x, index).shape == (2, 5)


@torch.no_grad()
def test_three_coordinates() -> None:
    arch = Architecture(num_classes=5, num_joints=6, in_channels=3, width=16, depth=1, mlp_width=32, num_frames=16)
    network = build_network(MMN(arch).state_dict(), {"num_frames": 16})
    assert network.arch == arch
    assert network.projection[0].weight.shape[:2] == (6, 3)
    assert network(*inputs(arch)).shape == (2, 5)


def test_an_option_that_contradicts_the_weights(small_state: State) -> None:
    with pytest.raises(UsageError, match="num_classes=6 contradicts the checkpoint"):
        build_network(small_state, {"num_classes": 6})


def test_stochastic_depth_rises_linearly_over_the_blocks() -> None:
    arch = Architecture(num_classes=2, num_joints=3, width=16, depth=3, mlp_width=16)
    rates = [module.rate for module in MMN(arch, drop_path=0.3).modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx(np.linspace(0, 0.3, 12))


def test_stochastic_depth_drops_whole_samples_in_training_only() -> None:
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(4000, 2, 3)
    assert torch.equal(drop.eval()(x), x)
    out = drop.train()(x)
    kept = out[:, 0, 0] > 0
    assert torch.equal(out, torch.where(kept, 1 / 0.75, 0.0).reshape(-1, 1, 1).expand_as(x))
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.03)


@torch.no_grad()
def test_training_mode_is_random_and_evaluation_mode_is_not() -> None:
    torch.manual_seed(0)
    network = MMN(SMALL, drop_path=0.5, head_drop=0.5)
    x, index = inputs(SMALL)
    network.train()
    assert not torch.equal(network(x, index), network(x, index))
    network.eval()
    assert torch.equal(network(x, index), network(x, index))
    assert not build_network(network.state_dict(), {"num_frames": 16}).training


def test_a_tenth_of_the_fused_features_is_dropped_in_training() -> None:
    """As published: with probability 0.1, behind the sum of the scales and not the residual."""
    fusion = MMN(SMALL).fusion.train()
    torch.manual_seed(0)
    dropped = fusion.dropout(torch.ones(100_000))
    assert float((dropped == 0).float().mean()) == pytest.approx(0.1, abs=0.005)
    assert float(dropped.max()) == pytest.approx(1 / 0.9)
    assert torch.equal(fusion.eval().dropout(torch.ones(10)), torch.ones(10))
