"""A loaded model, whatever runs it: what evaluation, drift and the stages ask of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mmn_edge.model.architecture import Architecture
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.model.task import CLASSIFY
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.layouts import Layout
from mmn_edge.skeleton.missing import ENOUGH_SEEN
from mmn_edge.skeleton.preprocess import Preprocessing

__all__ = ["Classifier"]


@dataclass(frozen=True)
class Classifier:
    """A loaded model.

    Attributes:
        name: How tables call it.
        precision: Of its arithmetic, such as ``"fp32"``.
        backend: What runs it, with its version.
        architecture: The network's options.
        labels: Its classes.
        layout: The layout of its joints; None where unknown.
        preprocessing: What turns keypoints into features.
        input: ``"keypoints"`` (preprocessing is inside) or ``"features"``.
        temperature: What its logits are divided by before they become probabilities.
        run: Inputs by name, of a batch, to logits ``(N, K)``; names and shapes are those of
            ``docs/reference/bundle.md``.
        fitted_on: The clips that the temperature was fitted on, in words; None where nobody said it.
        window: The live window; None where nobody said it.
        streams: In words, where it holds several networks; None where its stream is that of the preprocessing.
        enough_seen: Share of a window's joints that must have been seen for a live answer, 0 to 1.
        task: One of :data:`mmn_edge.model.task.TASKS`.
    """

    name: str
    precision: str
    backend: str
    architecture: Architecture
    labels: Labels
    layout: Layout | None
    preprocessing: Preprocessing
    input: str
    temperature: float
    run: Callable[[Mapping[str, FloatArray]], FloatArray]
    fitted_on: str | None = None
    streams: str | None = None
    enough_seen: float = ENOUGH_SEEN
    window: Window | None = None
    task: str = CLASSIFY

    @property
    def stream(self) -> str:
        """The stream or streams that it takes, in words."""
        return self.streams or self.preprocessing.stream
