"""The one way from skeletons, as a clip or a stream has them, to what a model takes.

Joints that were not seen are hidden (:mod:`mmn_edge.skeleton.missing`), the others mapped to the model's layout
(:mod:`mmn_edge.skeleton.mappings`, which turns the axes too), and what is missing then is filled in. Live streams,
recordings, data sets, calibration and training all come through here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmn_edge.errors import LayoutError
from mmn_edge.skeleton import layouts, mappings
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.layouts import Layout
from mmn_edge.skeleton.missing import fill_missing, hide_unseen, share_seen, split_confidence

__all__ = ["ModelInputs"]


class ModelInputs:
    """Brings skeletons of one layout to a model's joints and coordinates.

    Args:
        source: The layout that the skeletons are in; None where nobody says it, and then it must be the model's.
        target: The layout of the model's joints; None where that is unknown.
        joints: V, the model's joints.
        channels: C, the model's coordinates a joint.
        bones: Along these a joint that was never seen is filled in.

    Raises:
        LayoutError: There is no such layout, or no mapping between the two.
    """

    def __init__(
        self,
        source: str | None,
        target: Layout | None,
        *,
        joints: int,
        channels: int,
        bones: Sequence[tuple[int, int]],
    ) -> None:
        self._mapping = None
        if source is not None and target is not None and source != target.name:
            self._mapping = mappings.get(source, target.name)
        self._source = layouts.get(source) if source is not None else target
        self._target = target
        self._joints, self._channels, self._bones = joints, channels, tuple(bones)

    @property
    def is_mapped(self) -> bool:
        """Whether the skeletons are in another layout than the model's."""
        return self._mapping is not None

    @property
    def reach(self) -> float:
        """The share of the model's joints that skeletons of this layout can show at most."""
        return 1.0 if self._mapping is None else self._mapping.reach

    def seen(self, keypoints: FloatArray, scores: FloatArray, where: str) -> tuple[FloatArray, FloatArray]:
        """The model's joints as far as they were seen, of one frame or of many.

        Args:
            keypoints: ``(..., V, C)`` in the source's layout.
            scores: ``(..., V)``, confidence from 0 to 1.
            where: Begins the message of an error.

        Returns:
            Float32 keypoints ``(..., V, C)`` and scores ``(..., V)`` of the model's joints; NaN and 0 where a joint was
            not seen.

        Raises:
            LayoutError: Other joints than the layout's, or too few coordinates.
            DataError: A third number that is no confidence where the layout has two coordinates.
        """
        if self._source is not None and keypoints.shape[-1] > self._source.channels:
            keypoints, scores = split_confidence(keypoints, scores, where)
        if keypoints.shape[-1] < self._channels:
            raise LayoutError(
                f"{where} has {keypoints.shape[-1]} coordinates per joint, and the model needs {self._channels}: use "
                "data with as many"
            )
        if self._mapping is None and keypoints.shape[-2] != self._joints:
            fitting = [name for name in layouts.names() if layouts.get(name).num_joints == keypoints.shape[-2]]
            hint = f" (it may be {' or '.join(fitting)})" if fitting else ""
            raise LayoutError(
                f"{where} has {keypoints.shape[-2]} joints and the model takes {self._joints}: name the layout that "
                f"they are in with --layout{hint}, so that they can be mapped"
            )
        hidden, scores, _ = hide_unseen(keypoints, scores)
        if self._mapping is not None:
            hidden, scores = self._mapping.apply(hidden, scores)
        return hidden[..., : self._channels], scores

    def filled(self, keypoints: FloatArray) -> FloatArray:
        """``(T, V, C)`` of the model's joints, finite: what was not seen is filled in."""
        return fill_missing(keypoints, self._bones)

    def take(self, keypoints: FloatArray, scores: FloatArray | None, where: str) -> tuple[FloatArray, float]:
        """A clip as the model takes it.

        Args:
            keypoints: ``(T, V, C)`` in the source's layout.
            scores: ``(T, V)``; None where every joint that is not NaN was seen.
            where: Begins the message of an error.

        Returns:
            Finite ``(T, V, C)``, and the share of its joints and frames that was seen.

        Raises:
            LayoutError: As for :meth:`seen`, as is DataError.
        """
        if scores is None:
            scores = np.ones(keypoints.shape[:-1], np.float32)
        found, _ = self.seen(keypoints, scores, where)
        return self.filled(found), share_seen(found)

    def check_reach(self, enough: float) -> None:
        """Refuse a layout that cannot show enough of the model's joints for any answer.

        Args:
            enough: The share of the model's joints that must be seen.

        Raises:
            LayoutError: The layout cannot reach it.
        """
        if self._source is None or self._target is None or self.reach >= enough:
            return
        raise LayoutError(
            f"layout {self._source.name} shows at most {100 * self.reach:.0f} % of the joints of {self._target.name}, "
            f"and the model answers from {100 * enough:.0f} % on, so it would never answer: use an estimator that "
            "gives more joints, or lower the bound with --enough-seen"
        )
