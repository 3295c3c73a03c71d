"""What the weights of a checkpoint do not say: how its joints, classes and time are to be understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from mmn_edge.errors import BundleError, CheckpointError, LayoutError, UsageError
from mmn_edge.model import labels, presets
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.model.task import CLASSIFY, TASKS
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.layouts import Layout
from mmn_edge.skeleton.preprocess import STREAMS, Preprocessing

__all__ = ["Identity", "described_options", "described_seconds", "described_task", "described_temperature", "identify"]


@dataclass(frozen=True)
class Identity:
    """How a checkpoint is to be used.

    Attributes:
        preset: The preset that it was identified by; None where none fits.
        layout: The layout of its joints; None where unknown.
        labels: Its classes.
        window: The live window.
        stream: What it was trained on.
        task: One of :data:`mmn_edge.model.task.TASKS`.
    """

    preset: str | None
    layout: Layout | None
    labels: Labels
    window: Window
    stream: str
    task: str = CLASSIFY

    def preprocessing(self, arch: Architecture, *, any_stream: bool = False) -> Preprocessing:
        """What turns its joints into features; without a layout, joints in the order in which they come.

        Args:
            arch: The network's options.
            any_stream: Whether joints will do for a stream that is not theirs, where features are only examples.

        Raises:
            UsageError: The stream is another than ``"joint"``, and there is no layout to tell bones and joint order.
        """
        if self.layout is None:
            if self.stream != "joint" and not any_stream:
                raise UsageError(
                    f"stream {self.stream} needs the bones and the joint order of a layout, and none is known: name "
                    f"the model's preset with --preset ({', '.join(presets.PRESETS)})"
                )
            return Preprocessing("joint", tuple(range(arch.num_joints)), ())
        return Preprocessing.for_layout(self.layout, self.stream)


def identify(
    arch: Architecture,
    description: Mapping[str, Any],
    *,
    preset: str | None,
    stream: str | None,
    origin: Path,
) -> Identity:
    """Settle layout, labels, window and stream from the request, the checkpoint's description, and its shapes.

    Args:
        arch: The network's options.
        description: What ``mmn-edge train`` wrote into the checkpoint; empty for others.
        preset: The preset by name; None takes the description, or guesses from the shapes.
        stream: The stream; None takes the description, or ``"joint"``.
        origin: The checkpoint, for messages.

    Raises:
        UsageError: An unknown preset or stream, or another stream than the checkpoint says.
        LayoutError: The layout has another number of joints.
        CheckpointError: The description is broken, or names another number of classes.
    """
    if stream not in (None, *STREAMS):
        raise UsageError(f"unknown stream {stream!r}: choose one of {', '.join(STREAMS)}")
    trained_on = description.get("stream")
    if trained_on is not None and stream not in (None, trained_on):
        raise UsageError(f"{origin} was trained on stream {trained_on}, not {stream}: use --stream {trained_on}")
    stream = stream or trained_on
    task = described_task(description, origin)
    if preset is None and description.get("layout"):
        identity = _from_description(description, stream, origin)
    else:
        preset = preset or presets.guess(arch.num_joints, arch.num_classes, arch.in_channels)
        if preset is None:
            return Identity(None, None, Labels.numbered(arch.num_classes), Window(), stream or "joint", task)
        chosen = presets.get(preset)
        names = labels.get(chosen.labels) if chosen.labels else Labels.numbered(arch.num_classes)
        if description.get("labels"):
            names = _described_labels(description, origin)
        identity = Identity(preset, layouts.get(chosen.layout), names, chosen.window, stream or "joint", task)
    layout = identity.layout
    if layout is not None and layout.num_joints != arch.num_joints:
        people, rest = divmod(arch.num_joints, layout.num_joints)
        hint = "choose the preset it was trained with"
        if rest == 0 and people > 1:
            hint += f", or give --model-option num_people={people} if several persons share its joints"
        raise LayoutError(
            f"{origin} has {arch.num_joints} joints, and layout {layout.name} has {layout.num_joints}: {hint}"
        )
    if len(identity.labels) != arch.num_classes:
        raise CheckpointError(
            f"{origin} has {arch.num_classes} classes, and preset {identity.preset} names "
            f"{len(identity.labels)}: choose the preset it was trained with"
        )
    return identity


def described_options(description: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture options that a checkpoint names of itself; anything else in it is not ours to judge.

    Raises:
        CheckpointError: One of them is of the wrong type.
    """
    options = description.get("options")
    known = get_type_hints(Architecture)
    if not isinstance(options, dict):
        return {}
    named = {name: value for name, value in options.items() if name in known}
    for name, value in named.items():
        if not isinstance(value, known[name]):
            raise CheckpointError(
                f"the checkpoint says that its {name} is {value!r}, which is no {known[name].__name__}: give the right "
                f"value with --model-option {name}=.. to a plain state dict"
            )
    return named


def described_seconds(description: Mapping[str, Any]) -> float | None:
    """How long the training clips were in the median, where the checkpoint says it."""
    value = description.get("clip_seconds")
    return float(value) if isinstance(value, int | float) and 0 < value < float("inf") else None


def described_temperature(description: Mapping[str, Any], origin: Path) -> float:
    """The temperature that ``mmn-edge evaluate --fit-temperature --write`` stored; 1 where none did.

    Raises:
        CheckpointError: It is no positive number.
    """
    value = description.get("temperature", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise CheckpointError(f"{origin} has a temperature of {value!r}, which is no positive number")
    return float(value)


def described_task(description: Mapping[str, Any], origin: Path) -> str:
    """What a checkpoint was trained for; one that does not say it classifies.

    Raises:
        CheckpointError: It names a task that is none.
    """
    task = description.get("task", CLASSIFY)
    if task not in TASKS:
        raise CheckpointError(f"{origin} says that its task is {task!r}, and a task is {' or '.join(TASKS)}")
    return str(task)


def _described_labels(description: Mapping[str, Any], origin: Path) -> Labels:
    try:
        return Labels.from_dict(description["labels"])
    except (BundleError, LookupError, TypeError) as error:
        raise CheckpointError(f"{origin} has a broken list of classes: {error}") from error


def _from_description(description: Mapping[str, Any], stream: str | None, origin: Path) -> Identity:
    try:
        return Identity(
            preset=description.get("preset"),
            layout=layouts.get(description["layout"]),
            labels=_described_labels(description, origin),
            window=Window(**description["window"]),
            stream=stream or "joint",
            task=described_task(description, origin),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{origin} describes itself wrongly ({error!r}): say what it is with --preset and --stream"
        ) from error
