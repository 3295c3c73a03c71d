"""MediaPipe Holistic as pose estimator: body, hands and face of one person, with models inside the package.

Source: https://github.com/google-ai-edge/mediapipe/blob/v0.10.21/docs/solutions/holistic.md and
``mediapipe/python/solutions/holistic.py`` of the same version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmn_edge.errors import UsageError
from mmn_edge.runtime.pose.notices import Notices
from mmn_edge.runtime.sources.images import ImageArray
from mmn_edge.skeleton.frame import Person
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LAYOUT", "MediaPipeHolistic"]

LAYOUT = "mediapipe-holistic"

# The outputs of the graph in the order of the layout, with their joint counts.
_PARTS = (
    ("pose_landmarks", 33),
    ("left_hand_landmarks", 21),
    ("right_hand_landmarks", 21),
    ("face_landmarks", 468),
)
_JOINTS = sum(count for _, count in _PARTS)

# Decimals of a pixel. MediaPipe is nowhere near 0.01 px accurate, and the float32 next to a number with two
# decimals is written as just that number: a recording is a fifth shorter and still replays to the same bits.
_DECIMALS = 2


class MediaPipeHolistic:
    """Follows one person through a video with MediaPipe Holistic; layout ``mediapipe-holistic``.

    The 543 joints are pose 33, left hand 21, right hand 21, face 468, in that order. Left and right are the
    person's own: Holistic looks for the left hand at the pose's left wrist, unlike MediaPipe Hands, which
    expects a mirrored image. So do not mirror the image.

    A part that is not found has NaN keypoints and score 0. The score of a pose joint is MediaPipe's
    visibility; hand and face joints have no score of their own and get 1. Pose joints outside the image are
    extrapolated.

    The result is deterministic: each image is waited for, none is dropped, and MediaPipe smooths as if the
    images came at 30 per second, whatever their times are.

    MediaPipe's native code prints notices that no setting turns off. They are filtered out of the process's standard
    error until the first person was found; all other words pass, see :mod:`mmn_edge.runtime.pose.notices`.

    Args:
        model_complexity: Complexity of the pose model; 1 is the only one inside the package.

    Raises:
        UsageError: Another complexity, which MediaPipe would download.
        MissingDependencyError: On entry, if MediaPipe is not installed.
    """

    layout = LAYOUT

    def __init__(self, model_complexity: int = 1) -> None:
        if model_complexity != 1:
            raise UsageError(
                f"the pose model of complexity {model_complexity} is not inside the mediapipe package and "
                "would have to be downloaded: use complexity 1"
            )
        self._graph: Any = None
        self._notices = Notices()

    def __enter__(self) -> Self:
        self._notices.start()
        try:
            mediapipe = require("mediapipe", extra="camera", purpose="Pose estimation")
            self._graph = mediapipe.solutions.holistic.Holistic(model_complexity=1)
            # Waits until every model is loaded, so that the first image takes no longer than the others.
            self._graph.process(np.zeros((64, 64, 3), np.uint8))
        except BaseException:
            self._notices.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._graph.close()
        self._notices.stop()

    def reset(self) -> None:
        """Look for the person anew, and do not smooth over the gap."""
        self._graph.reset()

    def estimate(self, image: ImageArray, time: float) -> tuple[Person, ...]:
        """Find the person in the next image of the stream.

        Args:
            image: Uint8 ``(H, W, 3)``, RGB, not mirrored.
            time: Seconds; not used, see above.

        Returns:
            One person with id 0, keypoints ``(543, 2)`` in pixels, x to the right and y down; or none.
        """
        found = self._graph.process(np.ascontiguousarray(image))
        if found.pose_landmarks is None:
            return ()
        self._notices.stop()
        height, width = image.shape[:2]
        keypoints = np.zeros((_JOINTS, 2))
        scores = np.zeros(_JOINTS, np.float32)
        start = 0
        for part, count in _PARTS:
            landmarks = getattr(found, part)
            if landmarks is not None:
                joints = slice(start, start + count)
                keypoints[joints] = [(joint.x * width, joint.y * height) for joint in landmarks.landmark]
                scores[joints] = 1
            start += count
        scores[: _PARTS[0][1]] = [joint.visibility for joint in found.pose_landmarks.landmark]
        keypoints[scores == 0] = np.nan
        return (Person(0, keypoints.round(_DECIMALS).astype(np.float32), scores),)
