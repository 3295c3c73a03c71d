"""Checkpoints: state dicts, ours or the authors', read without running any code that they may hold."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmn_edge.errors import CheckpointError
from mmn_edge.model.architecture import Architecture, key_problems
from mmn_edge.network.mmn import MMN
from mmn_edge.network.quantization import enable, quantize, range_key, sites, split_state

__all__ = ["build_network", "load_safely", "read_checkpoint"]


def load_safely(path: Path | str) -> Any:
    """Load a file of ``torch.save`` onto the CPU without running any code that it may hold.

    Raises:
        CheckpointError: The file is missing, damaged, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist" if not path.exists() else f"{path} is no file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read is an error below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported operand" in str(error) or "Unsupported class" in str(error):
            reason = "holds objects other than tensors, which could run code, so it was not opened"
        else:
            reason = "is no readable checkpoint"
        raise CheckpointError(
            f"checkpoint {path} {reason}: save a plain state dict with torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # a damaged file can raise nearly anything
        raise CheckpointError(
            f"checkpoint {path} is damaged or incomplete, or no file of torch.save ({_first_line(error)})"
        ) from error


def read_checkpoint(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a state dict, ours or the authors'.

    Returns:
        The state dict (on the CPU, float32, without a ``module.`` prefix) and our trainer's description of the model,
        empty for files that were not written by ``mmn-edge train``.

    Raises:
        CheckpointError: See :func:`load_safely`; also if there is no state dict inside, or one that is not finite.
    """
    content = load_safely(path)
    description: Any = None
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        description, content = content.get("description"), content["model"]
    elif isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise CheckpointError(f"checkpoint {path} holds no state dict (a mapping of names to tensors)")
    if content and all(key.startswith("module.") for key in content):
        content = {key.removeprefix("module."): value for key, value in content.items()}
    if odd := [key for key, value in content.items() if value.layout is not torch.strided]:
        raise CheckpointError(f"checkpoint {path} holds {odd[0]} as a sparse tensor: save dense ones")
    state = {key: value.float() if value.is_floating_point() else value for key, value in content.items()}
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"checkpoint {path} holds NaN or infinite values in {key}")
    return state, description if isinstance(description, dict) else {}


def build_network(
    state: Mapping[str, Tensor],
    options: Mapping[str, Any] | None = None,
    *,
    origin: str = "checkpoint",
    quantized: bool = True,
) -> MMN:
    """Build the MMN that a state dict belongs to and load it strictly, in evaluation mode.

    Args:
        state: Key -> tensor as :func:`read_checkpoint` gives it.
        options: Architecture options that shapes cannot tell, such as ``num_people`` and ``global_pool``.
        origin: How errors name the checkpoint.
        quantized: Whether a checkpoint with int8 ranges becomes a network with fake quantization; False gives the same
            weights in floating point. Plain checkpoints give the plain network either way.

    Raises:
        CheckpointError: Missing, extra or misshapen keys, all listed.
        UsageError: An option contradicts the shapes.
    """
    plain, ranges = split_state(state)
    shapes = {key: tuple(value.shape) for key, value in plain.items()}
    arch = Architecture.from_shapes(shapes, options)
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in MMN(arch).state_dict().items()}
    if problems := key_problems(shapes, expected):
        raise CheckpointError(
            f"{origin} does not fit an MMN with {arch.graph_joints} joints and {arch.num_classes} classes; "
            f"{len(problems)} of its keys are wrong:\n  " + "\n  ".join(problems)
        )
    network = MMN(arch)
    network.load_state_dict(plain, strict=True)
    if ranges and quantized:
        _restore_ranges(network, ranges, origin)
    return network.eval()


def _restore_ranges(network: MMN, ranges: Mapping[str, Tensor], origin: str) -> None:
    """Quantize the layers that a checkpoint has int8 ranges for."""
    names = sites(network)
    for name, amax in ranges.items():
        if name not in names or amax.shape != () or not amax > 0:
            raise CheckpointError(f"{origin} holds a broken int8 range for {name}: quantize the model again")
    quantize(network, [name for name in names if name not in ranges])
    network.load_state_dict({range_key(name): amax for name, amax in ranges.items()}, strict=False)
    enable(network)


def _first_line(error: BaseException) -> str:
    """The first sentence of an error whose text goes on for long."""
    if isinstance(error, KeyError):  # its text is the key alone
        return repr(error)
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0]
