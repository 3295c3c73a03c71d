"""Named starting points: for each data set its layout, its classes and the window a live stream is cut into."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mmn_edge.errors import UsageError
from mmn_edge.model import labels
from mmn_edge.skeleton import layouts

__all__ = ["CHECKPOINT_ORIGINS", "PRESETS", "Preset", "Window", "get", "guess"]

CHECKPOINT_ORIGINS = (
    "'mmn-edge train' makes one, and those of the authors are linked from https://github.com/momiji-bit/MMN "
    "(docs/guides/checkpoints.md)"
)
"""Where to get a checkpoint that is not there, as the end of a sentence."""


MIN_SECONDS, MAX_SECONDS = 0.01, 3600


SHORTEST, LONGEST = 0.3, 60.0
"""Seconds of a live window that follows the clips: shorter ones hold too few frames, longer ones come too late."""

TOLERANCE = 1.25
"""How many times as long as the window clips may be, or the window as the clips."""


@dataclass(frozen=True)
class Window:
    """How a live stream is cut: the last ``seconds`` of it, resampled to ``frames``, every ``stride`` seconds."""

    frames: int = 64
    seconds: float = 2.0
    stride: float = 0.25

    def __post_init__(self) -> None:
        if not (MIN_SECONDS <= self.seconds <= MAX_SECONDS and MIN_SECONDS <= self.stride <= MAX_SECONDS):
            raise UsageError(
                f"a window of {self.seconds} s every {self.stride} s makes no sense: both must be positive, from "
                f"{MIN_SECONDS} to {MAX_SECONDS} s"
            )
        if self.frames < 1:
            raise UsageError(f"a window of {self.frames} frames makes no sense: it must be at least 1")

    def of_clips(self, seconds: float) -> Window:
        """The same for clips of ``seconds``: as long as they are, within what a live window can be."""
        seconds = round(min(max(seconds, SHORTEST), LONGEST), 2)
        return replace(self, seconds=seconds, stride=min(self.stride, seconds))

    def misses(self, seconds: float) -> bool:
        """Whether clips of ``seconds`` are of another length than the window, by more than a quarter."""
        return not 1 / TOLERANCE <= seconds / self.seconds <= TOLERANCE

    @property
    def max_gap(self) -> float:
        """Seconds that a person may go unseen and still be taken for the same movement: half a window."""
        return self.seconds / 2


@dataclass(frozen=True)
class Preset:
    """What a checkpoint itself does not tell.

    Attributes:
        layout: Name of the skeleton layout, see :mod:`mmn_edge.skeleton.layouts`.
        labels: Name of the label set, see :mod:`mmn_edge.model.labels`; None where data brings its own class names.
        in_channels: Coordinates per joint.
        window: The default live window. Its length follows the data set's clips.
    """

    layout: str
    labels: str | None
    in_channels: int = 2
    window: Window = Window()


PRESETS: dict[str, Preset] = {
    "ma52": Preset("ma52", "ma52"),
    # iMiGUE's clips are 90 frames at 25-30 per second.
    "imigue": Preset("imigue", "imigue", window=Window(seconds=3.0)),
    "nw-ucla": Preset("nw-ucla", None, in_channels=3),
    "jhmdb": Preset("jhmdb", None, window=Window(seconds=1.2)),
    "synthetic": Preset("ma52", "synthetic"),
    "synthetic-scenes": Preset("ma52", "synthetic-scenes"),
}


def get(name: str) -> Preset:
    """A preset by name.

    Raises:
        UsageError: There is no such preset.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise UsageError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}") from None


def guess(num_joints: int, num_classes: int, in_channels: int) -> str | None:
    """The one preset whose joints, classes and coordinates are those of a checkpoint, if there is one."""
    fitting = [
        name
        for name, preset in PRESETS.items()
        if preset.labels is not None
        and layouts.get(preset.layout).num_joints == num_joints
        and len(labels.get(preset.labels)) == num_classes
        and preset.in_channels == in_channels
    ]
    return fitting[0] if len(fitting) == 1 else None
