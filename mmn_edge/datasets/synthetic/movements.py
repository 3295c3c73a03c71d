"""The synthetic micro-actions: how each moves a kinematic body, and how its performances differ.

Names and groups are those of MA-52 (Guo et al., "Benchmarking Micro-action Recognition", IEEE TCSVT 2024),
plus ``rest``: no labelled movement, though the person may fidget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmn_edge.datasets.synthetic.body import Array, Body, Pose, Posture, hand_vector

__all__ = ["CLASSES", "CLASS_GROUPS", "FIDGETS", "GROUPS", "Performance", "perform"]

GROUPS = ("body", "head", "upper limb", "lower limb", "body-hand", "head-hand", "leg-hand", "rest")
"""Body-level groups, as in MA-52, and ``rest``."""


@dataclass(frozen=True)
class Performance:
    """One performance of a movement.

    Attributes:
        movement: A class other than rest, or a fidget.
        start: Seconds.
        end: Seconds.
        ease: Seconds to go from the posture into the movement, and back.
        amplitude: In the unit of the movement: radians or metres.
        rate: Cycles per second.
        phase: Radians at the start.
        side: 0 for the left, 1 for the right.
        variant: 0..1, chooses between ways to do it.
        offset: ``(3,)``, metres by which the target is missed.
    """

    movement: str
    start: float
    end: float
    ease: float
    amplitude: float
    rate: float
    phase: float
    side: int
    variant: float
    offset: Array

    @classmethod
    def random(cls, movement: str, start: float, end: float, rng: np.random.Generator) -> Performance:
        """A performance with random amplitude, pace and side."""
        kind = _MOVEMENTS[movement]
        u = rng.random(6).tolist()
        unit = np.pi / 180 if kind.degrees else 1.0
        low, high = kind.amplitude
        return cls(
            movement=movement,
            start=start,
            end=end,
            ease=min(kind.ease[0] + (kind.ease[1] - kind.ease[0]) * u[0], 0.45 * (end - start)),
            amplitude=unit * (low + (high - low) * u[1]),
            rate=kind.rate[0] + (kind.rate[1] - kind.rate[0]) * u[2],
            phase=2 * np.pi * u[3],
            side=int(u[4] < 0.5),
            variant=u[5],
            offset=rng.normal(0.0, 0.012, 3),
        )


@dataclass(frozen=True)
class _Cue:
    """What a movement needs to know: frames (T,), the body and the posture it starts from."""

    weight: Array
    angle: Array
    performance: Performance
    body: Body
    posture: Posture

    @property
    def swing(self) -> Array:
        """``(T,)``: the oscillation with its amplitude."""
        swing: Array = self.weight * np.sin(self.angle) * self.performance.amplitude
        return swing

    @property
    def bump(self) -> Array:
        """``(T,)``: the oscillation to one side only, 0 to its amplitude."""
        bump: Array = self.weight * (0.5 - 0.5 * np.cos(self.angle)) * self.performance.amplitude
        return bump

    def reach(self, pose: Pose, side: int, hand: Array, sway: Array | None = None, curl: float = 0.3) -> None:
        """Lead a hand to a hand vector ``(12,)`` in the torso's frame; the wrist sways by ``(T, 3)``."""
        weight = self.weight[:, None]
        pose.reach[:, side] = self.weight
        pose.target[:, side] = hand
        pose.target[:, side, :3] += self.performance.offset
        if sway is not None:
            pose.target[:, side, :3] += sway
        pose.target[:, side, 2:3] += 0.12 * (1 - weight)  # an arc, so that the hand clears the body
        pose.curl[:, side] += weight * (curl - pose.curl[:, side])


def perform(performance: Performance, pose: Pose, times: Array, body: Body, posture: Posture) -> None:
    """Add a performance to a pose in place.

    Args:
        performance: What to do.
        pose: T frames.
        times: ``(T,)``, seconds, rising.
        body: Whose body.
        posture: Its posture.
    """
    first, last = np.searchsorted(times, (performance.start, performance.end))
    if first == last:
        return
    elapsed = times[first:last] - performance.start
    left = performance.end - times[first:last]
    weight = _ease(elapsed / performance.ease) * _ease(left / performance.ease)
    # Nobody keeps time perfectly: the pace wanders by some percent.
    angle = 2 * np.pi * performance.rate * (elapsed + 0.03 * np.sin(2.3 * elapsed + performance.phase))
    kind = _MOVEMENTS[performance.movement]
    if kind.free_phase:
        angle += performance.phase
    kind.act(_Cue(weight, angle, performance, body, posture), pose.between(int(first), int(last)))


def _ease(x: Array) -> Array:
    """Minimum-jerk rise from 0 to 1 (Flash and Hogan, J. Neuroscience 1985)."""
    x = np.minimum(np.maximum(x, 0.0), 1.0)
    rise: Array = x * x * x * (10 + x * (6 * x - 15))
    return rise


def _nod(cue: _Cue, pose: Pose) -> None:
    pose.trunk[:, 1, 0] += cue.bump


def _shake_head(cue: _Cue, pose: Pose) -> None:
    pose.trunk[:, 1, 1] += cue.swing


def _tilt_head(cue: _Cue, pose: Pose) -> None:
    sign = 1 - 2 * cue.performance.side
    sway = np.sin(cue.angle) * 0.12
    pose.trunk[:, 1, 2] += sign * cue.performance.amplitude * cue.weight * (1 + sway)
    pose.trunk[:, 1, 1] += sign * 0.15 * cue.performance.amplitude * cue.weight


def _shrug(cue: _Cue, pose: Pose) -> None:
    # Shoulders go up, stay for a moment and drop: a bump with a flattened top.
    lift = cue.performance.amplitude * cue.weight * np.minimum(1.3 * (0.5 - 0.5 * np.cos(cue.angle)), 1.0)
    pose.shrug += lift[:, None]
    pose.trunk[:, 1, 0] -= 0.15 * lift
    pose.anchor[:, :, 1] += 0.12 * lift[:, None]


def _shake_body(cue: _Cue, pose: Pose) -> None:
    swing = cue.swing
    if cue.performance.variant < 0.65:
        pose.trunk[:, 0, 2] += swing
        pose.trunk[:, 1, 2] -= 0.4 * swing  # the head stays more upright than the torso
    else:
        pose.trunk[:, 0, 0] += 1.3 * swing
        pose.trunk[:, 1, 0] -= 0.5 * swing
    pose.trunk[:, 0, 1] += (0.6 * cue.performance.variant) * swing


def _wave(cue: _Cue, pose: Pose) -> None:
    p, side = cue.performance, cue.performance.side
    height = (0.72 + 0.45 * p.variant) * cue.body.torso
    wrist = (cue.body.clavicle + 0.10, height, 0.20)
    hand = hand_vector(side, wrist, (0.0, 1.0, 0.1), (0.0, -0.1, 1.0), (0.6, -1.0, -0.1))
    swing = np.sin(cue.angle) * p.amplitude
    sway = np.zeros((len(swing), 3))
    sway[:, 0] = swing
    cue.reach(pose, side, hand, sway, curl=0.1)
    pose.target[:, side, 3] += 4.0 * swing  # the hand tilts with the forearm


def _rub_hands(cue: _Cue, pose: Pose) -> None:
    p = cue.performance
    height = (0.22 + 0.35 * p.variant) * cue.body.torso
    swing = np.sin(cue.angle) * p.amplitude
    for side in (0, 1):
        fingers = (-0.45, 0.35, 1.0)
        hand = hand_vector(side, (0.055, height, 0.25), fingers, (-1.0, 0.0, 0.0), (0.9, -0.5, -0.2))
        sway = swing[:, None] * hand[3:6] / np.linalg.norm(fingers) * (1 - 2 * side)
        cue.reach(pose, side, hand, sway, curl=0.15)


def _shake_legs(cue: _Cue, pose: Pose) -> None:
    p = cue.performance
    if p.variant < 0.25:  # the knee swings sideways
        pose.foot[:, p.side, 0] += 0.3 * cue.bump
        pose.knee[:, p.side, 0] += 1.2 * cue.swing
    else:  # the heel drums, the toes stay
        for side in (0, 1) if p.variant > 0.75 else (p.side,):
            pose.foot[:, side, 0] += cue.bump


def _touch_neck(cue: _Cue, pose: Pose) -> None:
    p, body = cue.performance, cue.body
    tip = np.array((0.055, body.torso + 0.55 * body.neck, -0.02 - 0.03 * p.variant))
    fingers = np.array((-0.75, 0.35, -0.55))
    wrist = tip - 0.16 * body.hand * fingers
    hand = hand_vector(p.side, wrist, fingers, (-0.4, 0.0, -0.9), (0.8, -0.7, 0.6))
    scratch = (np.sin(cue.angle) * p.amplitude * (p.variant > 0.3))[:, None] * np.array((0.0, 1.0, 0.3))
    cue.reach(pose, p.side, hand, scratch, curl=0.35)
    pose.trunk[:, 1, 2] += (1 - 2 * p.side) * np.radians(3.0) * cue.weight


def _cross_arms(cue: _Cue, pose: Pose) -> None:
    p, body = cue.performance, cue.body
    for side in (0, 1):
        above = side == p.side
        wrist = (-0.09, (0.46 if above else 0.38) * body.torso, 0.20 if above else 0.15)
        hand = hand_vector(side, wrist, (-1.0, 0.15, -0.25), (0.0, 0.0, -1.0), (0.9, -0.7, 0.3))
        cue.reach(pose, side, hand, curl=0.35)


def _touch_nose(cue: _Cue, pose: Pose) -> None:
    p, body = cue.performance, cue.body
    nose = np.array((0.008, body.torso + body.neck + 0.025 * body.head, 0.125 * body.head))
    fingers = np.array((-0.40, 0.90, -0.15))
    wrist = nose - 0.16 * body.hand * fingers + np.array((-0.02, 0.0, 0.015))
    hand = hand_vector(p.side, wrist, fingers, (-0.3, -0.1, -1.0), (0.7, -1.0, 0.2))
    rub = (np.sin(cue.angle) * p.amplitude * (p.variant > 0.4))[:, None] * np.array((1.0, 0.3, 0.0))
    cue.reach(pose, p.side, hand, rub, curl=0.6)
    pose.curl[:, p.side, 1] -= 0.5 * cue.weight  # the index finger stays out


def _pat_legs(cue: _Cue, pose: Pose) -> None:
    p, body, standing = cue.performance, cue.body, cue.posture.standing
    lift = (0.5 - 0.5 * np.cos(cue.angle)) * p.amplitude
    for side in (0, 1) if p.variant > 0.6 else (p.side,):
        if standing:
            hand = hand_vector(side, (0.21, 0.02, 0.10), (0.0, -1.0, 0.25), (-0.9, 0.0, -0.4), (0.6, 0.2, -0.8))
            away = (0.8 * (1 - 2 * side), 0.8, 0.3)
        else:
            ahead = (0.55 + 0.25 * p.variant) * body.thigh
            hand = hand_vector(side, (0.13, 0.10, ahead), (-0.1, -0.15, 1.0), (0.0, -1.0, 0.0), (0.8, -0.4, -0.5))
            away = (0.0, 1.0, 0.0)
        cue.reach(pose, side, hand, lift[:, None] * np.array(away), curl=0.15)


def _shift_posture(cue: _Cue, pose: Pose) -> None:
    p = cue.performance
    lean = p.amplitude * cue.weight[:, None] * np.array((p.variant, 0.5 - p.variant, (p.variant - 0.5) * 1.2))
    pose.trunk[:, 0] += lean
    pose.pelvis += cue.weight[:, None] * p.offset


def _glance(cue: _Cue, pose: Pose) -> None:
    p = cue.performance
    turn = p.amplitude * cue.weight
    pose.trunk[:, 1, 1] += (1 - 2 * p.side) * turn
    pose.trunk[:, 1, 0] += (p.variant - 0.4) * turn


def _move_hand(cue: _Cue, pose: Pose) -> None:
    p = cue.performance
    way = p.amplitude * np.array((np.cos(p.phase), 0.35 * (1 + np.sin(3 * p.phase)), np.sin(p.phase)))
    pose.anchor[:, p.side, :3] += cue.weight[:, None] * way


def _move_foot(cue: _Cue, pose: Pose) -> None:
    p = cue.performance
    way = p.amplitude * np.array((np.cos(p.phase), 0.0, np.sin(p.phase)))
    pose.toes[:, p.side] += cue.weight[:, None] * way


def _move_fingers(cue: _Cue, pose: Pose) -> None:
    p = cue.performance
    pose.curl[:, p.side] += cue.swing[:, None] * np.array((0.2, 1.0, 0.8, 0.5, 0.3))


@dataclass(frozen=True)
class _Movement:
    """Ranges of a movement; amplitudes in degrees, metres or, for fingers, shares of a full curl."""

    group: str
    act: Callable[[_Cue, Pose], None]
    amplitude: tuple[float, float]
    rate: tuple[float, float]
    ease: tuple[float, float]
    degrees: bool = False
    free_phase: bool = True


_MOVEMENTS = {
    "nodding": _Movement("head", _nod, (8, 20), (1.0, 2.5), (0.15, 0.35), degrees=True, free_phase=False),
    "shaking head": _Movement("head", _shake_head, (8, 20), (1.0, 2.2), (0.2, 0.4), degrees=True),
    "tilting head": _Movement("head", _tilt_head, (12, 24), (0.2, 0.6), (0.3, 0.6), degrees=True),
    "shrugging": _Movement("body", _shrug, (14, 28), (0.7, 1.2), (0.15, 0.3), degrees=True, free_phase=False),
    "shaking body": _Movement("body", _shake_body, (3.5, 8), (0.6, 1.5), (0.3, 0.5), degrees=True),
    "waving": _Movement("upper limb", _wave, (0.04, 0.09), (1.5, 3.0), (0.35, 0.6)),
    "rubbing hands": _Movement("upper limb", _rub_hands, (0.018, 0.04), (1.8, 4.0), (0.3, 0.55)),
    "shaking legs": _Movement("lower limb", _shake_legs, (9, 20), (2.0, 4.5), (0.15, 0.3), degrees=True),
    "scratching or touching neck": _Movement("body-hand", _touch_neck, (0.010, 0.022), (2.5, 4.5), (0.4, 0.65)),
    "crossing arms": _Movement("body-hand", _cross_arms, (0, 0), (0.0, 0.0), (0.45, 0.75)),
    "touching nose": _Movement("head-hand", _touch_nose, (0.005, 0.012), (1.5, 3.0), (0.35, 0.6)),
    "patting legs": _Movement("leg-hand", _pat_legs, (0.05, 0.11), (1.7, 3.0), (0.2, 0.4), free_phase=False),
    "posture shift": _Movement("rest", _shift_posture, (2, 6), (0.0, 0.0), (0.7, 1.4), degrees=True),
    "glance": _Movement("rest", _glance, (5, 18), (0.0, 0.0), (0.5, 1.0), degrees=True),
    "hand shift": _Movement("rest", _move_hand, (0.03, 0.09), (0.0, 0.0), (0.5, 1.2)),
    "foot shift": _Movement("rest", _move_foot, (0.02, 0.06), (0.0, 0.0), (0.4, 0.9)),
    "finger play": _Movement("rest", _move_fingers, (0.10, 0.25), (0.5, 2.0), (0.3, 0.6)),
}

CLASSES = ("rest", *(name for name, kind in _MOVEMENTS.items() if kind.group != "rest"))
"""Class names by label; 0 is rest."""

CLASS_GROUPS = (GROUPS.index("rest"), *(GROUPS.index(_MOVEMENTS[name].group) for name in CLASSES[1:]))
"""Index into :data:`GROUPS` of each class."""

FIDGETS = tuple(name for name, kind in _MOVEMENTS.items() if kind.group == "rest")
"""Unlabelled movements of a person at rest."""
