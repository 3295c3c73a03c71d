"""Synthetic scenes: people who do several things at once, with the truth, in layout ``ma52``.

Movements of different body parts overlap, last from half a second to a quarter of a minute, and lie between rests and
fidgets that are no class. How long and how much at once follows counts of MA-52's interviews ("MMAD: Multi-label
Micro-Action Detection in Videos", arXiv 2407.05311). Everything follows from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mmn_edge.datasets.synthetic.clips import Actor, Segment, Subject, fidgets_between, play
from mmn_edge.datasets.synthetic.movements import Performance
from mmn_edge.errors import UsageError
from mmn_edge.skeleton.frame import Frame

__all__ = ["CLASSES", "MAX_PERSONS", "PARTS", "Scene", "scene"]

MAX_PERSONS = 32

PARTS: dict[str, tuple[str, ...]] = {
    "head": ("nodding", "shaking head", "tilting head"),
    "trunk": ("shrugging", "shaking body"),
    "hands": (
        "waving",
        "rubbing hands",
        "scratching or touching neck",
        "crossing arms",
        "touching nose",
        "patting legs",
    ),
    "legs": ("shaking legs",),
}
"""Body parts and what each can do; one part does one thing at a time."""

CLASSES = tuple(label for labels in PARTS.values() for label in labels)
"""The classes of a scene; rest is none."""

# Starts per second of a part that is free; with the durations these give the counted shares of frames.
_STARTS = {"head": 0.185, "trunk": 0.020, "hands": 0.34, "legs": 0.026}
_BUSY = (2.4, 1.0, 0.55, 0.25)  # the same, times this, with 0, 1, 2, 3 parts at work
_MEDIANS = {  # seconds, MA-52's
    "nodding": 1.70,
    "shaking head": 1.57,
    "tilting head": 1.97,
    "shrugging": 1.77,
    "shaking body": 4.03,
    "waving": 3.03,
    "rubbing hands": 2.07,
    "scratching or touching neck": 2.37,
    "crossing arms": 7.00,
    "touching nose": 2.57,
    "patting legs": 1.13,
    "shaking legs": 7.87,
}
_SPREAD = 0.9  # deviation of the logarithm of a duration
_SHORTEST, _LONGEST = 0.6, 14.0
_PAUSE = 0.4  # seconds between two movements of one part
_TICK = 0.1  # seconds


@dataclass(frozen=True)
class Scene:
    """A recording of one or several persons, with the truth.

    Attributes:
        seconds: Its length.
        seed: What it follows from, with the other arguments of :func:`scene`.
        fps: Nominal frames per second.
        movements: For every person (ids 0, 1, ...) the movements in order of their start; different parts' overlap.
    """

    seconds: float
    seed: int
    fps: float
    movements: tuple[tuple[Segment, ...], ...]
    _actors: tuple[Actor, ...] = field(repr=False)

    def frames(self) -> Iterator[Frame]:
        """The frames, the same every time, at uneven times, a frame lost now and then."""
        return play(self._actors, self.seconds, self.fps, np.random.default_rng((self.seed, 1)))


def scene(
    seconds: float, seed: int, *, fps: float = 30.0, persons: int = 1, activity: float = 1.0, fidgets: float = 0.12
) -> Scene:
    """Write a scene.

    Args:
        seconds: Length; what goes on at its end is cut there.
        seed: Other seeds give other people who do other things.
        fps: Frames per second.
        persons: How many, side by side.
        activity: Times as many movements as people make in interviews; 0 for none.
        fidgets: Movements that are no class, for each second and person.

    Raises:
        UsageError: A length or frame rate that is not positive, no person or too many, less than no activity.
    """
    if not (seconds > 0 and fps > 0 and activity >= 0 and fidgets >= 0):
        raise UsageError(f"a scene of {seconds} s at {fps} frames per second makes no sense")
    if not 1 <= persons <= MAX_PERSONS:
        raise UsageError(f"a scene has 1 to {MAX_PERSONS} persons, not {persons}")
    movements, actors, left = [], [], 0.0
    for person in range(persons):
        rng = np.random.default_rng((seed, 2, person))
        subject = Subject.random(rng)
        performances = _perform(seconds, activity, rng)
        truth = sorted((p.start, min(p.end, seconds), p.movement) for p in performances)
        movements.append(tuple(Segment(*entry) for entry in truth))
        performances += fidgets_between(0.0, seconds, fidgets, rng)
        actors.append(Actor(subject, tuple(performances), left))
        left += subject.camera.width
    return Scene(seconds, seed, fps, tuple(movements), tuple(actors))


def _perform(seconds: float, activity: float, rng: np.random.Generator) -> list[Performance]:
    """The movements of one person: each part that is free begins one now and then, seldom while others are at work."""
    free = dict.fromkeys(PARTS, 0.0)  # when each part may begin again
    performances: list[Performance] = []
    ends: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    for tick in range(int(seconds / _TICK)):
        now = tick * _TICK
        for part, labels in PARTS.items():
            if now < free[part]:
                continue
            busy = sum(end > now for end in ends.values())
            if rng.random() >= activity * _STARTS[part] * _BUSY[min(busy, 3)] * _TICK:
                continue
            label = labels[rng.integers(len(labels))]
            length = float(np.clip(1.1 * _MEDIANS[label] * np.exp(rng.normal(0.0, _SPREAD)), _SHORTEST, _LONGEST))
            start = now + rng.uniform(0.0, _TICK)
            performances.append(Performance.random(label, start, start + length, rng))
            ends[part] = start + length
            free[part] = start + length + _PAUSE
    return performances
