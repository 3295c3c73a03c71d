"""A kinematic human body: from joint angles and hand targets to the 44 joints of layout ``ma52`` in 3-D.

The body frame is in metres with its origin between the hips: x to the person's own left, y up, z forward.
All functions work on whole clips at once; sides are ordered (left, right), and T counts frames. Segment
lengths are those of an average adult (Winter, "Biomechanics and Motor Control of Human Movement", section 4),
rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from mmn_edge.skeleton import layouts

__all__ = ["Array", "Body", "Pose", "Posture", "hand_vector", "joints", "rotation", "two_bone"]

Array = npt.NDArray[np.float64]

_SIDES = np.array([1.0, -1.0])
"""Sign of x on the person's left and right."""

_HAND = 12
"""Length of a hand vector: wrist, finger direction, palm normal, and the pole the elbow points to."""

_LAYOUT = layouts.get("ma52")


def _indices(*names: str) -> list[int]:
    return [_LAYOUT.index(name) for name in names]


# Points of the head relative to its pivot at the top of the neck.
_HEAD = {
    "nose": (0.0, 0.030, 0.118),
    "left_eye": (0.032, 0.066, 0.085),
    "right_eye": (-0.032, 0.066, 0.085),
    "left_ear": (0.074, 0.038, 0.0),
    "right_ear": (-0.074, 0.038, 0.0),
    "head": (0.0, 0.170, 0.005),
    "nose_bridge": (0.0, 0.056, 0.103),
    "nose_base": (0.0, 0.017, 0.105),
    "right_eye_outer_corner": (-0.047, 0.064, 0.076),
    "left_eye_outer_corner": (0.047, 0.064, 0.076),
    "upper_lip_top_mid": (0.0, -0.001, 0.106),
    "lower_lip_bottom_mid": (0.0, -0.022, 0.102),
}
_HEAD_JOINTS, _HEAD_POINTS = _indices(*_HEAD), np.array(list(_HEAD.values()))
_TRUNK = _indices("neck", "hip")
# Shoulders and hips, elbows and knees, wrists and ankles.
_ROOTS = _indices("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_MIDDLES = _indices("left_elbow", "right_elbow", "left_knee", "right_knee")
_ENDS = _indices("left_wrist", "right_wrist", "left_ankle", "right_ankle")
_FEET = _indices("left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel")
_HANDS = _indices(
    *(
        f"{side}_{part}"
        for side in ("left", "right")
        for part in ("hand_root", "thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip")
    )
)
# Fingertips, thumb to little finger: reach of the palm, of the finger beyond it, offset to the thumb's side.
_PALM = np.array([0.055, 0.090, 0.092, 0.088, 0.080])
_FINGER = np.array([0.045, 0.078, 0.086, 0.078, 0.060])
_SPREAD = np.array([0.062, 0.030, 0.008, -0.014, -0.036])
_CURL = np.array([0.9, 1.9, 2.0, 2.0, 2.0])  # radians at curl 1


@dataclass(frozen=True)
class Body:
    """Segment lengths in metres; ``head`` and ``hand`` are sizes, 1 for average."""

    torso: float = 0.50
    neck: float = 0.095
    clavicle: float = 0.185
    pelvis: float = 0.22
    upper_arm: float = 0.29
    forearm: float = 0.26
    thigh: float = 0.43
    shank: float = 0.41
    foot: float = 0.23
    ankle: float = 0.075
    head: float = 1.0
    hand: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> Body:
        """A body of random stature and proportions."""
        default = [float(field.default) for field in fields(cls)]  # type: ignore[arg-type]
        scale = rng.uniform(0.9, 1.1) * rng.uniform(0.95, 1.05, len(default))
        return cls(*(np.array(default) * scale).tolist())


@dataclass
class Pose:
    """What moves, frame by frame; movements add to it in place.

    Attributes:
        pelvis: ``(T, 3)``, displacement of the origin.
        trunk: ``(T, 2, 3)``, radians: torso, then head relative to it; pitch (forwards), yaw (to the own
            left), roll (to the own right).
        shrug: ``(T, 2)``, elevation of the shoulders in radians.
        anchor: ``(T, 2, 12)``, where the hands rest, in the body frame.
        target: ``(T, 2, 12)``, where the hands reach, in the frame of the torso.
        reach: ``(T, 2)``, 0 for the hand at its anchor, 1 at its target.
        curl: ``(T, 2, 5)``, fingers: 0 straight, 1 closed.
        toes: ``(T, 2, 3)``, tips of the big toes.
        foot: ``(T, 2, 2)``, radians: heel lifted, toes turned outwards.
        knee: ``(T, 2, 3)``, the pole each knee points to.
    """

    pelvis: Array
    trunk: Array
    shrug: Array
    anchor: Array
    target: Array
    reach: Array
    curl: Array
    toes: Array
    foot: Array
    knee: Array

    def between(self, start: int, stop: int) -> Pose:
        """A view of some frames."""
        return Pose(
            self.pelvis[start:stop],
            self.trunk[start:stop],
            self.shrug[start:stop],
            self.anchor[start:stop],
            self.target[start:stop],
            self.reach[start:stop],
            self.curl[start:stop],
            self.toes[start:stop],
            self.foot[start:stop],
            self.knee[start:stop],
        )


@dataclass(frozen=True)
class Posture:
    """How somebody sits or stands when nothing happens; arrays as in :class:`Pose`, without the time axis."""

    standing: bool
    trunk: Array
    hands: Array
    curl: Array
    toes: Array
    foot: Array
    knee: Array

    @classmethod
    def random(cls, body: Body, rng: np.random.Generator) -> Posture:
        """Seated or standing, with the hands on the lap, folded, at the sides or on a table."""
        standing = bool(rng.random() < 0.3)
        place = rng.choice(("sides", "folded") if standing else ("lap", "lap", "folded", "sides", "table", "table"))
        trunk = rng.normal(0.0, 1.0, (2, 3)) * np.radians(((3.0, 3.0, 1.5), (4.0, 4.0, 2.0)))
        trunk[0, 0] += np.radians(2.0 if standing else 4.0)
        spread = rng.normal(0.0, 0.015, (2, 3))
        hands = np.stack([_resting_hand(side, str(place), body, standing) for side in (0, 1)])
        hands[:, :3] += spread + (rng.normal(0.0, 0.02, 3) if place in ("table", "folded") else 0.0)
        curl = np.repeat(rng.uniform(0.1, 0.5, (2, 1)), 5, axis=1)
        floor = -(body.thigh + body.shank + body.ankle - 0.03) if standing else -(body.shank + body.ankle - 0.05)
        stance = 0.5 * body.pelvis + rng.uniform(-0.03, 0.07) + rng.normal(0.0, 0.01, 2)
        toes = np.empty((2, 3))
        toes[:, 0], toes[:, 1] = (stance[0], -stance[1]), floor
        ahead = 0.7 * body.foot if standing else body.thigh + rng.uniform(0.02, 0.16)
        toes[:, 2] = ahead + rng.normal(0.0, 0.02, 2)
        foot = np.zeros((2, 2))
        foot[:, 1] = rng.uniform(0.0, 0.35)
        outwards = rng.uniform(0.0, 0.15)
        knee = np.array(((outwards, 0.3, 1.0), (-outwards, 0.3, 1.0)))
        if not standing:
            knee[:, 1:] = (1.0, 0.5)
        return cls(standing, trunk, hands, curl, toes, foot, knee)

    def hold(self, frames: int) -> Pose:
        """The posture, kept for some frames."""

        def still(values: Array) -> Array:
            return np.repeat(values[None], frames, axis=0)

        return Pose(
            pelvis=np.zeros((frames, 3)),
            trunk=still(self.trunk),
            shrug=np.zeros((frames, 2)),
            anchor=still(self.hands),
            target=still(self.hands),
            reach=np.zeros((frames, 2)),
            curl=still(self.curl),
            toes=still(self.toes),
            foot=still(self.foot),
            knee=still(self.knee),
        )


def _resting_hand(side: int, place: str, body: Body, standing: bool) -> Array:
    if place == "lap":
        vector = ((0.13, 0.10, 0.68 * body.thigh), (-0.2, -0.12, 1.0), (0.0, -1.0, 0.0), (0.8, -0.4, -0.5))
    elif place == "folded" and standing:
        vector = ((0.06, 0.02, 0.19), (-0.7, -0.7, 0.15), (0.0, -0.2, -1.0), (0.8, -0.3, -0.4))
    elif place == "folded":
        vector = ((0.075, 0.12, 0.22), (-1.0, -0.1, 0.6), (0.0, -0.7, -0.7), (0.8, -0.4, -0.4))
    elif place == "table":
        vector = ((0.14, 0.23, 0.36), (-0.45, 0.0, 1.0), (0.0, -1.0, 0.0), (0.8, -0.5, -0.2))
    else:
        vector = ((0.25, -0.03, 0.05), (0.0, -1.0, 0.15), (-1.0, 0.0, 0.0), (0.6, 0.0, -0.8))
    return hand_vector(side, *vector)


def hand_vector(side: int, wrist: object, fingers: object, palm: object, pole: object) -> Array:
    """A hand vector ``(12,)`` from four vectors written for the left side; mirrored for side 1."""
    vector = np.array((wrist, fingers, palm, pole), dtype=np.float64)
    vector[:, 0] *= _SIDES[side]
    return vector.reshape(_HAND)


def rotation(angles: Array) -> Array:
    """Rotation matrices ``(..., 3, 3)`` of pitch, yaw, roll ``(..., 3)``: roll first, yaw last."""
    sin, cos = np.sin(angles), np.cos(angles)
    (sx, sy, sz), (cx, cy, cz) = np.moveaxis(sin, -1, 0), np.moveaxis(cos, -1, 0)
    sysx, cysx = sy * sx, cy * sx
    out = np.empty((*angles.shape, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = cy * cz + sysx * sz, sysx * cz - cy * sz, sy * cx
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = cx * sz, cx * cz, -sx
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = cysx * sz - sy * cz, cysx * cz + sy * sz, cy * cx
    return out


def two_bone(root: Array, target: Array, upper: Array, lower: Array, pole: Array) -> tuple[Array, Array]:
    """Inverse kinematics of limbs of two bones.

    Args:
        root: ``(..., 3)``, shoulder or hip.
        target: ``(..., 3)``, wanted wrist or ankle; one out of reach is moved along the line from the root.
        upper: ``(...)``, length of the first bone.
        lower: ``(...)``, length of the second bone.
        pole: ``(..., 3)``, direction that the middle joint bends to.

    Returns:
        The middle joints and the ends, each ``(..., 3)``.
    """
    line = target - root
    wanted = _norm(line)
    axis = line / wanted
    upper, lower = upper[..., None], lower[..., None]
    length = np.clip(wanted, 1.1 * np.abs(upper - lower) + 0.02, 0.995 * (upper + lower))
    along = (upper**2 - lower**2 + length**2) / (2 * length)
    aside = pole - (pole * axis).sum(-1, keepdims=True) * axis
    height = np.sqrt(np.maximum(upper**2 - along**2, 0.0))
    return root + along * axis + (height / _norm(aside)) * aside, root + length * axis


def joints(body: Body, pose: Pose) -> Array:
    """Forward kinematics.

    Returns:
        Joints ``(T, 44, 3)`` of layout ``ma52`` in the body frame.
    """
    frames = len(pose.pelvis)
    out = np.empty((frames, _LAYOUT.num_joints, 3))
    # The neck takes part of the head's pitch and roll; the skull turns on top of it.
    angles = np.empty((3, frames, 3))
    angles[0], angles[1], angles[2] = pose.trunk[:, 0], pose.trunk[:, 1], pose.trunk[:, 1] * (0.35, 0.0, 0.35)
    torso, skull, neck = rotation(angles)
    pelvis = pose.pelvis[:, None]

    base = pelvis + body.torso * torso[:, None, :, 1]
    pivot = base + body.neck * (torso @ neck[:, :, 1, None]).swapaxes(1, 2)
    out[:, _HEAD_JOINTS] = pivot + (body.head * _HEAD_POINTS) @ (torso @ skull).swapaxes(1, 2)
    out[:, _TRUNK[0]], out[:, _TRUNK[1]] = base[:, 0], pose.pelvis

    elevation = pose.shrug[..., None] - 0.10
    clavicle = _SIDES[:, None] * np.cos(elevation) * torso[:, None, :, 0] + np.sin(elevation) * torso[:, None, :, 1]
    roots = np.empty((frames, 4, 3))
    roots[:, :2] = base + body.clavicle * clavicle
    roots[:, 2:] = pelvis + np.array(((0.5 * body.pelvis, 0.0, 0.0), (-0.5 * body.pelvis, 0.0, 0.0)))

    hands = pose.target.reshape(frames, 8, 3) @ torso.swapaxes(1, 2)
    hands[:, ::4] += pelvis
    hands = hands.reshape(frames, 2, _HAND)
    hands = pose.anchor + pose.reach[..., None] * (hands - pose.anchor)
    fingers, palm = hands[..., 3:6], hands[..., 6:9]

    lift, turn = pose.foot[..., 0, None], pose.foot[..., 1]
    ahead = np.stack([_SIDES * np.sin(turn), np.zeros_like(turn), np.cos(turn)], axis=-1)
    up = np.array((0.0, 1.0, 0.0))
    back, top = np.sin(lift) * up - np.cos(lift) * ahead, np.cos(lift) * up + np.sin(lift) * ahead
    across = np.stack([_SIDES * np.cos(turn), np.zeros_like(turn), -np.sin(turn)], axis=-1)

    ends = np.empty((frames, 4, 3))
    ends[:, :2] = hands[..., :3]
    ends[:, 2:] = pose.toes + 0.8 * body.foot * back + body.ankle * top
    poles = np.concatenate([hands[..., 9:], pose.knee], axis=1)
    upper = np.array((body.upper_arm, body.upper_arm, body.thigh, body.thigh))
    lower = np.array((body.forearm, body.forearm, body.shank, body.shank))
    middles, ends = two_bone(roots, ends, upper, lower, poles)
    out[:, _ROOTS], out[:, _MIDDLES], out[:, _ENDS] = roots, middles, ends

    # The feet follow the ankles, which inverse kinematics may have moved.
    toes = ends[:, 2:] - 0.8 * body.foot * back - body.ankle * top
    small_toes = toes + body.foot * (0.12 * back + 0.3 * across)
    out[:, _FEET] = np.concatenate([toes, small_toes, toes + body.foot * back], axis=1)
    out[:, _HANDS] = _hands(body, ends[:, :2], fingers, palm, pose.curl).reshape(frames, 12, 3)
    return out


def _hands(body: Body, wrist: Array, fingers: Array, palm: Array, curl: Array) -> Array:
    """Roots and fingertips ``(T, 2, 6, 3)`` of both hands."""
    ahead = fingers / _norm(fingers)
    normal = palm - (palm * ahead).sum(-1, keepdims=True) * ahead
    normal /= _norm(normal)
    thumb = -_SIDES[:, None] * np.cross(ahead, normal)
    bend = curl * _CURL
    forward, inward = _PALM + _FINGER * np.cos(bend), _FINGER * np.sin(bend)
    out = np.empty((*wrist.shape[:2], 6, 3))
    out[:, :, 0] = wrist + 0.012 * body.hand * ahead
    out[:, :, 1:] = wrist[:, :, None] + body.hand * (
        forward[..., None] * ahead[:, :, None]
        + inward[..., None] * normal[:, :, None]
        + _SPREAD[:, None] * thumb[:, :, None]
    )
    return out


def _norm(vectors: Array) -> Array:
    """Lengths ``(..., 1)``, never zero."""
    lengths: Array = np.sqrt((vectors * vectors).sum(-1, keepdims=True)) + 1e-9
    return lengths
