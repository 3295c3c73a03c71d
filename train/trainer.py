"""The training loop: one epoch after another, a validation after each, checkpoints written whole or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import mmn_edge
from mmn_edge import layouts
from mmn_edge.architecture import Architecture
from mmn_edge.errors import DataError, MmnEdgeError
from mmn_edge.files import atomic_file
from mmn_edge.network import MMN
from mmn_edge.preprocess import Preprocessing
from mmn_edge.presets import Window
from mmn_edge.train.data import TrainingData, evaluation_batches, training_batches
from mmn_edge.train.recipe import Recipe, learning_rate

__all__ = ["EpochResult", "Trainer"]


@dataclass(frozen=True)
class EpochResult:
    """What an epoch brought."""

    epoch: int
    train_loss: float
    validation_loss: float
    accuracy: float
    learning_rate: float
    seconds: float


@dataclass
class Trainer:
    """Trains one network on one data set.

    Attributes:
        data: Clips to train and validate on.
        arch: The network's options.
        recipe: How to train.
        layout: The clips' layout.
        stream: The stream to train on.
        folder: Where ``best.pt``, ``last.pt`` and ``log.jsonl`` go.
        preset: Name of the preset, for the checkpoint's description.
        window: The live window that a bundle made from the checkpoint will use.
    """

    data: TrainingData
    arch: Architecture
    recipe: Recipe
    layout: layouts.Layout
    stream: str
    folder: Path
    preset: str
    window: Window
    history: list[EpochResult] = field(default_factory=list)

    def fit(
        self,
        *,
        on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
        on_epoch: Callable[[EpochResult], None] = lambda result: None,
    ) -> EpochResult:
        """Train for all epochs and return the best one by validation accuracy.

        Args:
            on_step: Called with the step, the steps of the epoch, and the loss.
            on_epoch: Called with each epoch's result.

        Raises:
            DataError: Too few clips for one batch.
            MmnEdgeError: The loss stopped being finite, or a checkpoint could not be written.
        """
        recipe = self.recipe
        torch.manual_seed(recipe.seed)
        rng = np.random.default_rng(recipe.seed)
        network = MMN(self.arch, drop_path=recipe.drop_path, head_drop=recipe.head_drop)
        optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        preprocessing = Preprocessing.for_layout(self.layout, self.stream)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "log.jsonl").write_text("", encoding="utf-8")
        best: EpochResult | None = None
        step = 0
        for epoch in range(recipe.epochs):
            began = time.perf_counter()
            clips = self.data.epoch(epoch)
            steps = len(clips) // recipe.batch_size
            if steps == 0:
                raise DataError(
                    f"the training split has {len(clips)} clips, fewer than one batch of {recipe.batch_size}: choose "
                    "a smaller --batch-size"
                )
            network.train()
            batches = training_batches(
                clips,
                preprocessing,
                batch_size=recipe.batch_size,
                frames=self.arch.num_frames,
                sampling=recipe.sampling,
                erase_probability=recipe.erase,
                rng=rng,
            )
            total = 0.0
            rate = recipe.lr
            for index, (x, index_t, target) in enumerate(batches):
                rate = learning_rate(recipe, step, steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                loss = criterion(network(x, index_t), target)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                value = float(loss.detach())
                if not np.isfinite(value):
                    raise MmnEdgeError(
                        f"the loss became {value} in epoch {epoch + 1}, step {index + 1}: lower --lr; the last good "
                        f"checkpoint is in {self.folder}"
                    )
                total += value
                step += 1
                on_step(index + 1, steps, value)
            validation_loss, accuracy = self._validate(network, preprocessing)
            result = EpochResult(epoch + 1, total / steps, validation_loss, accuracy, rate, time.perf_counter() - began)
            self.history.append(result)
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(result)) + "\n")
            self._save(network, result, "last.pt")
            if best is None or result.accuracy >= best.accuracy:
                best = result
                self._save(network, result, "best.pt")
            on_epoch(result)
        if best is None:
            raise AssertionError("a recipe has at least one epoch")
        return best

    def _validate(self, network: MMN, preprocessing: Preprocessing) -> tuple[float, float]:
        """Cross-entropy and top-1 accuracy on the validation clips."""
        network.eval()
        loss, hits, count = 0.0, 0, 0
        with torch.inference_mode():
            for x, index_t, target in evaluation_batches(
                self.data.validation, preprocessing, batch_size=64, frames=self.arch.num_frames
            ):
                logits = network(x, index_t)
                loss += float(nn.functional.cross_entropy(logits, target, reduction="sum"))
                hits += int((logits.argmax(1) == target).sum())
                count += len(target)
        return loss / count, hits / count

    def _save(self, network: MMN, result: EpochResult, name: str) -> None:
        """Write a checkpoint that describes itself, so that ``mmn-edge convert`` needs nothing else."""
        description: dict[str, Any] = {
            "preset": self.preset,
            "layout": self.layout.name,
            "labels": self.data.labels.to_dict(),
            "window": asdict(self.window),
            "stream": self.stream,
            "options": {"num_people": self.arch.num_people, "global_pool": self.arch.global_pool},
            "recipe": self.recipe.to_dict(),
            "result": asdict(result),
            "tools": {"mmn-edge": mmn_edge.__version__, "torch": str(torch.__version__)},
        }
        path = self.folder / name
        try:
            with atomic_file(path) as partial:
                torch.save({"model": network.state_dict(), "description": description}, partial)
        except (OSError, RuntimeError) as error:
            raise MmnEdgeError(f"cannot write {path}: {error}; the checkpoint of the epoch before is intact") from error
