"""What an evaluation found, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import mmn_edge
from mmn_edge.evaluation.calibration import TemperatureFit
from mmn_edge.evaluation.evaluation import DEPLOYED, Scores, Trial
from mmn_edge.evaluation.metrics import Indices
from mmn_edge.evaluation.testset import EvaluationSet
from mmn_edge.model.labels import Labels

__all__ = ["FAMILY", "SCHEMA", "Report"]

FAMILY = "mmn-edge evaluation report"
SCHEMA = f"{FAMILY} 1"
WORST = 10


@dataclass(frozen=True)
class Report:
    """An evaluation of one or more models on the same labelled clips.

    Attributes:
        data: The clips.
        targets: Their labels in the numbering of ``labels``.
        labels: The classes.
        trials: What the models said; a fused one comes last.
        protocol: One of :data:`mmn_edge.evaluation.PROTOCOLS`.
        views: Temporal samplings of each clip.
        allowed: The classes that may be predicted; None for all.
        fused: Whether the last trial is made of the others.
        fits: A temperature for each trial that is a model; empty where none was asked for.
        notes: What a reader should know.
    """

    data: EvaluationSet
    targets: Indices
    labels: Labels
    trials: tuple[Trial, ...]
    scores: tuple[Scores, ...]
    protocol: str
    views: int
    allowed: Indices | None
    fused: bool
    fits: tuple[TemperatureFit, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        data: EvaluationSet,
        targets: Indices,
        labels: Labels,
        trials: Sequence[Trial],
        *,
        protocol: str,
        views: int,
        allowed: Indices | None = None,
        fused: bool = False,
        fits: Sequence[TemperatureFit] = (),
        notes: Sequence[str] = (),
    ) -> Report:
        """Score every trial."""
        scores = tuple(Scores.of(t.limited(allowed), targets, labels, t.temperature) for t in trials)
        return cls(
            data, targets, labels, tuple(trials), scores, protocol, views, allowed, fused, tuple(fits), tuple(notes)
        )

    @property
    def shown(self) -> int:
        """The trial that pictures and predictions are of: the fused one, or the first."""
        return len(self.trials) - 1 if self.fused else 0

    @property
    def setting(self) -> str:
        """The protocol in words."""
        frames = (
            "each clip resampled to the model's frames, all else taken from those, as when deployed"
            if self.protocol == DEPLOYED
            else "as published: normalised over the whole clip, its frames indexed by their place in it"
        )
        views = "one view" if self.views == 1 else f"logits averaged over {self.views} temporal samplings"
        return f"{self.protocol} ({frames}); {views}"

    @property
    def with_data(self) -> Indices:
        """The classes that have clips."""
        return np.unique(self.targets)

    def confusions(self, count: int = WORST) -> list[tuple[str, str, int, int]]:
        """What the shown trial mistakes most often: true class, predicted class, how often, of how many clips."""
        matrix = self.scores[self.shown].confusion.copy()
        support = matrix.sum(axis=1)
        np.fill_diagonal(matrix, 0)
        order = np.argsort(-matrix, axis=None, kind="stable")[:count]
        pairs = [divmod(int(index), len(matrix)) for index in order]
        names = self.labels.classes
        return [(names[i], names[j], int(matrix[i, j]), int(support[i])) for i, j in pairs if matrix[i, j]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        names = self.labels.classes
        models: list[dict[str, Any]] = []
        for number, (trial, scores) in enumerate(zip(self.trials, self.scores, strict=True)):
            entry: dict[str, Any] = {
                "name": trial.name,
                "precision": trial.precision,
                "stream": trial.stream,
                "backend": trial.backend,
                "temperature": trial.temperature,
                "scores": scores.to_dict(),
            }
            if number:
                mean, worst = trial.logit_difference(self.trials[0])
                entry["compared_with_first"] = {
                    "top1_agreement": trial.agreement(self.trials[0], self.allowed),
                    "mean_logit_difference": mean,
                    "max_logit_difference": worst,
                }
            if number < len(self.fits):
                entry["temperature_fit"] = self.fits[number].to_dict()
            entry["classes"] = [
                {
                    "name": name,
                    "group": self.labels.group_of(index),
                    "clips": int(scores.classes.support[index]),
                    "predicted": int(scores.classes.predicted[index]),
                    "precision": float(scores.classes.precision[index]),
                    "recall": float(scores.classes.recall[index]),
                    "f1": float(scores.classes.f1[index]),
                }
                for index, name in enumerate(names)
            ]
            entry["confusion"] = scores.confusion.tolist()
            models.append(entry)
        return {
            "schema": SCHEMA,
            "mmn_edge": mmn_edge.__version__,
            "data": {
                "path": str(self.data.path),
                "split": self.data.split,
                "clips": len(self.targets),
                "classes_with_clips": [names[index] for index in self.with_data],
            },
            "protocol": {
                "name": self.protocol,
                "views": self.views,
                "restricted": self.allowed is not None,
                "in_words": self.setting,
            },
            "notes": list(self.notes),
            "models": models,
        }
