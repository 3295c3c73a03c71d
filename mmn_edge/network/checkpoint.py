"""Checkpoints: state dicts, ours or the authors', read without running any code that they may hold."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmn_edge.errors import CheckpointError
from mmn_edge.model.architecture import Architecture, key_problems
from mmn_edge.model.presets import CHECKPOINT_ORIGINS
from mmn_edge.network.mmn import MMN
from mmn_edge.network.quantization import enable, quantize, range_key, sites, split_state
from mmn_edge.network.safetensors import is_safetensors, read_safetensors
from mmn_edge.system.file_kind import file_kind

__all__ = ["build_network", "load_safely", "read_checkpoint"]


def load_safely(path: Path | str) -> Any:
    """Load a file of ``torch.save`` or of safetensors onto the CPU without running any code that it may hold.

    Raises:
        CheckpointError: The file is missing, damaged, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"checkpoint {path} does not exist: {CHECKPOINT_ORIGINS}")
    if not path.is_file():
        raise CheckpointError(f"{path} is no file")
    try:
        if is_safetensors(path):
            return read_safetensors(path)
        return _load(path)
    except CheckpointError:
        raise
    except PermissionError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged file can raise nearly anything
        kind = file_kind(path)
        if kind and kind != "a file of torch.save":
            raise CheckpointError(f"{path} is no checkpoint: it is {kind}") from error
        if isinstance(error, pickle.UnpicklingError):
            raise CheckpointError(_refusal(path, str(error))) from error
        raise CheckpointError(
            f"checkpoint {path} is damaged or incomplete, or no file of torch.save ({_first_line(error)})"
        ) from error


def _load(path: Path) -> Any:
    """``torch.load`` of tensors and plain values, which single numbers of NumPy are too."""

    def load() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read is an error
            return torch.load(path, map_location="cpu", weights_only=True)

    try:
        return load()
    except pickle.UnpicklingError as error:
        if not re.search(r"GLOBAL numpy\._?core\.multiarray\.scalar", str(error)):
            raise
    with torch.serialization.safe_globals(
        [
            (_NumpyType, "numpy.dtype"),
            (_numpy_scalar, "numpy.core.multiarray.scalar"),
            (_numpy_scalar, "numpy._core.multiarray.scalar"),
        ]
    ):
        return load()


class _NumpyType:
    """What stands for ``numpy.dtype`` while a checkpoint is read: a type of plain numbers."""

    def __init__(self, name: str, *_: object) -> None:
        if not re.fullmatch(r"[<>=|]?(b1|[iu][1248]|f[248])", name):
            raise pickle.UnpicklingError(f"a number of NumPy of type {name!r}")
        self.made = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError("a number of NumPy in no byte order")
        self.made = self.made.newbyteorder(state[1])


def _numpy_scalar(kind: Any, data: Any) -> bool | int | float:
    """What stands for ``numpy.core.multiarray.scalar``: the number as Python's own."""
    if not isinstance(kind, _NumpyType) or not isinstance(data, bytes) or len(data) != kind.made.itemsize:
        raise pickle.UnpicklingError("a number of NumPy that is none")
    number: bool | int | float = np.frombuffer(data, kind.made)[0].item()
    return number


def _refusal(path: Path, reason: str) -> str:
    """Why a pickle was not opened, and the line that mends it."""
    mend = 'save a plain state dict: torch.save(model.state_dict(), "checkpoint.pt")'
    if found := re.search(r"GLOBAL ([\w.]+)", reason):
        what = "which belongs to a model that was saved whole" if found[1].startswith("__main__.") else "no tensor"
        return (
            f"checkpoint {path} holds objects other than tensors, which could run code, so it was not opened: it asks "
            f"for {found[1]} ({what}); where it was made, {mend}"
        )
    if "Unsupported operand" in reason or "Unsupported class" in reason:
        return (
            f"checkpoint {path} holds objects other than tensors, which could run code, so it was not opened; where it "
            f"was made, {mend}"
        )
    return f"checkpoint {path} is no readable checkpoint, or damaged: {mend}"


def read_checkpoint(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a state dict, ours or the authors', or as Lightning, ``torch.compile`` and many training scripts leave it.

    Returns:
        The state dict (on the CPU, float32, without a prefix that all its keys share, such as ``module.``) and our
        trainer's description of the model, empty for files that were not written by ``mmn-edge train``.

    Raises:
        CheckpointError: See :func:`load_safely`; also if there is no state dict inside, or one that is not finite.
    """
    content = load_safely(path)
    ours = isinstance(content, dict) and _is_state_dict(content.get("model"))
    description = content.get("description") if ours else None
    state = _without_prefix(_state_dict(content, path), path)
    if odd := [key for key, value in state.items() if value.layout is not torch.strided]:
        raise CheckpointError(f"checkpoint {path} holds {odd[0]} as a sparse tensor: save dense ones")
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"checkpoint {path} holds NaN or infinite values in {key}")
    return state, description if isinstance(description, dict) else {}


def _state_dict(content: Any, path: Path | str) -> dict[str, Tensor]:
    """The state dict of a checkpoint: the content itself, or the one in it.

    Raises:
        CheckpointError: There is none, or there are several and none has one of the usual names.
    """
    if _is_state_dict(content):
        return dict(content)
    inner = {key: value for key, value in content.items() if _is_state_dict(value)} if isinstance(content, dict) else {}
    for name in ("model", "state_dict"):
        if name in inner:
            return dict(inner[name])
    if len(inner) == 1:
        return dict(*inner.values())
    if inner:
        raise CheckpointError(
            f"checkpoint {path} holds several state dicts, under {', '.join(map(repr, inner))}: keep one with: "
            f'torch.save(torch.load({str(path)!r})[{next(iter(inner))!r}], "checkpoint.pt")'
        )
    raise CheckpointError(f"checkpoint {path} holds no state dict (a mapping of names to tensors): {_holds(content)}")


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items())
    )


def _holds(content: Any) -> str:
    """What is there in place of a state dict, in words."""
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}"
    tensors = sum(isinstance(value, Tensor) for value in content.values())
    if tensors:
        odd = next(key for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor)))
        return (
            f"beside {tensors} tensors it has {odd!r}, a {type(content[odd]).__name__}: take that out and save it again"
        )
    return f"it has {', '.join(map(repr, list(content)[:5])) or 'nothing'}"


def _without_prefix(state: dict[str, Tensor], path: Path | str) -> dict[str, Tensor]:
    """The state dict without what all its keys begin with: ``module.``, ``model.``, ``_orig_mod.`` or several.

    Raises:
        CheckpointError: Some of its keys are the network's behind a prefix, and others have none.
    """
    while len({key.partition(".")[0] for key in state}) == 1 and all("." in key for key in state):
        state = {key.partition(".")[2]: value for key, value in state.items()}
    prefix = next((key.removesuffix("head.weight") for key in state if key.endswith(".head.weight")), "")
    if others := [key for key in state if not key.startswith(prefix)]:
        raise CheckpointError(
            f"checkpoint {path} mixes the network with other things: {len(state) - len(others)} keys begin with "
            f"{prefix}, and {len(others)} {'does' if len(others) == 1 else 'do'} not: {others[0]}; keep the former: "
            f"{{k: v for k, v in state.items() if k.startswith({prefix!r})}}"
        )
    return state


def build_network(
    state: Mapping[str, Tensor],
    options: Mapping[str, Any] | None = None,
    *,
    origin: str = "checkpoint",
    quantized: bool = True,
) -> MMN:
    """Build the MMN that a state dict belongs to and load it strictly, in evaluation mode.

    ``num_batches_tracked``, which evaluation does not use, may be absent.

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
    for key in expected:
        if key.endswith(".num_batches_tracked") and key not in plain:
            plain[key], shapes[key] = torch.tensor(0), ()
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
