"""Several models on the same clips, in one numbering of the classes: the first model's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mmn_edge.errors import UsageError
from mmn_edge.evaluation import testset
from mmn_edge.evaluation.calibration import TemperatureFit, fit_weights
from mmn_edge.evaluation.evaluation import DEPLOYED, Trial, predict
from mmn_edge.evaluation.metrics import Array, Indices
from mmn_edge.evaluation.report import Report
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.model.classifier import Classifier
from mmn_edge.model.labels import Labels
from mmn_edge.model.task import DETECT
from mmn_edge.system.words import some

__all__ = ["FUSIONS", "Comparison"]

FUSIONS = ("mean", "weights")


@dataclass
class Comparison:
    """Models asked one after another; only what they say is kept.

    Attributes:
        clips: What they are measured on.
        protocol: One of :data:`mmn_edge.evaluation.PROTOCOLS`.
        views: Temporal samplings of each clip.
        fit_clips: What fusion weights are fitted on; None where none are.
        notes: What a reader of the numbers should know.
        trials: What the models said.
    """

    clips: EvaluationSet
    protocol: str
    views: int = 1
    fit_clips: EvaluationSet | None = None
    notes: list[str] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    _fit_logits: list[Array] = field(default_factory=list)
    _labels: Labels | None = None
    _targets: Indices | None = None
    _fit_targets: Indices | None = None

    def __post_init__(self) -> None:
        for clips in (self.clips, self.fit_clips):
            for finding in clips.findings if clips is not None else ():
                self._note(f"{finding}.")
        if self.clips.split is not None and testset.is_trained_on(self.clips.split):
            self._note(
                f"The split is called {self.clips.split}: a model that was trained on it looks better than it is."
            )

    @property
    def windows(self) -> int:
        """What each model will be asked, in windows."""
        return self.views * (len(self.clips.clips) + (len(self.fit_clips.clips) if self.fit_clips else 0))

    @property
    def labels(self) -> Labels:
        """The classes, in the first model's order."""
        if self._labels is None:
            raise AssertionError("no model was asked yet")
        return self._labels

    def ask(self, classifier: Classifier, *, batch: int, on_batch: Callable[[int], None]) -> None:
        """Run a model on all clips and keep its logits.

        Raises:
            DataError: The clips' classes are not the first model's.
            UsageError: The model's classes are not the first model's, or it cannot follow the protocol.
            LayoutError: The clips' joints do not fit the model.
        """
        if classifier.task == DETECT:
            raise UsageError(
                f"{classifier.name} says several things at once, or nothing, and a clip has one class: score its "
                "events on recordings, with mmn-edge evaluate BUNDLE --data RECORDINGS --events ANNOTATIONS"
            )
        if self._labels is None:
            self._settle_classes(classifier.labels)
        order = testset.align_models(self.labels, classifier.labels, classifier.name)
        logits = []
        for clips in (self.clips, self.fit_clips):
            if clips is None:
                continue
            bones = classifier.preprocessing.bones
            keypoints = testset.fitted_keypoints(
                clips,
                classifier.architecture,
                classifier.layout,
                bones,
                self._note,
                enough_seen=classifier.enough_seen,
            )
            if self.protocol == DEPLOYED and classifier.window is not None:
                keypoints = testset.as_live(clips, keypoints, classifier.window, self._note)
            found = predict(
                classifier, keypoints, protocol=self.protocol, views=self.views, batch=batch, on_batch=on_batch
            )
            logits.append(found[:, order])
        stream = classifier.stream
        self._note_temperature(classifier)
        trial = Trial(
            classifier.name, classifier.precision, stream, classifier.backend, logits[0], classifier.temperature
        )
        self.trials.append(trial)
        self._fit_logits += logits[1:]

    def fused(self, how: str) -> Trial:
        """All models together, by the mean of their logits (as published) or by fitted weights.

        The mean is at the mean of the models' temperatures; fitted weights set the confidence themselves.

        Args:
            how: One of :data:`FUSIONS`.
        """
        if how == "mean":
            temperature = float(np.mean([trial.temperature for trial in self.trials]))
            if temperature != 1:
                self._note(
                    f"Probabilities of the fused row are at the mean of the models' temperatures, {temperature:.3g}."
                )
            share = 1 / len(self.trials)
            return Trial.fused(self.trials, [share] * len(self.trials), "mean of logits", temperature)
        if self.fit_clips is None or self._fit_targets is None:
            raise AssertionError("there is nothing to fit weights on")
        weights = fit_weights(self._fit_logits, self._fit_targets)
        text = ", ".join(f"{weight:.3f}" for weight in weights)
        self._note(f"The weights of the fused row ({text}) were fitted on {self.fit_clips.name}.")
        if shared := {clip.name for clip in self.fit_clips.clips} & {clip.name for clip in self.clips.clips}:
            self._note(
                f"CAUTION: {len(shared)} of the clips that the weights were fitted on are measured here, so the fused "
                "row looks better than it is."
            )
        return Trial.fused(self.trials, weights.tolist(), "weighted logits")

    def report(self, *, fused: Trial | None = None, restrict: bool = False, fit_temperature: bool = False) -> Report:
        """Score what the models said.

        Args:
            fused: A further row.
            restrict: Predict only classes that have clips.
            fit_temperature: Fit a temperature for each model on the clips.
        """
        if self._targets is None:
            raise AssertionError("no model was asked yet, or the clips have no labels")
        allowed = np.unique(self._targets) if restrict else None
        if allowed is not None:
            self._note(
                f"Predictions were restricted to the {len(allowed)} classes that have clips; those of a deployed model "
                "are not."
            )
        fits = []
        if fit_temperature:
            fits = [TemperatureFit.of(t.limited(allowed), self._targets, t.temperature) for t in self.trials]
        return Report.of(
            self.clips,
            self._targets,
            self.labels,
            [*self.trials, *([fused] if fused is not None else [])],
            protocol=self.protocol,
            views=self.views,
            allowed=allowed,
            fused=fused is not None,
            fits=fits,
            notes=self.notes,
        )

    def _settle_classes(self, labels: Labels) -> None:
        self._labels = labels
        if not self.clips.labelled:
            return
        self._targets, self._labels = testset.align(self.clips, labels, self._note)
        if self.fit_clips is not None:
            self._fit_targets, _ = testset.align(self.fit_clips, labels, self._note)
        present = set(self._targets.tolist())
        empty = [name for index, name in enumerate(self._labels.classes) if index not in present]
        if empty:
            self._note(
                f"{len(empty)} of the model's {len(self._labels)} classes have no clips here: {some(empty, 12)}."
            )

    def _note_temperature(self, classifier: Classifier) -> None:
        if classifier.temperature == 1:
            return
        origin = f", fitted on {classifier.fitted_on}" if classifier.fitted_on else ""
        self._note(f"{classifier.name}: probabilities are at its temperature, {classifier.temperature:.3g}{origin}.")
        if classifier.fitted_on == self.clips.described:
            self._note(
                f"CAUTION: these are the same clips, so {classifier.name}'s ECE and NLL look better than they are."
            )

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
