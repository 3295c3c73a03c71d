"""A checkpoint as a classifier, for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmn_edge.errors import CheckpointError, MmnEdgeError
from mmn_edge.model.classifier import Classifier
from mmn_edge.model.description import described_options, described_temperature, identify
from mmn_edge.network.checkpoint import build_network, load_safely, read_checkpoint
from mmn_edge.network.quantization import split_state
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.system.files import atomic_file

__all__ = ["check_temperature", "open_checkpoint", "write_temperature"]


def open_checkpoint(
    path: Path,
    *,
    preset: str | None = None,
    stream: str | None = None,
    options: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Classifier:
    """Load a checkpoint, ours or the authors', as a classifier that PyTorch runs on the CPU.

    Args:
        path: The file.
        preset: What it is, where it does not say so itself.
        stream: What it was trained on, where it does not say so itself.
        options: Architecture options that shapes cannot tell.
        name: How tables call it; the path where None.

    Raises:
        CheckpointError: It cannot be read or is no MMN.
        UsageError: Options that contradict the checkpoint.
        LayoutError: The preset's layout does not fit.
    """
    state, description = read_checkpoint(path)
    network = build_network(state, {**described_options(description), **(options or {})}, origin=str(path))
    identity = identify(network.arch, description, preset=preset, stream=stream, origin=path)

    def run(inputs: Mapping[str, FloatArray]) -> FloatArray:
        with torch.inference_mode():
            logits: FloatArray = network(*(torch.from_numpy(inputs[key]) for key in ("features", "index_t"))).numpy()
        return logits

    return Classifier(
        name=name or str(path),
        precision="int8 simulated" if split_state(state)[1] else "fp32",
        backend=f"torch {torch.__version__} CPU",
        architecture=network.arch,
        labels=identity.labels,
        task=identity.task,
        layout=identity.layout,
        preprocessing=identity.preprocessing(network.arch),
        input="features",
        temperature=described_temperature(description, path),
        run=run,
        fitted_on=description.get("temperature_fitted_on"),
        window=identity.window,
    )


def check_temperature(path: Path) -> dict[str, Any]:
    """A checkpoint's content, if a temperature can be stored in it.

    Raises:
        CheckpointError: It has no description to store it in, or cannot be read.
    """
    content = load_safely(path)
    if not isinstance(content, dict) or not isinstance(content.get("description"), dict):
        raise CheckpointError(
            f"{path} was not written by mmn-edge train and has no place for a temperature: nothing was written"
        )
    return content


def write_temperature(path: Path, temperature: float, fitted_on: str) -> None:
    """Store a temperature in a checkpoint's description; all else, the weights above all, stays as it is.

    Args:
        path: A checkpoint of ``mmn-edge train``.
        temperature: Positive.
        fitted_on: The clips that it was fitted on, in words.

    Raises:
        CheckpointError: The checkpoint has no description to store it in, or cannot be read.
        MmnEdgeError: It cannot be written; the file is as it was.
    """
    content = check_temperature(path)
    description = {**content["description"], "temperature": float(temperature), "temperature_fitted_on": fitted_on}
    try:
        with atomic_file(path) as partial:
            torch.save({**content, "description": description}, partial)
    except (OSError, RuntimeError) as error:
        raise MmnEdgeError(f"cannot write {path}: {error}; it is as it was") from error
