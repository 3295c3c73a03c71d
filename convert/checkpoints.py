"""The checkpoints that one conversion takes: usually one, or several that see the same joints as different streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmn_edge.errors import UsageError
from mmn_edge.model.description import Identity, described_options, described_temperature, identify
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.skeleton.preprocess import Preprocessing
from mmn_edge.system.files import sha256

__all__ = ["Member", "check_members", "read_member", "shares"]


@dataclass(frozen=True)
class Member:
    """One checkpoint, read.

    Attributes:
        path: The file.
        description: What it says of itself.
        network: In floating point.
        fake: With fake quantization where it has int8 ranges, else the same.
        identity: How it is to be used.
        preprocessing: Of its stream.
        temperature: Fitted for it alone.
    """

    path: Path
    description: Mapping[str, Any]
    network: MMN
    fake: MMN
    identity: Identity
    preprocessing: Preprocessing
    temperature: float

    @property
    def source(self) -> dict[str, Any]:
        """File name and hash, for the manifest."""
        return {"file": self.path.name, "sha256": sha256(self.path)}


def read_member(
    checkpoint: Path, *, preset: str | None, stream: str | None, options: Mapping[str, Any] | None
) -> Member:
    """Read a checkpoint; arguments and errors are those of :func:`mmn_edge.convert.conversion.convert`."""
    state, description = read_checkpoint(checkpoint)
    options = {**described_options(description), **(options or {})}
    network = build_network(state, options, origin=str(checkpoint), quantized=False)
    identity = identify(network.arch, description, preset=preset, stream=stream, origin=checkpoint)
    return Member(
        path=checkpoint,
        description=description,
        network=network,
        fake=build_network(state, options, origin=str(checkpoint)),
        identity=identity,
        preprocessing=identity.preprocessing(network.arch, any_stream=True),
        temperature=described_temperature(description, checkpoint),
    )


def check_members(members: Sequence[Member]) -> None:
    """Refuse checkpoints that cannot share one input and one list of classes.

    Raises:
        UsageError: They differ in architecture, layout, classes or window, or two are of the same stream.
    """
    first = members[0]
    for member in members[1:]:
        for what, mine, other in (
            ("options", first.network.arch, member.network.arch),
            ("layouts", first.identity.layout, member.identity.layout),
            ("tasks", first.identity.task, member.identity.task),
            ("classes", first.identity.labels, member.identity.labels),
            ("windows", first.identity.window, member.identity.window),
        ):
            if mine != other:
                raise UsageError(f"{first.path} and {member.path} have different {what}, so they cannot be one model")
    streams = [member.identity.stream for member in members]
    if len(set(streams)) < len(streams):
        raise UsageError(
            f"{', '.join(str(member.path) for member in members)} are of the streams {', '.join(streams)}: one model "
            "takes each stream once; say with --stream what each was trained on, in the same order"
        )


def shares(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    """The weight of each member's logits: the same for all where None.

    Raises:
        UsageError: As many weights as members are needed, finite, not all 0.
    """
    if weights is None:
        return (1.0 / count,) * count
    if count == 1:
        raise UsageError("--weights is for several checkpoints: leave it out")
    if len(weights) != count or not any(weights) or not all(abs(weight) < float("inf") for weight in weights):
        raise UsageError(f"--weights takes one number for each of the {count} checkpoints, such as 0.6,0.4")
    return tuple(weights)
